//! Attacks on what a log takes in: filling it, blessing an image oneself, entering what must not be there.

use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{LogReference, ReleaseReference, Rule, Vkey};
use vouchsafe_log::admission::{Admission as _, PolicyAdmission, Refusal};
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_log::{Folder, Log, sequence};
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::records::{endorsements_blob, evidence_blob};
use vouchsafe_receipt::threshold::KeySignature;
use vouchsafe_receipt::{
    BootRecord, EndorsementsRecord, ImageManifest, LogSettlement, PayloadType, ReceiptKey, Settlement,
    SignedImage, endorsements_leaf, envelope_leaf, image_leaf, receipt_leaf, to_low_s,
};
use vouchsafe_verifier::Moment;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};

use crate::forger::Forger;
use crate::liar::Watched;
use crate::machine::{MEASUREMENT, now, policy, policy_with, snp};

/// A log that takes in what its policy lets in.
struct Desk {
    _folder: tempfile::TempDir,
    blobs: Arc<BlobPool>,
    admission: PolicyAdmission,
    log: Log,
}

impl Desk {
    fn new(policy: Policy) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(temp.path().join("log"), None, None);
        let key = Arc::new(folder.init("log.example").unwrap());
        let log = Log::open(folder.open().unwrap(), key).unwrap();
        let storage = log.storage().clone();
        let blobs = Arc::new(BlobPool::new(Arc::clone(&storage.blobs)));
        let admission = PolicyAdmission::new(policy, storage, Arc::clone(&blobs));
        Self { _folder: temp, blobs, admission, log }
    }

    /// What comes of each leaf of a submission; `ok` where it is in the log then.
    fn submit(&mut self, leaves: &[&[u8]]) -> Vec<&'static str> {
        let judged = self.admission.admit(leaves, &[], now());
        let admitted: Vec<_> = judged.iter().flatten().map(|admitted| admitted.leaf.clone()).collect();
        sequence(&mut self.log, &admitted).unwrap();
        let code = |one: Result<_, Refusal>| match one {
            Ok(_) => "ok",
            Err(Refusal::Code(code)) => code,
            Err(Refusal::Unavailable(error)) => panic!("{error}"),
        };
        judged.into_iter().map(code).collect()
    }

    /// A boot with everything that its leaf names.
    fn boot(&mut self, boot: &Forger) -> &'static str {
        let document = boot.document([0; 32]);
        let (attested, endorsements) = (document.boot, document.endorsements.unwrap());
        let id = boot.boot.boot.0;
        for blob in [
            attested.statement.0.clone(),
            evidence_blob(&attested.evidence),
            endorsements_blob(&endorsements),
        ] {
            self.blobs.hold(Ring.sha256(&blob), blob.into());
        }
        let record = BootRecord::of(id, &attested, &Ring).to_bytes();
        let leaf = envelope_leaf(&boot.sign_as(PayloadType::Boot, &record)).unwrap();
        let endorsed = endorsements_leaf(&EndorsementsRecord::of(id, &endorsements, &Ring));
        self.submit(&[&leaf, &endorsed])[0]
    }

    fn size(&self) -> u64 {
        self.log.head().head.size
    }
}

fn receipt(boot: &Forger) -> Vec<u8> {
    receipt_leaf(&boot.bundle(b"{}", |_| ()).receipt.unwrap())
}

/// Promise: what is in the log is of boots that its policy accepted. Strangers' boots and receipts, other code's, and
/// what names another's boot, stay outside, so that nobody fills it and nobody speaks for another.
#[test]
fn a_log_takes_nothing_of_a_boot_that_its_policy_does_not_accept() {
    let mut desk = Desk::new(policy());
    let honest = Forger::new();
    let mut other_code = snp();
    other_code.fields_mut().measurement = [0x66; 48];
    let endorsements = other_code.endorsements();
    let other_code = Forger::on(Box::new(move |data| other_code.evidence(data)), endorsements);
    assert_eq!(desk.boot(&other_code), "measurement_mismatch");
    assert_eq!(desk.submit(&[&receipt(&other_code)]), ["boot_not_admitted"]);
    assert_eq!(desk.submit(&[&receipt(&honest)]), ["boot_not_admitted"], "not yet");
    assert_eq!(desk.size(), 0);
    assert_eq!(desk.boot(&honest), "ok", "the control");
    assert_eq!(desk.submit(&[&receipt(&honest)]), ["ok"]);
    // In another's name, under a key of one's own.
    let forged = other_code.bundle(b"{}", |payload| payload.boot = honest.boot.boot).receipt.unwrap();
    let forged = other_code.sign_as(PayloadType::Receipt, forged.unverified_payload());
    assert_eq!(desk.submit(&[&receipt_leaf(&forged)]), ["receipt_signature_invalid"]);
    assert_eq!(desk.size(), 3, "boot, endorsements, receipt");
}

