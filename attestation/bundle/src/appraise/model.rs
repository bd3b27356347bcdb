//! Which model and which engine answered.

use vouchsafe_receipt::{BootStatement, EngineIdentity, ModelManifest};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;

use super::checks::{Checks, check};
use super::platform::any_of;
use super::receipt::Signed;
use crate::codes;
use crate::policy::{ModelReference, Rule};
use crate::verdict::Step;

/// Holds the answer's model and engine against what the boot attests and the policy accepts.
///
/// `refused`: whether the response was shown to be an error; only then may a receipt name no model.
pub(super) fn of_answer(
    checks: &mut Checks<'_>,
    signed: &Signed,
    boot: &BootStatement,
    refused: bool,
    crypto: &dyn Crypto,
) {
    match signed.model {
        Some(digest) => model_of_answer(checks, &digest, boot, crypto),
        None => {
            let check = check(Step::Model, "models", codes::MODEL_ABSENT);
            match &checks.document().models {
                Rule::Ignore(reason) => checks.ignore(check, reason.as_str(), "no model"),
                Rule::Require(_) => {
                    let expected = "a model, or a response that is shown to be a refusal";
                    let seen = if refused { "no model, a refusal" } else { "no model" };
                    checks.demand(check, refused, expected, seen);
                }
            }
        }
    }
    let attested = boot.engine.digest(crypto);
    let is_attested = checks.demand(
        check(Step::Engine, "engine_attested", codes::ENGINE_NOT_ATTESTED),
        signed.engine == attested,
        to_hex(&attested),
        to_hex(&signed.engine),
    );
    if is_attested {
        engine(checks, boot);
    }
}

/// Holds what a live boot serves against the policy: at least one of its models must be accepted.
/// Each answer is judged by its own receipt.
pub(super) fn of_boot(checks: &mut Checks<'_>, boot: &BootStatement, crypto: &dyn Crypto) {
    checks.rule(
        check(Step::Model, "models", codes::MODEL_MISMATCH),
        &checks.document().models,
        any_of(boot.models.iter().map(|model| describe(model, crypto))),
        |accepted| any_of(accepted.iter().map(|reference| format!("{:?}", reference.name))),
        |accepted| boot.models.iter().any(|model| accepted.iter().any(|one| matches(one, model, crypto))),
    );
    engine(checks, boot);
}

fn model_of_answer(checks: &mut Checks<'_>, digest: &[u8; 32], boot: &BootStatement, crypto: &dyn Crypto) {
    let manifest = boot.models.iter().find(|model| model.digest(crypto) == *digest);
    checks.demand(
        check(Step::Model, "model_attested", codes::MODEL_NOT_ATTESTED),
        manifest.is_some(),
        any_of(boot.models.iter().map(|model| describe(model, crypto))),
        to_hex(digest),
    );
    let Some(manifest) = manifest else { return };
    let rule = &checks.document().models;
    checks.rule(
        check(Step::Model, "models", codes::MODEL_MISMATCH),
        rule,
        describe(manifest, crypto),
        |accepted| any_of(accepted.iter().map(|reference| format!("{:?}", reference.name))),
        |accepted| accepted.iter().any(|reference| matches(reference, manifest, crypto)),
    );
    let known =
        rule.required().and_then(|accepted| accepted.iter().find(|one| matches(one, manifest, crypto)));
    let name = known.map_or_else(
        || format!("the model that the boot serves as {:?}", manifest.name),
        |reference| format!("the model {:?}", reference.name),
    );
    checks.prove(Step::Model, "model", format!("The answer is of {name}, manifest {}.", to_hex(digest)));
}

fn engine(checks: &mut Checks<'_>, boot: &BootStatement) {
    let identities = &checks.document().engine.identities;
    let text =
        |engine: &EngineIdentity| format!("{} {} (kernel {})", engine.name, engine.version, engine.kernel);
    checks.rule(
        check(Step::Engine, "engine.identities", codes::ENGINE_MISMATCH),
        identities,
        text(&boot.engine),
        |accepted| any_of(accepted.iter().map(text)),
        |accepted| accepted.contains(&boot.engine),
    );
    checks.prove(Step::Engine, "engine", format!("The engine is {}.", text(&boot.engine)));
}

fn matches(reference: &ModelReference, manifest: &ModelManifest, crypto: &dyn Crypto) -> bool {
    let is_manifest = reference.manifest.is_none_or(|digest| digest.0 == manifest.digest(crypto));
    let has_weights =
        reference.weights.is_none_or(|digest| manifest.files.iter().any(|file| file.sha256 == digest));
    // A reference without any digest is refused with its policy.
    is_manifest && has_weights
}

fn describe(model: &ModelManifest, crypto: &dyn Crypto) -> String {
    format!("{:?} {}", model.name, to_hex(&model.digest(crypto)))
}
