//! Settlement: what boot and receipt promise, the receipt's place in the log, and the witnesses.
//!
//! The log is the one that the boot's measured configuration names. Where the policy requires logs or
//! witnesses, the boot's must be among them, and the policy's own keys decide about signatures. Where
//! it ignores the log, a proof that came along is verified under the boot's: what is disclosed must match. Keys
//! that the operator chose show less than keys that the relying party did, and have words of their own; a moment
//! they show none.

use vouchsafe_receipt::{Assurance, BootStatement, LogSettlement, Settlement, receipt_leaf_hash};
use vouchsafe_translog::{Quorum, SignedCheckpoint, TlogProof, VerifierKey};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Crypto;

use super::checks::{Checks, check};
use super::platform::any_of;
use super::receipt::Signed;
use super::released;
use crate::policy::{QuorumReference, Rule, Vkey};
use crate::verdict::Step;
use crate::{Answer, Bundle, Policy, codes};

const INCLUSION: &str = "log.inclusion";
const QUORUM: &str = "witnesses.quorum";

/// When an answer is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// As it comes from the enclave: its proof can't be there yet, unless the client asked to wait for it.
    Live,
    /// From a bundle.
    Later,
}

/// Holds what the boot promises against the policy: a log, its bound, its keys.
pub(super) fn promised(checks: &mut Checks<'_>, boot: &BootStatement) {
    let document = checks.document();
    let log = log_of(boot);
    checks.rule(
        check(Step::Boot, "settlement.promised", codes::SETTLEMENT_NONE),
        &document.settlement.promised,
        log.map_or("none", |log| log.key.as_str()),
        |_| "receipts that settle into a log".into(),
        |_| log.is_some(),
    );
    checks.rule(
        check(Step::Boot, "settlement.bound", codes::SETTLEMENT_BOUND),
        &document.settlement.bound,
        log.map_or_else(|| "no promise".into(), |log| format!("{} s", log.bound_s)),
        |max| format!("a promise of at most {max} s"),
        |max| log.is_some_and(|log| log.bound_s <= *max),
    );
    if let Rule::Require(logs) = &document.log.inclusion {
        checks.demand(
            check(Step::Boot, INCLUSION, codes::LOG_UNTRUSTED),
            log.is_some_and(|log| logs.iter().any(|one| one.key.as_str() == log.key)),
            any_of(logs.iter().map(|one| one.key.as_str())),
            log.map_or("none", |log| log.key.as_str()),
        );
    }
    if let Rule::Require(quorum) = &document.witnesses.quorum {
        checks.demand(
            check(Step::Boot, QUORUM, codes::WITNESSES_UNTRUSTED),
            log.is_some_and(|log| implies(log, quorum)),
            format!("a quorum that always holds {} of the policy's witnesses", quorum.threshold),
            log.map_or_else(
                || "none".into(),
                |log| format!("{} of {}", log.quorum, log.witnesses.join(", ")),
            ),
        );
    }
}

/// Whether every quorum that satisfies the boot satisfies the policy too, so that the times which the
/// boot takes from checkpoints are times that the policy believes.
fn implies(log: &LogSettlement, quorum: &QuorumReference) -> bool {
    let is_known = |witness: &&String| quorum.keys.iter().any(|key| key.as_str() == witness.as_str());
    let strangers = log.witnesses.iter().filter(|witness| !is_known(witness)).count();
    let strangers = u64::try_from(strangers).unwrap_or(u64::MAX);
    log.quorum.checked_sub(strangers).is_some_and(|known| known >= quorum.threshold)
}

/// Holds the receipt's promise against the boot's, and its proof against log and witnesses.
pub(super) fn appraise(
    checks: &mut Checks<'_>,
    answer: &Answer<'_>,
    signed: &Signed,
    boot: &BootStatement,
    occasion: Occasion,
    crypto: &dyn Crypto,
) {
    if signed.finished.is_some() {
        settle_by(checks, signed, boot);
    }
    let Some(proof) = answer.proof else { return missing(checks, signed, occasion) };
    let Some(receipt) = answer.receipt else {
        let check = check(Step::Settlement, INCLUSION, codes::PROOF_WITHOUT_RECEIPT);
        return checks.fail(check, "no proof, or the receipt that it is of", "a proof without a receipt");
    };
    let Some(log) = log_of(boot) else {
        let check = check(Step::Settlement, INCLUSION, codes::PROOF_WITHOUT_LOG);
        return checks.fail(check, "no proof, or a boot that names its log", "a boot that names no log");
    };
    let Some(checkpoint) = included(checks, proof, &receipt_leaf_hash(receipt, crypto), log, crypto) else {
        return;
    };
    if let Some(named) = signed.checkpoint {
        checks.demand(
            check(Step::Settlement, "log_order", codes::LOGGED_BEFORE_CHECKPOINT),
            proof.index() >= named.size,
            format!("a place after the {} leaves of the checkpoint that the receipt names", named.size),
            format!("leaf {}", proof.index()),
        );
    }
    released::before(checks, checkpoint.checkpoint().origin(), proof.index());
    let text = format!(
        "The receipt is leaf {} of the log {:?}, in its tree of {} leaves.",
        proof.index(),
        checkpoint.checkpoint().origin(),
        checkpoint.checkpoint().size()
    );
    let is_named = checks.document().log.inclusion.is_required();
    checks.prove(Step::Settlement, if is_named { "logged" } else { "logged_by_boots_log" }, text);
    witnessed(checks, checkpoint, signed, log, crypto);
}

