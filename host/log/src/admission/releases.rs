//! What several people release together: images and lists of revocations, signed by those whom the log's policy
//! names.
//!
//! Signatures are public, so that anybody can leave some of them out, and whoever signs with ECDSA can sign the same
//! again with another signature. A payload therefore gets in once, and again only under more signatures than before:
//! whoever asks for more of them than the log does still finds them, and no payload has more leaves than signers. Only
//! signatures of those count whom the policy names now, so that a release can be signed anew when its keys are rotated.

use std::sync::{Arc, PoisonError, Weak};

use vouchsafe_receipt::threshold::SignedDocument;
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

/// A release on its way into the log: it ends with its leaf, and so when its batch failed.
#[derive(Debug)]
pub(super) struct Pending {
    signatures: usize,
    hash: Hash,
    leaf: Weak<()>,
}

/// What a leaf releases; `None` for a leaf that releases nothing.
pub(crate) fn release_of(leaf: &Leaf) -> Option<Release> {
    let document = leaf.released()?;
    Some(Release { payload: digest(&document.pae()), kind: leaf.leaf_type().byte() })
}

/// An image in the log. Its leaf never changes, nor does the policy while the program runs: read and verified once.
#[derive(Debug)]
pub(super) struct ReadImage {
    place: u64,
    /// Whether enough of those signed it whom the policy names now.
    is_by_signers: bool,
    manifest: ImageManifest,
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

    /// Admits a release, whose signatures hold, that the log does not have under as many of them. Of those that it
    /// has, signatures count that are of signers whom the policy names now: a release can be signed anew with new keys.
    pub(super) fn release(&self, leaf: &Leaf, hash: &Hash) -> Result<Option<(Release, Arc<()>)>, Refusal> {
        let (Some(release), Some(document)) = (release_of(leaf), leaf.released()) else { return Ok(None) };
        let signers = match leaf.leaf_type() {
            LeafType::Image => self.policy.release_signers(&Ring),
            _ => self.policy.revocation_signers(&Ring),
        };
        let before = || Err(Refusal::Code(RELEASE_ADMITTED_BEFORE));
        let count =
            |document: &SignedDocument| signers.as_ref().map_or(0, |signers| document.count_by(signers));
        let signatures = count(document);
        // What is on its way into the log counts as well; itself, it may try again. What is so no more is in the log
        // by now, if it ever will be: so the log is looked at second.
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let held = pending.get(&release.payload).and_then(|held| Some((held, held.leaf.upgrade()?)));
        let leaf = match held {
            Some((held, leaf)) if held.hash == *hash => leaf,
            Some((held, _)) if held.signatures >= signatures => return before(),
            _ => Arc::default(),
        };
        for place in self.storage.lock.release(&release.payload)? {
            let held = self.released_at(place)?;
            if held.released().is_some_and(|held| count(held) >= signatures) {
                return before();
            }
        }
        pending.retain(|_, held| held.leaf.strong_count() > 0);
        pending.insert(release.payload, Pending { signatures, hash: *hash, leaf: Arc::downgrade(&leaf) });
        Ok(Some((release, leaf)))
    }

    /// The images that are released in this log, under those signers whom the policy names now: none where it does
    /// not ask for them.
    pub(super) fn images(&self) -> Result<Vec<ImageManifest>, Error> {
        self.images_where(|_| false)
    }

    /// The images to which a boot is held that is in the log at `index`: those that were released when it was
    /// admitted, whoever may release now, and those that are.
    pub(super) fn images_of_boot(&self, index: u64) -> Result<Vec<ImageManifest>, Error> {
        self.images_where(|place| place < index)
    }

    fn images_where(&self, is_admitted: impl Fn(u64) -> bool) -> Result<Vec<ImageManifest>, Error> {
        let Some(signers) = self.policy.release_signers(&Ring) else { return Ok(Vec::new()) };
        let places = self.storage.lock.releases(LeafType::Image.byte())?;
        let mut read = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            if read.last().is_some_and(|last| last.place >= place) {
                continue;
            }
            let Leaf::Image(signed) = self.released_at(place)? else { continue };
            let is_by_signers = signed.verify(&signers, &Ring).is_ok();
            read.push(ReadImage { place, is_by_signers, manifest: signed.unverified_manifest().clone() });
        }
        let mut images: Vec<ImageManifest> = Vec::new();
        for image in read.iter() {
            // The log verified what it admitted, under the signers of that time.
            let counts = image.is_by_signers || is_admitted(image.place);
            if counts && !images.contains(&image.manifest) {
                images.push(image.manifest.clone());
            }
        }
        Ok(images)
    }

    fn released_at(&self, place: u64) -> Result<Leaf, Error> {
        let leaves = self.leaves(place, place.saturating_add(1))?;
        let leaf = leaves.first().and_then(|leaf| Leaf::parse(leaf).ok());
        leaf.filter(|leaf| leaf.released().is_some())
            .ok_or_else(|| damaged("the database", &"a release is not where it says"))
    }
}
