//! Lists of revocations in the log: each thing that is revoked, or no longer is, is an alarm of its own.

use vouchsafe_receipt::SignedRevocations;
use vouchsafe_receipt::revocation::Revocation;
use vouchsafe_verifier::crypto::Ring;

use crate::Violation;
use crate::appraise::Appraise;
use crate::state::{Revocations, State};

/// Takes a list at `index` of the log into account.
pub(crate) fn look(
    state: &mut State,
    index: u64,
    signed: &SignedRevocations,
    appraise: &dyn Appraise,
) -> Vec<Violation> {
    let unverified = |why: String| vec![Violation::RevocationUnverified { index, why }];
    let Some(signers) = appraise.revocation_signers() else {
        return unverified("this monitor's policy names nobody who may revoke".into());
    };
    let verified = match signed.verify(&signers, &Ring) {
        Ok(verified) => verified,
        Err(error) => return unverified(error.to_string()),
    };
    let (seen, serial) = (verified.seen(), verified.seen().serial);
    if let Some(newest) = &state.revocations {
        if newest.seen == seen || serial < newest.seen.serial {
            // Anybody may log an older list again that the log did not have: it says nothing any more.
            return Vec::new();
        }
        if serial == newest.seen.serial {
            let (first, second) = (newest.seen.release, seen.release);
            return vec![Violation::RevocationForked { index, serial, first, second }];
        }
    }
    let before = state.revocations.take().map(|newest| newest.revocations).unwrap_or_default();
    let after = verified.list().revocations.clone();
    let is_in = |list: &[Revocation], one: &Revocation| {
        list.iter().any(|other| other.revokes == one.revokes && other.at == one.at)
    };
    let new = after.iter().filter(|one| !is_in(&before, one)).map(|one| Violation::Revoked {
        index,
        serial,
        name: one.name.clone(),
        subject: one.revokes.describe(),
        at: one.at.0.0,
        reason: one.reason.clone(),
    });
    let is_gone = |one: &&Revocation| after.iter().all(|other| other.revokes != one.revokes);
    let gone = before.iter().filter(is_gone).map(|one| Violation::RevocationWithdrawn {
        index,
        serial,
        subject: one.revokes.describe(),
    });
    let violations = new.chain(gone).collect();
    state.revocations = Some(Revocations { seen, revocations: after });
    violations
}