/// By when a quorum of the policy's witnesses had seen the checkpoint of the bundle's proof, if the boot statement
/// is what it claims to be: a moment to judge for, established only where judging for it comes to the same.
pub(super) fn claimed_time(bundle: &Bundle, policy: &Policy, crypto: &dyn Crypto) -> Option<UnixSeconds> {
    let parts = bundle.parts();
    let proof = parts.proof.as_ref()?;
    let named = policy.document().witnesses.quorum.required()?;
    let boot = BootStatement::parse(&parts.boot.statement.0, crypto).ok()?;
    let log = log_of(&boot)?;
    let key = VerifierKey::parse(&log.key, crypto).ok()?;
    let quorum = quorum(named.keys.iter().map(Vkey::as_str), named.threshold, crypto).ok()?;
    let note = proof.note().to_string();
    let opened =
        SignedCheckpoint::open(note.as_bytes(), key.name(), core::slice::from_ref(&key), crypto).ok()?;
    Some(quorum.verify(opened, crypto).ok()?.seen_by())
}

fn quorum<'a>(
    keys: impl Iterator<Item = &'a str>,
    threshold: u64,
    crypto: &dyn Crypto,
) -> Result<Quorum, vouchsafe_translog::Error> {
    let keys: Result<Vec<VerifierKey>, _> = keys.map(|key| VerifierKey::parse(key, crypto)).collect();
    Quorum::new(keys?, usize::try_from(threshold).unwrap_or(usize::MAX))
}

fn log_of(boot: &BootStatement) -> Option<&LogSettlement> {
    match &boot.settlement {
        Settlement::Log(log) => Some(log),
        _ => None,
    }
}

/// The receipt promises exactly what its boot does.
fn settle_by(checks: &mut Checks<'_>, signed: &Signed, boot: &BootStatement) {
    let expected = match (log_of(boot), signed.checkpoint) {
        (Some(log), Some(named)) => Some(UnixSeconds(named.time.saturating_add(log.bound_s))),
        _ => None,
    };
    let text = |moment: Option<UnixSeconds>| moment.map_or_else(|| "none".into(), |at| at.to_string());
    let settles = log_of(boot).is_some();
    checks.demand(
        check(Step::Settlement, "settle_by", codes::SETTLE_BY_MISMATCH),
        signed.settle_by == expected && signed.checkpoint.is_some() == settles,
        if settles && expected.is_none() {
            "a checkpoint, and a time after it".into()
        } else {
            text(expected)
        },
        text(signed.settle_by),
    );
}

/// Without a proof: nothing to verify. That one is missing accuses nobody: it may be withheld by
/// whoever made the bundle.
fn missing(checks: &mut Checks<'_>, signed: &Signed, occasion: Occasion) {
    let is_due = signed.settle_by.is_none_or(|settle_by| settle_by < checks.at);
    let code = if is_due { codes::PROOF_MISSING } else { codes::PROOF_PENDING };
    let seen = match (is_due, signed.settle_by) {
        (_, None) => String::from("none"),
        (true, Some(at)) => format!("none, although it was promised by {at}"),
        (false, Some(at)) => format!("none yet; it is promised by {at}"),
    };
    if occasion == Occasion::Live && signed.assurance == Assurance::Settled && signed.finished.is_some() {
        let check = check(Step::Settlement, INCLUSION, codes::SETTLED_WITHOUT_PROOF);
        return checks.fail(check, "the proof that the client asked to wait for", seen);
    }
    let document = checks.document();
    let check = check(Step::Settlement, INCLUSION, code);
    match &document.log.inclusion {
        // An answer that is not waited for is older than its proof. What the policy requires of the
        // boot was held against it; the rest is for whoever verifies the bundle.
        Rule::Require(_) if occasion == Occasion::Live => {
            let text =
                format!("That the receipt is in the log, as the policy requires of its bundle: {seen}.");
            checks.leave_unproved(code, text);
        }
        Rule::Require(_) => checks.skip(check, "a proof that the receipt is in its log", seen),
        Rule::Ignore(reason) => checks.ignore(check, reason.as_str(), seen),
    }
}

