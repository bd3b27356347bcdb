//! Policies, and platforms within them, that nothing can satisfy; and rules that nothing can touch.

use std::collections::BTreeMap;

use vouchsafe_bundle::policy::{PlatformName, PolicyDocument, Purpose, ReferenceDigests, Rule, Vendor};

use super::{Findings, platforms};

pub(super) fn check(document: &PolicyDocument, findings: &mut Findings) {
    let whole = dead_everywhere(document);
    for path in &whole {
        findings.add("accepts_nothing", *path, "nothing is named that could match");
    }
    let accepted = platforms(document);
    if accepted.is_empty() {
        findings.add("accepts_nothing", "platform.accepted", "no platform is accepted");
    }
    let dead: Vec<_> = accepted.iter().map(|platform| dead_on(document, *platform)).collect();
    let all_dead = dead.iter().all(|paths| !paths.is_empty());
    for (platform, paths) in accepted.iter().zip(&dead) {
        for path in paths {
            let name = if all_dead { "accepts_nothing" } else { "platform_accepts_nothing" };
            findings.add(name, *path, format!("nothing is named that {} could match", platform.as_str()));
        }
    }
    idle_rules(document, &accepted, findings);
}

fn is_empty<T>(rule: &Rule<Vec<T>>) -> bool {
    rule.required().is_some_and(Vec::is_empty)
}

/// Demands that every piece of evidence must satisfy, and none can.
fn dead_everywhere(document: &PolicyDocument) -> Vec<&'static str> {
    let nobody_revokes = document
        .revocations
        .list
        .required()
        .is_some_and(|list| list.keys.is_empty() || list.age_seconds_max == 0);
    let of_evidence = [("revocations.list", nobody_revokes)];
    let is_zero = |rule: &Rule<u64>| rule.required() == Some(&0);
    let of_enclaves = [
        ("operator.identities", is_empty(&document.operator.identities)),
        ("models", is_empty(&document.models)),
        ("engine.identities", is_empty(&document.engine.identities)),
        ("log.inclusion", is_empty(&document.log.inclusion)),
        (
            "witnesses.quorum",
            document.witnesses.quorum.required().is_some_and(|quorum| quorum.keys.is_empty()),
        ),
        ("freshness.epoch_seconds_max", is_zero(&document.freshness.epoch_seconds_max)),
        ("settlement.bound", is_zero(&document.settlement.bound)),
        (
            "images.released",
            document.images.released.required().is_some_and(|releases| releases.keys.is_empty()),
        ),
    ];
    // Raw evidence names no model, operator or log.
    let of_enclaves = of_enclaves.into_iter().filter(|_| document.purpose != Purpose::Evidence);
    of_evidence.into_iter().chain(of_enclaves).filter(|(_, dead)| *dead).map(|(path, _)| path).collect()
}

/// Whether a reference names registers that can be matched at all.
fn is_possible(digests: &ReferenceDigests) -> bool {
    match digests {
        ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } => {
            ![mrtd, rtmr0, rtmr1, rtmr2, rtmr3].into_iter().any(is_empty)
        }
        _ => true,
    }
}

/// The same for one platform.
fn dead_on(document: &PolicyDocument, platform: PlatformName) -> Vec<&'static str> {
    let vendor = match platform {
        PlatformName::SevSnp => Vendor::Amd,
        _ => Vendor::Intel,
    };
    let has_root = document.trust.vendors.required().is_some_and(|vendors| vendors.contains(&vendor))
        || document.trust.simulated_roots.required().is_some_and(|roots| !roots.is_empty());
    let measured = document.measurements.required();
    let is_measured = measured.is_none_or(|values| {
        values.iter().any(|value| value.digests.platform() == platform && is_possible(&value.digests))
    });
    let (snp, tdx) = (&document.platform.snp, &document.platform.tdx);
    let mut lists = vec![("trust.vendors", !has_root), ("measurements", !is_measured)];
    match platform {
        PlatformName::SevSnp => lists.extend([
            ("platform.snp.products", is_empty(&snp.products)),
            ("platform.snp.minimum_tcb", snp.minimum_tcb.required().is_some_and(BTreeMap::is_empty)),
            ("platform.snp.signing_keys", is_empty(&snp.signing_keys)),
            ("platform.snp.id_key_digests", is_empty(&snp.id_key_digests)),
            ("platform.snp.author_key_digests", is_empty(&snp.author_key_digests)),
            ("platform.snp.host_data", is_empty(&snp.host_data)),
            ("platform.snp.chip_ids", is_empty(&snp.chip_ids)),
        ]),
        _ => lists.extend([
            ("platform.tdx.tcb_statuses", is_empty(&tdx.tcb_statuses)),
            ("platform.tdx.mrconfigid", is_empty(&tdx.mrconfigid)),
            ("platform.tdx.mrowner", is_empty(&tdx.mrowner)),
            ("platform.tdx.mrownerconfig", is_empty(&tdx.mrownerconfig)),
            ("platform.tdx.ppids", is_empty(&tdx.ppids)),
        ]),
    }
    lists.into_iter().filter(|(_, dead)| *dead).map(|(path, _)| path).collect()
}

/// Rules that are required where no evidence can ever meet them.
fn idle_rules(document: &PolicyDocument, accepted: &[PlatformName], findings: &mut Findings) {
    let sections = [
        (PlatformName::SevSnp, "platform.snp", serde_json::to_value(&document.platform.snp)),
        (PlatformName::Tdx, "platform.tdx", serde_json::to_value(&document.platform.tdx)),
    ];
    for (platform, path, rules) in sections {
        let Ok(serde_json::Value::Object(rules)) = rules else { continue };
        if accepted.contains(&platform) {
            continue;
        }
        for (name, _) in rules.iter().filter(|(_, rule)| rule.get("require").is_some()) {
            let text = format!("{} is not accepted, so this decides nothing", platform.as_str());
            findings.add("rule_without_platform", format!("{path}.{name}"), text);
        }
    }
}
