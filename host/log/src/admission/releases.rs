//! What several people release together: images and lists of revocations, signed by those whom the log's policy
//! names.
//!
//! Signatures are public, so that anybody can leave some of them out, and whoever signs with ECDSA can sign the same
//! again with another signature. A payload therefore gets in once, and again only under more signatures than before:
//! whoever asks for more of them than the log does still finds them, and no payload has more leaves than signers.

use std::sync::PoisonError;

use vouchsafe_receipt::threshold::Signers;
use vouchsafe_receipt::{ImageManifest, Leaf, LeafType, SignedImage, SignedRevocations};
use vouchsafe_translog::Hash;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use super::submission::{digest, refuse};
use super::{PolicyAdmission, Refusal};
use crate::Error;
use crate::log::damaged;
use crate::storage::Release;

/// The log's policy names nobody who may revoke.
const REVOCATIONS_NOT_CONFIGURED: &str = "revocations_not_configured";
/// Somebody signed the list whom the log's policy does not name.
const REVOCATION_SIGNER_UNKNOWN: &str = "revocation_signer_unknown";
/// The log's policy names nobody who may release images.
const IMAGES_NOT_CONFIGURED: &str = "images_not_configured";
/// Somebody signed the image whom the log's policy does not name.
const IMAGE_SIGNER_UNKNOWN: &str = "image_signer_unknown";
/// The log has this payload under as many signatures or more.
const RELEASE_ADMITTED_BEFORE: &str = "release_admitted_before";

/// Most releases that are remembered to be on their way into the log.
const PENDING_MAX: usize = 4_096;

/// What a leaf releases, and under how many signatures; `None` for a leaf that releases nothing.
pub(crate) fn release_of(leaf: &Leaf) -> Option<Release> {
    let document = leaf.released()?;
    let signatures = u64::try_from(document.signatures().len()).unwrap_or(u64::MAX);
    Some(Release { payload: digest(&document.pae()), kind: leaf.leaf_type().byte(), signatures })
}

impl PolicyAdmission {
    /// Admits a list of revocations that those sign whom the log's policy names, and nobody else. It is public from
    /// then on; whether anything is refused for it is for those to decide who read it.
    pub(super) fn revocations(&self, signed: &SignedRevocations, at: UnixSeconds) -> Result<(), Refusal> {
        let signers = self.policy.revocation_signers(&Ring);
        let signers = signers.ok_or(Refusal::Code(REVOCATIONS_NOT_CONFIGURED))?;
        if !signed.document().is_by(&signers) {
            return Err(Refusal::Code(REVOCATION_SIGNER_UNKNOWN));
        }
        let verified = signed.verify(&signers, &Ring).or_else(|error| refuse(&error))?;
        verified.list().check_dates(at).or_else(|error| refuse(&error))
    }

    /// Admits an image that those release whom the log's policy names, and nobody else.
    pub(super) fn image(&self, signed: &SignedImage) -> Result<(), Refusal> {
        let signers = self.policy.release_signers(&Ring).ok_or(Refusal::Code(IMAGES_NOT_CONFIGURED))?;
        if !signed.document().is_by(&signers) {
            return Err(Refusal::Code(IMAGE_SIGNER_UNKNOWN));
        }
        signed.verify(&signers, &Ring).map(|_| ()).or_else(|error| refuse(&error))
    }

    /// Admits a release, whose signatures hold, that the log does not have under as many of them.
    pub(super) fn release(&self, leaf: &Leaf, hash: &Hash) -> Result<Option<Release>, Refusal> {
        let Some(release) = release_of(leaf) else { return Ok(None) };
        let before = || Err(Refusal::Code(RELEASE_ADMITTED_BEFORE));
        if self.storage.lock.release(&release.payload)?.is_some_and(|held| held >= release.signatures) {
            return before();
        }
        // What was admitted and is not in the log yet counts as well; itself, it may try again.
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |(signatures, other): &(u64, Hash)| *signatures >= release.signatures && other != hash;
        if pending.get(&release.payload).is_some_and(is_other) {
            return before();
        }
        if pending.len() >= PENDING_MAX {
            pending.clear();
        }
        pending.insert(release.payload, (release.signatures, *hash));
        Ok(Some(release))
    }

    /// The images that are released in this log, under those signers whom the policy names now: none where it does
    /// not ask for them.
    pub(super) fn images(&self) -> Result<Vec<ImageManifest>, Error> {
        let Some(signers) = self.policy.release_signers(&Ring) else { return Ok(Vec::new()) };
        let places = self.storage.lock.releases(LeafType::Image.byte())?;
        let images = places.into_iter().map(|place| self.image_at(place, &signers));
        images.filter_map(Result::transpose).collect()
    }

    fn image_at(&self, place: u64, signers: &Signers) -> Result<Option<ImageManifest>, Error> {
        let leaves = self.leaves(place, place.saturating_add(1))?;
        let Some(Ok(Leaf::Image(signed))) = leaves.first().map(|leaf| Leaf::parse(leaf)) else {
            return Err(damaged("the database", &"an image is not where it says"));
        };
        Ok(signed.verify(signers, &Ring).ok().map(|verified| verified.manifest().clone()))
    }
}