/// Verifies the log's signature and the path; gives the checkpoint.
fn included(
    checks: &mut Checks<'_>,
    proof: &TlogProof,
    leaf_hash: &[u8; 32],
    log: &LogSettlement,
    crypto: &dyn Crypto,
) -> Option<SignedCheckpoint> {
    let opened = VerifierKey::parse(&log.key, crypto).and_then(|key| {
        let note = proof.note().to_string();
        let keys = core::slice::from_ref(&key);
        let opened = SignedCheckpoint::open(note.as_bytes(), key.name(), keys, crypto)?;
        proof.verify_path(leaf_hash, &opened, crypto)?;
        Ok(opened)
    });
    let expected = format!("the receipt in a tree signed by {}", log.key);
    match opened {
        Ok(opened) => {
            let seen = format!("leaf {} of {}", proof.index(), opened.checkpoint().size());
            checks.demand(check(Step::Settlement, INCLUSION, ""), true, expected, seen);
            Some(opened)
        }
        Err(error) => {
            checks.fail(check(Step::Settlement, INCLUSION, error.code()), expected, error.to_string());
            None
        }
    }
}

/// Verifies the cosignatures of the policy's witnesses. Where it names none, those of the boot's are only said.
fn witnessed(
    checks: &mut Checks<'_>,
    checkpoint: SignedCheckpoint,
    signed: &Signed,
    log: &LogSettlement,
    crypto: &dyn Crypto,
) {
    let named = match &checks.document().witnesses.quorum {
        Rule::Require(named) => named,
        Rule::Ignore(reason) => {
            let quorum = quorum(log.witnesses.iter().map(String::as_str), log.quorum, crypto);
            let seen = match quorum.and_then(|quorum| quorum.verify(checkpoint, crypto)) {
                Ok(verified) => {
                    let text = format!(
                        "{} of the witnesses that the boot names cosigned that tree.",
                        verified.cosigners().len()
                    );
                    checks.prove(Step::Settlement, "witnessed_by_boots_witnesses", text.as_str());
                    text
                }
                // Nobody is asked for, so that nobody who is missing, or wrong, can be held against it.
                Err(error) => error.to_string(),
            };
            return checks.ignore(check(Step::Settlement, QUORUM, ""), reason.as_str(), seen);
        }
    };
    let (keys, threshold) = (&named.keys, named.threshold);
    let expected = format!("cosignatures of {threshold} of {} witnesses", keys.len());
    let quorum = match quorum(keys.iter().map(Vkey::as_str), threshold, crypto) {
        Ok(quorum) => quorum,
        Err(error) => {
            let check = check(Step::Settlement, QUORUM, codes::SETTLEMENT_KEYS);
            return checks.fail(check, "witnesses that can make a quorum", error.to_string());
        }
    };
    match quorum.verify(checkpoint, crypto) {
        Err(error) => {
            checks.fail(check(Step::Settlement, QUORUM, error.code()), expected, error.to_string());
        }
        Ok(verified) => {
            let names: Vec<&str> = verified.cosigners().iter().map(|one| one.key().name()).collect();
            checks.demand(check(Step::Settlement, QUORUM, ""), true, expected, names.join(", "));
            let seen_by = verified.seen_by();
            checks.settled_by = Some(seen_by);
            prove(checks, signed, &names, threshold, seen_by);
        }
    }
}

fn prove(checks: &mut Checks<'_>, signed: &Signed, names: &[&str], threshold: u64, seen_by: UnixSeconds) {
    let text = format!(
        "{} witnesses cosigned that tree ({}); {threshold} of them by {seen_by}.",
        names.len(),
        names.join(", ")
    );
    checks.prove(Step::Settlement, "witnessed", text);
    if let Some(named) = signed.checkpoint {
        let text = format!(
            "The receipt was signed between {} and {seen_by}, by the witnesses' clocks.",
            UnixSeconds(named.time)
        );
        checks.prove(Step::Settlement, "time", text);
    }
    match signed.settle_by {
        Some(settle_by) if seen_by <= settle_by => {
            let text = format!("It settled within its promise, which ended at {settle_by}.");
            checks.prove(Step::Settlement, "settled_in_time", text);
        }
        Some(settle_by) => checks.leave_unproved(
            "settled_in_time",
            format!(
                "That the receipt was in the log by {settle_by}, as promised: this proof's checkpoint is of {seen_by}. An earlier one may show it."
            ),
        ),
        None => {}
    }
}
