//! Policy on verified evidence: which machine, which guest.

use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::{RootKind, VerifiedEvidence};

use super::checks::{Checks, check};
use super::evidence::root_text;
use super::{released, revoked, snp, tdx};
use crate::codes;
use crate::policy::{Purpose, ReferenceDigests, ReferenceValue, Rule, Standing};
use crate::verdict::Step;

/// Holds verified evidence against every platform rule of the policy.
pub(super) fn appraise(checks: &mut Checks<'_>, step: Step, evidence: &VerifiedEvidence) {
    let document = checks.document();
    let root_check = check(step, "trust.simulated_roots", codes::ROOT_SIMULATED);
    let root_allowed = evidence.root() == RootKind::Vendor || document.purpose != Purpose::Production;
    checks.demand(root_check, root_allowed, "a root that the purpose allows", root_text(evidence.root()));

    let platform = evidence.platform();
    checks.rule(
        check(step, "platform.accepted", codes::PLATFORM_NOT_ACCEPTED),
        &document.platform.accepted,
        platform.to_string(),
        |accepted| any_of(accepted.iter().map(|name| name.as_str())),
        |accepted| accepted.iter().any(|name| name.as_str() == platform.to_string()),
    );
    match (evidence.snp(), evidence.tdx()) {
        (Some(verified), _) => snp::appraise(checks, step, verified),
        (None, Some(verified)) => tdx::appraise(checks, step, verified),
        (None, None) => super::evidence::unsupported(checks, step),
    }
    measurement(checks, step, evidence);
    released::machine(checks, step, evidence);
    revoked::machine(checks, step, evidence);
}

/// Holds that `other` was made by the guest that made `boot`: launched from the same image on the
/// same machine.
pub(super) fn same_machine(
    checks: &mut Checks<'_>,
    step: Step,
    boot: &VerifiedEvidence,
    other: &VerifiedEvidence,
) {
    let check = check(step, "same_machine", codes::MACHINE_MISMATCH);
    let (expected, seen) = (identity(boot), identity(other));
    checks.demand(check, expected == seen, expected, seen);
}

/// What stays the same as long as a guest lives.
fn identity(evidence: &VerifiedEvidence) -> String {
    match (evidence.snp(), evidence.tdx()) {
        (Some(snp), _) => {
            // REPORT_ID is chosen by the firmware when the guest is launched (AMD 56860, "REPORT_ID").
            let report = snp.report();
            let (guest, measurement) = (to_hex(report.report_id()), to_hex(report.measurement()));
            format!("SNP guest {guest} of measurement {measurement}")
        }
        (None, Some(tdx)) => {
            // A TD has no instance id of its own: its registers and its platform must do.
            let (platform, mrtd) = (to_hex(tdx.platform().ppid()), to_hex(&tdx.report().mrtd));
            let rtmrs: String = tdx.report().rtmr.iter().map(|rtmr| to_hex(rtmr)).collect();
            format!("TD on platform {platform} of MRTD {mrtd}, RTMRs {rtmrs}")
        }
        (None, None) => String::from("unknown"),
    }
}

fn measurement(checks: &mut Checks<'_>, step: Step, evidence: &VerifiedEvidence) {
    const RULE: &str = "measurements";
    let code = match evidence.tdx() {
        Some(_) => codes::TDX_REGISTER,
        None => codes::MEASUREMENT_MISMATCH,
    };
    let mismatch = check(step, RULE, code);
    let seen = measured(evidence);
    let values = match &checks.document().measurements {
        Rule::Ignore(reason) => return checks.ignore(mismatch, reason.as_str(), seen),
        Rule::Require(values) => values,
    };
    let matching: Vec<&ReferenceValue> =
        values.iter().filter(|value| value_matches(&value.digests, evidence)).collect();
    if matching.is_empty() {
        return checks.fail(mismatch, any_of(values.iter().map(describe)), seen);
    }
    let standing_of = |value: &&&ReferenceValue| value.standing(checks.at);
    if let Some(value) = matching.iter().find(|value| standing_of(value) == Standing::Good) {
        let text = format!("The guest measures to the reference value {:?}.", value.name);
        checks.demand(mismatch, true, describe(value), seen);
        if step == Step::BootPlatform {
            checks.prove(step, "measurement", text);
            ignored_registers(checks, value);
        }
        return;
    }
    // Several entries for one digest, none of them good: the first says why.
    let Some(value) = matching.first() else { return };
    let (code, why) = match value.standing(checks.at) {
        Standing::Revoked => (codes::MEASUREMENT_REVOKED, revocation_text(value)),
        Standing::Expired => (codes::MEASUREMENT_EXPIRED, validity_text(value)),
        Standing::NotYetValid | Standing::Good => (codes::MEASUREMENT_NOT_YET_VALID, validity_text(value)),
    };
    let expected = format!("a reference value that is good at {}", checks.at);
    checks.fail(check(step, RULE, code), expected, format!("{:?}, {why}", value.name));
}

