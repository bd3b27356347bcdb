//! Released images: whether the guest's measurement is in an image manifest that is logged.
//!
//! A client or auditor of one answer is shown one manifest, with the proof that it is in a log that the policy
//! trusts. Whoever reads a log itself, as its monitors do, brings the manifests that it read there.

use vouchsafe_receipt::ImageManifest;
use vouchsafe_receipt::image::ImageDigests;
use vouchsafe_translog::{Quorum, SignedCheckpoint, VerifierKey, merkle};
use vouchsafe_verifier::VerifiedEvidence;
use vouchsafe_verifier::crypto::Crypto;

use super::checks::{Checks, check};
use crate::policy::{PolicyDocument, Rule};
use crate::verdict::Step;
use crate::{LoggedImage, codes};

const RULE: &str = "images.released";

/// What is at hand of released images.
#[derive(Debug, Clone)]
pub(crate) enum Released<'a> {
    /// No manifest came along.
    Missing,
    /// One came along, and why it does not count is recorded.
    Refused,
    /// One came along, and is verified to be in a log.
    Shown(ShownImage),
    /// All manifests in the log that is read, by whoever reads it.
    Read(&'a [ImageManifest]),
}

/// A manifest that is verified to be in a log.
#[derive(Debug, Clone)]
pub(crate) struct ShownImage {
    manifest: ImageManifest,
    origin: String,
    index: u64,
}

/// Verifies the manifest that came along, where the policy requires one: who signed it, and that it is in one of
/// the policy's logs.
pub(super) fn shown(
    checks: &mut Checks<'_>,
    image: Option<&LoggedImage>,
    crypto: &dyn Crypto,
) -> Released<'static> {
    let document = checks.document();
    // Without the rule nobody says whose manifests count.
    let (Rule::Require(_), Some(image)) = (&document.images.released, image) else {
        return Released::Missing;
    };
    let manifest = image.image().unverified_manifest();
    let seen = format!("the release {:?} of {}", manifest.release, manifest.issued.0);
    let expected = "a release that enough of the policy's keys signed";
    let verified = match checks.policy.release_signers(crypto) {
        Some(signers) => image.image().verify(&signers, crypto),
        None => Err(vouchsafe_receipt::Error::Signers("the policy names nobody".into())),
    };
    let manifest = match verified {
        Ok(verified) => verified.manifest().clone(),
        Err(error) => {
            let refused = check(Step::BootPlatform, RULE, error.code());
            checks.fail(refused, expected, format!("{seen}: {error}"));
            return Released::Refused;
        }
    };
    match logged(document, image, crypto) {
        Ok(origin) => Released::Shown(ShownImage { manifest, origin, index: image.proof().index() }),
        Err((code, why)) => {
            let refused = check(Step::BootPlatform, RULE, code);
            checks.fail(refused, "a release in a log that the policy trusts", format!("{seen}: {why}"));
            Released::Refused
        }
    }
}

/// Verifies that an image's leaf is in one of the policy's logs, under its witnesses where it names some; gives the
/// log's origin.
fn logged(
    document: &PolicyDocument,
    image: &LoggedImage,
    crypto: &dyn Crypto,
) -> Result<String, (&'static str, String)> {
    let refused = |error: vouchsafe_translog::Error| (error.code(), error.to_string());
    let origin = image.proof().claimed_checkpoint().origin();
    let logs = document.log.inclusion.required().into_iter().flatten();
    let keys: Result<Vec<_>, _> = logs.map(|log| VerifierKey::parse(log.key.as_str(), crypto)).collect();
    let keys: Vec<_> = keys.map_err(refused)?.into_iter().filter(|key| key.name() == origin).collect();
    if keys.is_empty() {
        return Err((codes::LOG_UNTRUSTED, format!("its proof is of the log {origin:?}")));
    }
    let note = image.proof().note().to_string();
    let opened = SignedCheckpoint::open(note.as_bytes(), origin, &keys, crypto).map_err(refused)?;
    let leaf = merkle::leaf_hash(&vouchsafe_receipt::image_leaf(image.image()), crypto);
    image.proof().verify_path(&leaf, &opened, crypto).map_err(refused)?;
    if let Rule::Require(witnesses) = &document.witnesses.quorum {
        let keys: Result<Vec<_>, _> =
            witnesses.keys.iter().map(|key| VerifierKey::parse(key.as_str(), crypto)).collect();
        let threshold = usize::try_from(witnesses.threshold).unwrap_or(usize::MAX);
        let quorum = keys.and_then(|keys| Quorum::new(keys, threshold)).map_err(refused)?;
        quorum.verify(opened, crypto).map_err(refused)?;
    }
    Ok(origin.to_owned())
}

