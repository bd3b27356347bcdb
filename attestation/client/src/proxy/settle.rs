//! Completing kept bundles: most receipts settle in the transparency log after their answer was passed on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_bundle::{Answer as Shown, VerifiedBoot};
use vouchsafe_translog::TlogProof;
use vouchsafe_verifier::crypto::Ring;

use super::save;
use crate::{Answer, Client, now};

/// Answers whose proofs are awaited at the same time.
pub(super) const AWAITED_MAX: usize = 256;
/// Pauses between looking for a proof: the first, which doubles, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// Looks for one proof: about five minutes.
const LOOKS: usize = 64;

/// Whether a proof is to come that the answer's bundle lacks.
pub(super) fn is_due(answer: &Answer) -> bool {
    let receipt = answer.verdict.as_ref().filter(|verdict| verdict.is_accepted());
    let settles = receipt.and_then(|verdict| verdict.receipt()).is_some_and(|r| r.settle_by.is_some());
    settles && answer.proof.is_none() && answer.token.is_some()
}

/// Waits for the proof of an answer, of which the bodies are not needed, and writes its bundle anew with
/// the proof in it. Without one the bundle stays as it is, and can be completed from the log.
pub(super) async fn complete(
    client: Arc<Client>,
    bundle: PathBuf,
    mut answer: Answer,
    boot: Arc<VerifiedBoot>,
) {
    let Some(token) = answer.token.take() else { return };
    let [mut pause, longest] = PAUSES;
    for _ in 0..LOOKS {
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(longest);
        let Ok(kept) = client.kept(&token, &boot).await else { continue };
        let Some(proof) = kept.proof else { continue };
        if !is_proof_of(&answer, &boot, &proof) {
            return;
        }
        answer.proof = Some(proof);
        if let Ok(complete) = answer.bundle(&boot) {
            // What was kept before stays where this fails.
            let _ = save::replace(bundle, complete.to_json()).await;
        }
        return;
    }
}

/// Nothing replaces a good bundle but a better one.
fn is_proof_of(answer: &Answer, boot: &VerifiedBoot, proof: &TlogProof) -> bool {
    let shown = Shown {
        receipt: answer.receipt.as_ref(),
        opening: answer.opening.as_ref(),
        stream: answer.stream.as_ref(),
        request: None,
        response: None,
        proof: Some(proof),
    };
    now().is_ok_and(|now| boot.check_answer(&shown, now, &Ring).is_accepted())
}
