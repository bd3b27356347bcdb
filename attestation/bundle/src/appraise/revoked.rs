//! Urgent revocations: whether a current list is at hand, and whether it names what is judged.
//!
//! A list is the newest that the relying party has, whatever the moment that is judged for: each revocation
//! takes effect at its own moment, so that what was logged before stays what it was. How old the list may be
//! is counted up to the moment for which the caller asked.

use vouchsafe_receipt::RevocationList;
use vouchsafe_receipt::revocation::{Revocation, Revoked};
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{UnixSeconds, VerifiedEvidence};

use super::checks::{Check, Checks, check};
use super::evidence::seconds_since;
use crate::codes;
use crate::policy::{RevocationReference, Rule};
use crate::verdict::Step;

/// What is proved of a boot that a list does not name.
pub(super) const NOT_REVOKED: &str = "not_revoked";
const RULE: &str = "revocations.list";

/// Holds that a current list is at hand, where the policy requires one.
pub(super) fn current(checks: &mut Checks<'_>) {
    let reference = match &checks.document().revocations.list {
        Rule::Require(reference) => reference,
        // A list that is given all the same is applied; nothing says how old it may be.
        Rule::Ignore(_) => return,
    };
    let expected = format!(
        "a list of at most {} s, under {} signatures",
        reference.age_seconds_max, reference.threshold
    );
    let Some(list) = checks.revocations.map(|list| list.list().clone()) else {
        let missing = check(Step::Freshness, RULE, codes::REVOCATIONS_MISSING);
        return checks.skip(missing, expected, "none given");
    };
    let seen = format!("list {}, issued at {}, good until {}", list.serial, list.issued.0, list.expires.0);
    let stale = check(Step::Freshness, RULE, codes::REVOCATIONS_STALE);
    match is_fresh(&list, reference, checks.now) {
        true => {
            checks.demand(stale, true, expected, seen);
        }
        // What it names is revoked all the same; of the rest it says nothing any more.
        false => checks.skip(stale, expected, seen),
    }
}

/// Whether a list is as fresh at a moment as a rule demands.
pub(crate) fn is_fresh(list: &RevocationList, reference: &RevocationReference, now: UnixSeconds) -> bool {
    seconds_since(list.issued.0, now) <= reference.age_seconds_max && now < list.expires.0
}

/// Holds that neither the machine nor its image is revoked.
pub(super) fn machine(checks: &mut Checks<'_>, step: Step, evidence: &VerifiedEvidence) {
    let Some(list) = checks.revocations else { return };
    let mut undecided = false;
    for revocation in &list.list().revocations {
        match names_machine(&revocation.revokes, evidence) {
            Some(true) => apply(checks, step, revocation),
            Some(false) => {}
            None => undecided = true,
        }
    }
    if undecided {
        let check = check(step, RULE, codes::REVOCATION_UNDECIDED);
        checks.skip(check, "evidence that names its chip, since chips are revoked", "no chip id");
    }
}

/// Holds that neither the boot nor its key is revoked.
pub(super) fn boot(checks: &mut Checks<'_>, boot: &[u8; 32]) {
    let Some(list) = checks.revocations else { return };
    for revocation in &list.list().revocations {
        let (Revoked::Boot(id) | Revoked::ReceiptKey(id)) = &revocation.revokes else { continue };
        if id.0 == *boot {
            apply(checks, Step::Boot, revocation);
        }
    }
    let (serial, issued) = (list.list().serial, list.list().issued.0);
    let text = format!("Nothing of this was revoked by list {serial} of {issued} at {}.", checks.at);
    checks.prove(Step::Boot, NOT_REVOKED, text);
}

/// Whether a machine or its image is meant; `None` where the evidence does not say which chip it is of.
fn names_machine(revoked: &Revoked, evidence: &VerifiedEvidence) -> Option<bool> {
    let is = |named: &Hex<48>, seen: &[u8; 48]| named.0 == *seen;
    match (revoked, evidence.snp(), evidence.tdx()) {
        (Revoked::ChipId(chip), Some(snp), _) => {
            // Only a provider's key signs reports that leave out their chip: the verifier sees to that.
            Some(*snp.report().chip_id()? == chip.0)
        }
        (Revoked::Measurement(measurement), Some(snp), _) => Some(is(measurement, snp.measurement())),
        (Revoked::Product(product), Some(snp), _) => Some(product.as_str() == snp.product().name()),
        (Revoked::Ppid(ppid), _, Some(tdx)) => Some(ppid.0 == *tdx.platform().ppid()),
        (Revoked::Fmspc(fmspc), _, Some(tdx)) => Some(fmspc.0 == *tdx.platform().fmspc()),
        (Revoked::Registers(registers), _, Some(tdx)) => {
            let report = tdx.report();
            let [r0, r1, r2, r3] = &report.rtmr;
            let seen = [&report.mrtd, r0, r1, r2, r3];
            Some(registers.named().iter().zip(seen).all(|(named, seen)| named.is_none_or(|one| one == seen)))
        }
        _ => Some(false),
    }
}

/// Refuses what is revoked, and says of what will be that it will.
fn apply(checks: &mut Checks<'_>, step: Step, revocation: &Revocation) {
    let Revocation { name, revokes, at, reason } = revocation;
    let what = revokes.describe();
    if checks.at < at.0 {
        let text =
            format!("That this is good for longer: {what} is revoked from {} on ({name}): {reason}", at.0);
        return checks.leave_unproved("revoked_later", text);
    }
    let expected = format!("nothing that is revoked at {}", checks.at);
    let seen = format!("{what}, revoked from {} on ({name}): {reason}", at.0);
    checks.fail(Check { step, rule: RULE, code: code_of(revokes) }, expected, seen);
}

fn code_of(revoked: &Revoked) -> &'static str {
    match revoked {
        Revoked::Boot(_) => codes::BOOT_REVOKED,
        Revoked::ReceiptKey(_) => codes::RECEIPT_KEY_REVOKED,
        Revoked::ChipId(_) | Revoked::Ppid(_) => codes::CHIP_REVOKED,
        Revoked::Product(_) | Revoked::Fmspc(_) => codes::PROCESSOR_REVOKED,
        _ => codes::IMAGE_REVOKED,
    }
}
