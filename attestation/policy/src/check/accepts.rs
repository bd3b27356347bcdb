//! What a policy accepts, or waives, that deserves a second look.

use vouchsafe_bundle::policy::{
    PlatformName, PolicyDocument, Purpose, ReferenceDigests, Rule, SnpProduct, SnpTcb, TcbStatusRule,
};
use vouchsafe_verifier::tdx::TcbStatus;

use super::{Findings, platforms};

/// Longest grace that is still one, in days.
const GRACE_DAYS_MAX: u32 = 366;

pub(super) fn check(document: &PolicyDocument, findings: &mut Findings) {
    if document.trust.simulated_roots.required().is_some_and(|roots| !roots.is_empty()) {
        findings.note("accepts_simulation", "trust.simulated_roots");
    }
    for platform in platforms(document) {
        match platform {
            PlatformName::SevSnp => snp(document, findings),
            _ => tdx(document, findings),
        }
    }
    if document.purpose != Purpose::Evidence {
        enclave(document, findings);
    }
}

/// Whether a rule that should demand `false` does.
fn lets_through(rule: &Rule<bool>) -> bool {
    *rule != Rule::Require(false)
}

fn snp(document: &PolicyDocument, findings: &mut Findings) {
    let rules = &document.platform.snp;
    if lets_through(&rules.debug) {
        findings.note("accepts_debug", "platform.snp.debug");
    }
    if lets_through(&rules.migration) {
        findings.note("accepts_migration", "platform.snp.migration");
    }
    if rules.products.required().is_none_or(|products| products.contains(&SnpProduct::Milan)) {
        findings.note("accepts_milan", "platform.snp.products");
    }
    let is_none = |floor: &SnpTcb| {
        floor.fmc.unwrap_or(0) == 0
            && [floor.bootloader, floor.tee, floor.snp, floor.microcode].iter().all(|level| *level == 0)
    };
    if rules.minimum_tcb.required().is_none_or(|floors| floors.values().any(is_none)) {
        findings.note("tcb_unbounded", "platform.snp.minimum_tcb");
    }
    if !rules.crl.is_required() {
        findings.note("crl_ignored", "platform.snp.crl");
    }
    if rules.vmpl_max != Rule::Require(0) {
        findings.note("vmpl_open", "platform.snp.vmpl_max");
    }
    if !rules.signing_keys.is_required() {
        findings.note("signing_keys_ignored", "platform.snp.signing_keys");
    }
    if rules.alias_check != Rule::Require(true) {
        findings.note("alias_check_ignored", "platform.snp.alias_check");
    }
}

fn tdx(document: &PolicyDocument, findings: &mut Findings) {
    let rules = &document.platform.tdx;
    if lets_through(&rules.debug) {
        findings.note("accepts_debug", "platform.tdx.debug");
    }
    if lets_through(&rules.migratable) {
        findings.note("accepts_migration", "platform.tdx.migratable");
    }
    match &rules.tcb_statuses {
        Rule::Ignore(_) => findings.note("tcb_unbounded", "platform.tdx.tcb_statuses"),
        Rule::Require(statuses) => statuses.iter().for_each(|rule| status(rule, findings)),
    }
    if !rules.evaluation_number_min.is_required() {
        findings.note("evaluation_unbounded", "platform.tdx.evaluation_number_min");
    }
    if rules.sept_ve_disable != Rule::Require(true) {
        findings.note("sept_ve_ignored", "platform.tdx.sept_ve_disable");
    }
    if !rules.no_service_td.is_required() {
        findings.note("service_td_ignored", "platform.tdx.no_service_td");
    }
    for (path, ids) in [
        ("platform.tdx.advisories_denied", &rules.advisories_denied),
        ("platform.tdx.advisories_tolerated", &rules.advisories_tolerated),
    ] {
        for id in ids.required().into_iter().flatten().filter(|id| !is_advisory(id)) {
            findings.add("advisory_unknown", path, format!("{id:?} is not written as INTEL-SA-00000"));
        }
    }
    for (index, value) in document.measurements.required().into_iter().flatten().enumerate() {
        let ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, .. } = &value.digests else { continue };
        let path = format!("measurements.{index}");
        if !(rtmr1.is_required() && rtmr2.is_required()) {
            let text = format!("{:?} leaves RTMR1 or RTMR2 open", value.name);
            findings.add("kernel_unmeasured", &path, text);
        }
        if !(mrtd.is_required() && rtmr0.is_required()) {
            let text = format!("{:?} leaves MRTD or RTMR0 open", value.name);
            findings.add("firmware_unmeasured", &path, text);
        }
    }
}

fn status(rule: &TcbStatusRule, findings: &mut Findings) {
    const PATH: &str = "platform.tdx.tcb_statuses";
    if rule.status == TcbStatus::Revoked {
        findings.note("tcb_revoked", PATH);
    }
    if rule.status == TcbStatus::UpToDate {
        return;
    }
    let text = match rule.grace_days {
        None => format!("{} is accepted without a limit of days", rule.status),
        Some(days) if days > GRACE_DAYS_MAX => format!("{} is accepted for {days} days", rule.status),
        Some(_) => return,
    };
    findings.add("grace_unlimited", PATH, text);
}

/// `INTEL-SA-` and five digits.
fn is_advisory(id: &str) -> bool {
    id.strip_prefix("INTEL-SA-")
        .is_some_and(|digits| digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

fn enclave(document: &PolicyDocument, findings: &mut Findings) {
    let waived = [
        (document.measurements.is_required(), "measurements_ignored", "measurements"),
        (document.models.is_required(), "models_ignored", "models"),
        (document.log.inclusion.is_required(), "log_ignored", "log.inclusion"),
        (document.witnesses.quorum.is_required(), "witnesses_ignored", "witnesses.quorum"),
        (document.sessions.challenge.is_required(), "challenge_ignored", "sessions.challenge"),
        (document.operator.identities.is_required(), "operator_ignored", "operator.identities"),
        (
            document.freshness.epoch_seconds_max.is_required(),
            "epoch_unbounded",
            "freshness.epoch_seconds_max",
        ),
        (document.settlement.bound.is_required(), "bound_ignored", "settlement.bound"),
        (document.revocations.list.is_required(), "revocations_ignored", "revocations.list"),
    ];
    for (_, name, path) in waived.into_iter().filter(|(is_required, _, _)| !is_required) {
        findings.note(name, path);
    }
    if let Some(quorum) = document.witnesses.quorum.required() {
        let witnesses = u64::try_from(quorum.keys.len()).unwrap_or(u64::MAX);
        if witnesses > 0 && quorum.threshold.saturating_mul(2) <= witnesses {
            let text = format!("{} of {witnesses} suffice", quorum.threshold);
            findings.add("quorum_weak", "witnesses.quorum", text);
        }
    }
}
