//! Released images, where this crate is built without what verifies them: a policy that requires one is never met.

use vouchsafe_receipt::ImageManifest;
use vouchsafe_verifier::VerifiedEvidence;
use vouchsafe_verifier::crypto::Crypto;

use super::checks::{Checks, check};
use crate::verdict::Step;
use crate::{LoggedImage, codes};

/// What is at hand of released images: nothing that counts.
#[derive(Debug, Clone)]
pub(crate) enum Released<'a> {
    /// No manifest counts.
    Missing,
    /// Never made.
    Shown(ShownImage),
    /// What a log shows, which nobody reads here.
    Read(&'a [ImageManifest]),
}

/// Never made.
#[derive(Debug, Clone)]
pub(crate) struct ShownImage;

/// Takes no manifest.
pub(super) fn shown(_: &mut Checks<'_>, _: Option<&LoggedImage>, _: &dyn Crypto) -> Released<'static> {
    Released::Missing
}

/// Says of a policy that requires a released image that it was not verified.
pub(super) fn machine(checks: &mut Checks<'_>, step: Step, _: &VerifiedEvidence) {
    if checks.document().images.released.is_required() && step == Step::BootPlatform {
        let missing = check(step, "images.released", codes::IMAGE_RELEASE_MISSING);
        let expected = "a measurement in the manifest of a logged release";
        checks.skip(missing, expected, "this program verifies no released images");
    }
}

/// Nothing was released.
pub(super) fn before(_: &mut Checks<'_>, _: &str, _: u64) {}

/// Nothing was released.
pub(crate) fn images_of(_: &[ImageManifest], _: &VerifiedEvidence) -> Vec<usize> {
    Vec::new()
}