/// Holds that the guest runs a released image.
pub(super) fn machine(checks: &mut Checks<'_>, step: Step, evidence: &VerifiedEvidence) {
    // That an epoch is of the boot's image is held elsewhere.
    if !checks.document().images.released.is_required() || step != Step::BootPlatform {
        return;
    }
    let expected = "a measurement in the manifest of a logged release";
    let found = match &checks.released {
        Released::Refused => return,
        Released::Missing => {
            let missing = check(step, RULE, codes::IMAGE_RELEASE_MISSING);
            return checks.skip(missing, expected, "no manifest given");
        }
        Released::Shown(shown) => image_of(std::slice::from_ref(&shown.manifest), evidence)
            .map(|image| (image, format!(", leaf {} of the log {:?}", shown.index, shown.origin)))
            .ok_or_else(|| format!("not in the release {:?}", shown.manifest.release)),
        Released::Read(images) => image_of(images, evidence)
            .map(|image| (image, String::new()))
            .ok_or_else(|| format!("in none of the {} releases in the log", images.len())),
    };
    let unreleased = check(step, RULE, codes::IMAGE_NOT_RELEASED);
    match found {
        Ok((image, place)) => {
            let text = format!("The guest's image was released as {:?}{place}.", image.release);
            let seen = format!("the release {:?} of {}", image.release, image.issued.0);
            checks.demand(unreleased, true, expected, seen);
            checks.prove(step, "image_released", text);
        }
        Err(why) => checks.fail(unreleased, expected, why),
    }
}

/// Holds that the image was released before the receipt at `index` of the log with this origin was logged.
pub(super) fn before(checks: &mut Checks<'_>, origin: &str, index: u64) {
    let Released::Shown(shown) = &checks.released else { return };
    if shown.origin != origin {
        let text =
            format!("That the image was released before: its release is in the log {:?}.", shown.origin);
        return checks.leave_unproved("image_release_order", text);
    }
    let (released, seen) = (shown.index < index, format!("leaf {}", shown.index));
    let late = check(Step::Settlement, RULE, codes::IMAGE_RELEASED_LATER);
    checks.demand(late, released, format!("a release logged before leaf {index}"), seen);
}

/// The first image that a guest may run, by what it measures to.
fn image_of<'i>(images: &'i [ImageManifest], evidence: &VerifiedEvidence) -> Option<&'i ImageManifest> {
    images.get(*images_of(images, evidence).first()?)
}

/// The places of all images that a guest may run, by what it measures to: one may be released under several names.
pub(crate) fn images_of(images: &[ImageManifest], evidence: &VerifiedEvidence) -> Vec<usize> {
    let is_it = |digests: &ImageDigests| match (digests, evidence.snp(), evidence.tdx()) {
        (ImageDigests::SevSnp { measurement }, Some(snp), _) => measurement.0 == *snp.measurement(),
        (ImageDigests::Tdx { .. }, _, Some(tdx)) => {
            let report = tdx.report();
            let [r0, r1, r2, r3] = &report.rtmr;
            let seen = [&report.mrtd, r0, r1, r2, r3];
            let matches = |(named, seen): (Option<&[_]>, &[u8; 48])| {
                named.is_none_or(|digests: &[vouchsafe_verifier::encoding::Hex<48>]| {
                    digests.iter().any(|digest| digest.0 == *seen)
                })
            };
            digests.registers().into_iter().zip(seen).all(matches)
        }
        _ => false,
    };
    let measures = |image: &ImageManifest| image.measurements.iter().any(|one| is_it(&one.digests));
    images.iter().enumerate().filter(|(_, image)| measures(image)).map(|(place, _)| place).collect()
}