/// Somebody who releases images.
struct Releaser(EcdsaKeyPair, Vec<u8>);

impl Releaser {
    fn new() -> Self {
        let (rng, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        Self(pair, spki)
    }
}

/// A release of what measures so, under these signatures.
fn release(measurement: [u8; 48], by: &[&Releaser]) -> Vec<u8> {
    let digests = ImageDigests::SevSnp { measurement: Hex(measurement) };
    let one = ImageMeasurement { name: "a guest".into(), digests };
    let manifest = ImageManifest::new("1.0".into(), Moment(now()), Hex([1; 32]), vec![one]).unwrap();
    let mut signed = SignedImage::unsigned(manifest).unwrap();
    for Releaser(pair, spki) in by {
        let signature = pair.sign(&SystemRandom::new(), &signed.pae()).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        signed.add(KeySignature { key_id: Ring.sha256(spki), signature });
    }
    image_leaf(&signed)
}

/// A policy of a log in which two of these release images, and boots settle into it.
fn releasing(watched: &Watched, releasers: &[&Releaser]) -> Policy {
    policy_with(|document| {
        let keys = releasers.iter().map(|releaser| Base64(releaser.1.clone())).collect();
        document.images.released = Rule::Require(ReleaseReference { keys, threshold: 2 });
        let key = Vkey::new(watched.log.key.to_string()).unwrap();
        document.log.inclusion = Rule::Require(vec![LogReference { key }]);
    })
}

/// Promise: only those bless images whom the policy names, together. An operator's own word, one releaser's, and a
/// stranger's beside theirs, do not enter; nor does what is there already, with signatures left out.
#[test]
fn nobody_blesses_an_image_alone_or_twice() {
    let watched = Watched::new();
    let [a, b, c, stranger] = [0; 4].map(|_| Releaser::new());
    let mut desk = Desk::new(releasing(&watched, &[&a, &b, &c]));
    let leaf = |by: &[&Releaser]| release(MEASUREMENT, by);
    assert_eq!(desk.submit(&[&leaf(&[&stranger])]), ["image_signer_unknown"]);
    assert_eq!(desk.submit(&[&leaf(&[&a])]), ["signers_too_few"]);
    assert_eq!(desk.submit(&[&leaf(&[&a, &b, &stranger])]), ["image_signer_unknown"]);
    let whole = leaf(&[&a, &b, &c]);
    let cut = whole[..whole.len() - 96].to_vec();
    assert_eq!(desk.submit(&[&whole]), ["ok"], "the control");
    assert_eq!(desk.submit(&[&cut]), ["release_admitted_before"], "a signature less is no other leaf");
    assert_eq!(desk.size(), 1);
}

/// Promise: where a policy asks for released images, a boot of another one is in no log and with that serves nobody.
#[test]
fn a_boot_of_an_image_that_nobody_released_stays_outside() {
    let watched = Watched::new();
    let [a, b] = [0; 2].map(|_| Releaser::new());
    let mut desk = Desk::new(releasing(&watched, &[&a, &b]));
    let mut boot = Forger::new();
    boot.boot.settlement = Settlement::Log(LogSettlement {
        key: watched.log.key.to_string(),
        witnesses: watched.witnesses.iter().map(|witness| witness.key.to_string()).collect(),
        quorum: 2,
        bound_s: 60,
        unsettled_max: 16,
    });
    assert_eq!(desk.boot(&boot), "image_not_released");
    assert_eq!(desk.submit(&[&release([0x66; 48], &[&a, &b])]), ["ok"]);
    assert_eq!(desk.boot(&boot), "image_not_released", "another was");
    assert_eq!(desk.submit(&[&release(MEASUREMENT, &[&a, &b])]), ["ok"]);
    assert_eq!(desk.boot(&boot), "ok", "the control");
}
