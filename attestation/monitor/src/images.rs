//! Released images in the log: which there are, and whether those released them who may.

use serde::Serialize;
use vouchsafe_receipt::{ImageManifest, SignedImage};
use vouchsafe_verifier::crypto::Ring;

use crate::Violation;
use crate::appraise::Appraise;
use crate::state::{Appraisal, Boot, Image, State};

/// Images that are remembered. What is released beyond is not followed: of boots behind it that are of no remembered
/// image, nothing can be said.
const IMAGES_MAX: usize = 1 << 12;

/// Takes an image at `index` of the log into account.
pub(crate) fn look(
    state: &mut State,
    index: u64,
    signed: &SignedImage,
    appraise: &dyn Appraise,
) -> Vec<Violation> {
    let unverified = |why: String| vec![Violation::ImageUnverified { index, why }];
    let Some(signers) = appraise.release_signers() else {
        return unverified("this monitor's policy names nobody who may release images".into());
    };
    let manifest = match signed.verify(&signers, &Ring) {
        Ok(verified) => verified.manifest().clone(),
        Err(error) => return unverified(error.to_string()),
    };
    // The same image under more signatures, or released anew by another at another time, says nothing new.
    let is_same = |known: &ImageManifest| {
        known.manifest == manifest.manifest && known.measurements == manifest.measurements
    };
    let mut namesakes = state.images.iter().filter(|image| image.manifest.release == manifest.release);
    if namesakes.clone().any(|image| is_same(&image.manifest)) {
        return Vec::new();
    }
    let renamed = namesakes.next().map(|image| Violation::ImageRenamed {
        index,
        first: image.index,
        release: manifest.release.clone(),
    });
    if state.images.len() >= IMAGES_MAX {
        // To accuse a boot of an image that was let go of would be wrong, and to say nothing would be, too.
        let is_first = state.images_unfollowed.is_none();
        state.images_unfollowed.get_or_insert(index);
        let unfollowed = is_first.then_some(Violation::ImagesUnfollowed { index });
        return renamed.into_iter().chain(unfollowed).collect();
    }
    state.images.push(Image { index, manifest });
    renamed.into_iter().collect()
}

/// The boots in the log of the image whose leaf is at `index`.
pub(crate) fn boots_of(state: &State, index: u64) -> impl Iterator<Item = &String> {
    let is_of = move |boot: &Boot| match &boot.appraisal {
        Some(Appraisal::Accepted(accepted)) => accepted.images.contains(&index),
        _ => false,
    };
    state.boots.iter().filter(move |(_, boot)| is_of(boot)).map(|(id, _)| id)
}

/// An image as other programs read it.
#[derive(Serialize)]
struct Listed<'a> {
    index: u64,
    #[serde(flatten)]
    manifest: &'a ImageManifest,
    boots: Vec<&'a String>,
}

/// All images and their boots, as JSON, oldest first.
pub(crate) fn to_json(state: &State) -> String {
    let listed: Vec<Listed<'_>> = state
        .images
        .iter()
        .map(|Image { index, manifest }| Listed {
            index: *index,
            manifest,
            boots: boots_of(state, *index).collect(),
        })
        .collect();
    // Strings and integers only: serialisation has no failing case.
    serde_json::to_string_pretty(&listed).unwrap_or_default()
}

/// The images that were in the log before the entry at `index`.
pub(crate) fn before(images: &[Image], index: u64) -> Vec<Image> {
    images.iter().filter(|image| image.index < index).cloned().collect()
}
