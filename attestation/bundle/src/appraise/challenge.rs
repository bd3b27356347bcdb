//! The live proof: a fresh report that covers the client's own nonce.

use vouchsafe_receipt::{AttestationDocument, ChallengeAnswer, report_data};
use vouchsafe_translog::merkle;
use vouchsafe_verifier::VerifiedEvidence;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;

use super::checks::{Checks, check};
use super::evidence::Basis;
use super::statements::{self, Steps};
use crate::codes;
use crate::policy::Rule;
use crate::verdict::Step;

const RULE: &str = "sessions.challenge";
const STEPS: Steps = Steps { evidence: Step::ChallengeEvidence, platform: Step::ChallengePlatform };

/// Checks the answer to `nonce`. An answer that is there must be right, whatever the policy says.
pub(super) fn appraise(
    checks: &mut Checks<'_>,
    document: &AttestationDocument,
    nonce: Option<&[u8; 32]>,
    basis: &Basis<'_>,
    boot: Option<&VerifiedEvidence>,
) {
    let (nonce, answer) = match (nonce, &document.challenge) {
        (Some(nonce), Some(answer)) => (nonce, answer),
        (None, _) => return absent(checks, codes::CHALLENGE_NOT_SENT, "no nonce was sent"),
        (Some(_), None) => return absent(checks, codes::CHALLENGE_MISSING, "the nonce was not answered"),
    };
    let evidence = statements::report(checks, basis, STEPS, &answer.evidence, boot);
    let nonce_check = check(Step::Challenge, RULE, codes::CHALLENGE_NONCE);
    checks.demand(nonce_check, answer.nonce.0 == *nonce, to_hex(nonce), answer.nonce.to_string());
    let Some(root) = nonce_root(checks, answer, nonce, basis.crypto) else { return };
    let bound = statements::bound(
        checks,
        check(Step::Challenge, "challenge_report_data", codes::CHALLENGE_REPORT_DATA),
        evidence.as_ref(),
        &report_data::challenge(&document.epoch.statement.0, &root, basis.crypto),
    );
    if bound {
        checks.prove(
            Step::Challenge,
            "fresh",
            "The guest was running when it was asked: a new report covers the client's own nonce.",
        );
    }
}

fn absent(checks: &mut Checks<'_>, code: &'static str, seen: &str) {
    let check = check(Step::Challenge, RULE, code);
    let expected = "a fresh report over the client's nonce";
    match &checks.document().sessions.challenge {
        Rule::Ignore(reason) => checks.ignore(check, reason.as_str(), seen),
        // The client did not ask, so the check could not run; an enclave that was asked and does not
        // answer fails it.
        Rule::Require(_) if code == codes::CHALLENGE_NOT_SENT => checks.skip(check, expected, seen),
        Rule::Require(_) => checks.fail(check, expected, seen),
    }
}

/// The root to which the client's nonce leads by the answer's path.
fn nonce_root(
    checks: &mut Checks<'_>,
    answer: &ChallengeAnswer,
    nonce: &[u8; 32],
    crypto: &dyn Crypto,
) -> Option<[u8; 32]> {
    let path: Vec<[u8; 32]> = answer.path.iter().map(|hash| hash.0).collect();
    let leaf = merkle::leaf_hash(nonce, crypto);
    match merkle::inclusion_root(&leaf, answer.leaf_index, answer.tree_size, &path, crypto) {
        Ok(root) => Some(root),
        Err(error) => {
            let check = check(Step::Challenge, "challenge_path", codes::CHALLENGE_PATH);
            checks.fail(check, "an inclusion path for the nonce", error.to_string());
            None
        }
    }
}