/// Says which registers the matching reference value leaves open.
fn ignored_registers(checks: &mut Checks<'_>, value: &ReferenceValue) {
    let ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } = &value.digests else { return };
    for (name, rule) in
        [("mrtd", mrtd), ("rtmr0", rtmr0), ("rtmr1", rtmr1), ("rtmr2", rtmr2), ("rtmr3", rtmr3)]
    {
        if let Rule::Ignore(reason) = rule {
            let text = format!(
                "The reference value {:?} ignores {}: {}",
                value.name,
                name.to_ascii_uppercase(),
                reason.as_str()
            );
            checks.leave_unproved(format!("ignored:measurements.{name}"), text);
        }
    }
}

fn value_matches(digests: &ReferenceDigests, evidence: &VerifiedEvidence) -> bool {
    match (digests, evidence.snp(), evidence.tdx()) {
        (ReferenceDigests::SevSnp { measurement }, Some(snp), _) => measurement.0 == *snp.measurement(),
        (ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 }, _, Some(tdx)) => {
            let report = tdx.report();
            let [r0, r1, r2, r3] = &report.rtmr;
            [(mrtd, &report.mrtd), (rtmr0, r0), (rtmr1, r1), (rtmr2, r2), (rtmr3, r3)]
                .into_iter()
                .filter_map(|(rule, seen)| Some((rule.required()?, seen)))
                .all(|(digests, seen)| digests.iter().any(|digest| digest.0 == *seen))
        }
        _ => false,
    }
}

fn measured(evidence: &VerifiedEvidence) -> String {
    match (evidence.snp(), evidence.tdx()) {
        (Some(snp), _) => to_hex(snp.measurement()),
        (None, Some(tdx)) => {
            let report = tdx.report();
            let [r0, r1, r2, r3] = report.rtmr.map(|rtmr| to_hex(&rtmr));
            format!("MRTD {}, RTMR0 {r0}, RTMR1 {r1}, RTMR2 {r2}, RTMR3 {r3}", to_hex(&report.mrtd))
        }
        (None, None) => String::new(),
    }
}

fn describe(value: &ReferenceValue) -> String {
    match &value.digests {
        ReferenceDigests::SevSnp { measurement } => format!("{:?} {measurement}", value.name),
        ReferenceDigests::Tdx { .. } => format!("{:?}", value.name),
    }
}

fn revocation_text(value: &ReferenceValue) -> String {
    match &value.revoked {
        Some(revoked) => format!("revoked at {}: {}", revoked.at.0, revoked.reason),
        None => String::from("not revoked"),
    }
}

fn validity_text(value: &ReferenceValue) -> String {
    let from = value.valid_from.map_or_else(|| "ever".into(), |from| from.0.to_string());
    let until = value.valid_until.map_or_else(|| "ever".into(), |until| until.0.to_string());
    format!("valid from {from} until {until}")
}

/// A list of alternatives for people.
pub(super) fn any_of<T: AsRef<str>>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<T> = items.collect();
    let texts: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match texts.as_slice() {
        [] => String::from("nothing: the policy's list is empty"),
        [only] => String::from(*only),
        many => format!("one of {}", many.join(", ")),
    }
}
