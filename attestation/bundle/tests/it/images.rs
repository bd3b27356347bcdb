//! Released images: a policy that requires one accepts nothing without a manifest that is signed, logged, and of the
//! guest that is judged.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::policy::{PolicyDocument, ReleaseReference, Rule};
use vouchsafe_bundle::{
    Bundle, BundleParts, EvidenceInputs, Inputs, LoggedEpoch, LoggedImage, Policy, Verdict, appraise_boot,
    appraise_document, appraise_epoch, appraise_evidence,
};
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::threshold::KeySignature;
use vouchsafe_receipt::{ImageManifest, ReceiptKey, SignedImage, image_leaf, to_low_s};
use vouchsafe_translog::{Algorithm, TlogProof, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex, from_hex};
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::common::*;
use crate::logs::{BEFORE, Log, Signer, TIMES};

const LATER: UnixSeconds = UnixSeconds(NOW.0 + 30);

/// Who may release images.
struct Releasers(Vec<(EcdsaKeyPair, Vec<u8>)>);

impl Releasers {
    fn new(count: usize) -> Self {
        let rng = SystemRandom::new();
        let one = |_| {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap();
            let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
            (pair, spki)
        };
        Self((0..count).map(one).collect())
    }

    fn require(&self, document: &mut PolicyDocument, threshold: u64) {
        let keys = self.0.iter().map(|(_, spki)| Base64(spki.clone())).collect();
        document.images.released = Rule::Require(ReleaseReference { keys, threshold });
    }

    fn release(&self, measurements: Vec<ImageMeasurement>) -> SignedImage {
        let manifest = ImageManifest::new("1.0".into(), Moment(NOW), Hex([4; 32]), measurements).unwrap();
        let mut signed = SignedImage::unsigned(manifest).unwrap();
        for (pair, spki) in &self.0 {
            let signature = pair.sign(&SystemRandom::new(), &signed.pae()).unwrap();
            let signature = to_low_s(signature.as_ref().try_into().unwrap());
            let key_id = ReceiptKey::from_spki(spki, &Ring).unwrap().id();
            signed.add(KeySignature { key_id, signature });
        }
        signed
    }
}

fn snp(measurement: [u8; 48]) -> ImageMeasurement {
    let digests = ImageDigests::SevSnp { measurement: Hex(measurement) };
    ImageMeasurement { name: "a guest".into(), digests }
}

/// The image as leaf `index` of a tree of 20.
fn logged(log: &Log, image: SignedImage, index: usize, times: &[u64]) -> LoggedImage {
    let mut leaves: Vec<_> = (0..20_usize).map(|n| merkle::leaf_hash(&n.to_be_bytes(), &Ring)).collect();
    leaves[index] = merkle::leaf_hash(&image_leaf(&image), &Ring);
    let path = merkle::inclusion_path(&leaves, index, &Ring).unwrap();
    LoggedImage::new(image, TlogProof::new(index as u64, path, log.note(&leaves, times)).unwrap())
}

fn requiring(releasers: &Releasers, log: &Log) -> Policy {
    policy_with(|document| {
        log.require(document);
        releasers.require(document, 2);
    })
}

fn judged(parts: &BundleParts, policy: &Policy, image: Option<&LoggedImage>) -> Verdict {
    let inputs = inputs(Some(REQUEST), Some(RESPONSE));
    judge(parts, policy, &Inputs { at: LATER, image, ..inputs })
}

#[test]
fn a_guest_is_accepted_whose_image_is_released_signed_and_logged() {
    let (log, releasers) = (Log::new(), Releasers::new(2));
    let (policy, enclave) = (requiring(&releasers, &log), log.enclave());
    let settled = log.settled(&enclave);
    // Nothing is shown: not accepted, and nobody is accused.
    assert_incomplete(&judged(&settled, &policy, None), "image_release_missing");
    let image = |measurements| logged(&log, releasers.release(measurements), 1, &TIMES);
    let good = image(vec![snp([1; 48]), snp(MEASUREMENT)]);
    let verdict = judged(&settled, &policy, Some(&good));
    assert_accepted(&verdict);
    assert!(proved(&verdict).contains(&"image_released"));
    // Another image than the guest runs.
    assert_rejected(&judged(&settled, &policy, Some(&image(vec![snp([1; 48])]))), "image_not_released");
    // In the bundle it is as good, and what is given beside it goes first.
    let with = BundleParts { image: Some(good.clone()), ..settled.clone() };
    assert_accepted(&judged(&with, &policy, None));
    assert!(judged(&with, &policy, None).as_logged().is_some());
    let other = image(vec![snp([1; 48])]);
    assert_rejected(&judged(&with, &policy, Some(&other)), "image_not_released");
    // A policy that ignores releases is content without, and with any.
    let lenient = policy_with(|document| log.require(document));
    assert_accepted(&judged(&settled, &lenient, None));
    assert_accepted(&judged(&settled, &lenient, Some(&other)));
}

#[test]
fn what_is_not_signed_by_enough_or_not_in_a_trusted_log_is_refused_by_name() {
    let (log, releasers) = (Log::new(), Releasers::new(2));
    let (policy, enclave) = (requiring(&releasers, &log), log.enclave());
    let settled = log.settled(&enclave);
    let image = || releasers.release(vec![snp(MEASUREMENT)]);
    let code = |image: &LoggedImage| judged(&settled, &policy, Some(image)).code().unwrap().to_owned();
    let alone = Releasers(Releasers::new(1).0).release(vec![snp(MEASUREMENT)]);
    assert_eq!(code(&logged(&log, alone, 1, &TIMES)), "signers_too_few", "a stranger");
    let mut forged = image();
    let key_id = ReceiptKey::from_spki(&releasers.0[0].1, &Ring).unwrap().id();
    forged.add(KeySignature { key_id, signature: [1; 64] });
    assert_eq!(code(&logged(&log, forged, 1, &TIMES)), "signer_signature_invalid");
    assert_eq!(code(&logged(&log, image(), 1, &TIMES[..1])), "witness_quorum_missing", "one witness of two");
    // The leaf has another hash than the proof shows, though signatures hold: ECDSA signs anew each time.
    let proof = logged(&log, image(), 1, &TIMES).proof().clone();
    assert_eq!(code(&LoggedImage::new(image(), proof)), "inclusion_invalid");
    let mut other = Log::new();
    other.signer = Signer::new("log.example/other", Algorithm::Ed25519, 2);
    assert_eq!(code(&logged(&other, image(), 1, &TIMES)), "log_not_trusted");
    other.signer = Signer::new("log.example/test", Algorithm::Ed25519, 2);
    assert_eq!(code(&logged(&other, image(), 1, &TIMES)), "checkpoint_signature_missing", "of the same name");
    // Released after the answer was logged.
    let late = judged(&settled, &policy, Some(&logged(&log, image(), BEFORE + 1, &TIMES)));
    assert_rejected(&late, "image_released_later");
    assert_accepted(&judged(&settled, &policy, Some(&logged(&log, image(), BEFORE - 1, &TIMES))));
}

/// The registers of a TD: each that is named must be one of the named; those left open may be any.
#[test]
fn a_td_is_of_an_image_if_all_registers_that_it_names_are() {
    let (log, releasers) = (Log::new(), Releasers::new(2));
    let mut enclave = Enclave::new(Machine::tdx());
    enclave.boot.settlement = log.settlement();
    enclave.rebind();
    let settled = log.settled(&enclave);
    let plain = judged(&settled, &policy_with(|document| log.require(document)), None);
    let claims = plain.claims().unwrap();
    let register = |name: &str| vec![Hex::<48>(from_hex(claims[name].as_str().unwrap()).unwrap())];
    let bent = |bend: Option<usize>| {
        let pick = |place, name: &str| match bend == Some(place) {
            true => vec![Hex([0xee; 48])],
            false => [vec![Hex([0xdd; 48])], register(name)].concat(),
        };
        let digests = ImageDigests::Tdx {
            mrtd: pick(0, "mrtd"),
            rtmr0: (bend == Some(1)).then(|| pick(1, "rtmr0")),
            rtmr1: pick(2, "rtmr1"),
            rtmr2: pick(3, "rtmr2"),
            rtmr3: (bend == Some(4)).then(|| pick(4, "rtmr3")),
        };
        let one = ImageMeasurement { name: "td".into(), digests };
        let image = logged(&log, releasers.release(vec![one]), 1, &TIMES);
        judged(&settled, &requiring(&releasers, &log), Some(&image))
    };
    assert_accepted(&bent(None));
    for place in 0..5 {
        assert_rejected(&bent(Some(place)), "image_not_released");
    }
}

#[test]
fn a_live_enclave_its_answers_and_raw_evidence_are_held_to_it() {
    let (log, releasers) = (Log::new(), Releasers::new(2));
    let (policy, enclave) = (requiring(&releasers, &log), log.enclave());
    let good = logged(&log, releasers.release(vec![snp(MEASUREMENT)]), 1, &TIMES);
    let nonce = [7; 32];
    let attest = |image: Option<&LoggedImage>| {
        let inputs = Inputs { image, ..Inputs::new(LATER) };
        appraise_document(&enclave.document(Some(nonce)), &policy, Some(&nonce), &inputs, &Ring)
    };
    assert_incomplete(&attest(None).unwrap_err(), "image_release_missing");
    let boot = attest(Some(&good)).unwrap();
    // Its bundles take the release along, so that they verify by themselves.
    let settled = log.settled(&enclave);
    let bundle = boot.bundle(settled.receipt.clone(), settled.opening.clone(), None).unwrap();
    let bundle = bundle.with_proof(settled.proof.clone().unwrap());
    let read = Bundle::parse(&bundle.to_json()).unwrap();
    assert!(read.parts().image.as_ref() == Some(&good));
    assert_accepted(&judged(read.parts(), &policy, None));
    // An answer that comes with its proof shows whether the release came first.
    let answer = |boot: &vouchsafe_bundle::VerifiedBoot| {
        let answer = vouchsafe_bundle::Answer {
            receipt: settled.receipt.as_ref(),
            opening: settled.opening.as_ref(),
            request: Some(REQUEST),
            response: Some(RESPONSE),
            proof: settled.proof.as_ref(),
            ..vouchsafe_bundle::Answer::default()
        };
        boot.check_answer(&answer, LATER, &Ring)
    };
    assert_accepted(&answer(&boot));
    let late = logged(&log, releasers.release(vec![snp(MEASUREMENT)]), BEFORE + 2, &TIMES);
    assert_rejected(&answer(&attest(Some(&late)).unwrap()), "image_released_later");

    let machine = snp_machine();
    let raw = |image: Option<&LoggedImage>| {
        let inputs = EvidenceInputs { report_data: Some(&[9; 64]), image, ..EvidenceInputs::new(NOW) };
        appraise_evidence(&machine.evidence([9; 64]), Some(&machine.endorsements()), &policy, &inputs, &Ring)
    };
    assert_incomplete(&raw(None), "image_release_missing");
    assert_accepted(&raw(Some(&good)));
}

/// A log and its monitors bring what they read there themselves.
#[test]
fn a_boot_in_a_log_is_held_to_the_releases_in_it() {
    let (log, releasers) = (Log::new(), Releasers::new(2));
    let (policy, enclave) = (requiring(&releasers, &log), log.enclave());
    let image = |byte| releasers.release(vec![snp(byte)]).unverified_manifest().clone();
    let (boot, epoch) = (enclave.attested_boot(), enclave.attested_epoch());
    let endorsements = enclave.machine.endorsements();
    let judge = |policy: &Policy, images: &[ImageManifest]| {
        let endorsements = Some(&endorsements);
        let logged = LoggedEpoch { boot: &boot, epoch: &epoch, number: enclave.epoch.epoch };
        let of_epoch = appraise_epoch(logged, endorsements, policy, images, LATER, &Ring);
        let of_boot = appraise_boot(&boot, endorsements, policy, images, LATER, &Ring);
        assert_eq!(of_epoch.is_ok(), of_boot.is_ok());
        of_boot.map(|boot| boot.images().to_vec())
    };
    assert_rejected(&judge(&policy, &[]).unwrap_err(), "image_not_released");
    assert_rejected(&judge(&policy, &[image([1; 48])]).unwrap_err(), "image_not_released");
    let released = [image([1; 48]), image(MEASUREMENT)];
    assert_eq!(judge(&policy, &released).unwrap(), [1]);
    // Each of several, in whatever place.
    let several = [image(MEASUREMENT), image([1; 48]), image(MEASUREMENT)];
    assert_eq!(judge(&policy, &several).unwrap(), [0, 2]);
    let lenient = policy_with(|document| log.require(document));
    assert_eq!(judge(&lenient, &[]).unwrap(), [0; 0]);
    assert_eq!(judge(&lenient, &released).unwrap(), [1], "told, if not demanded");
}

#[test]
fn a_file_reads_back_and_anything_else_is_refused() {
    let (log, releasers) = (Log::new(), Releasers::new(1));
    let good = logged(&log, releasers.release(vec![snp(MEASUREMENT)]), 1, &TIMES);
    let text = good.to_json();
    assert!(LoggedImage::parse(text.as_bytes()).unwrap() == good);
    let code = |text: &str| LoggedImage::parse(text.as_bytes()).unwrap_err().code();
    assert_eq!(code(""), "released_image_malformed");
    assert_eq!(code(&text.replacen('{', r#"{"more":1,"#, 1)), "released_image_malformed");
    assert_eq!(code(&text.replacen("index 1", "index x", 1)), "proof_malformed");
    let mut leaf = image_leaf(good.image());
    leaf[0] = 8;
    let changed = text.replacen(
        &vouchsafe_verifier::encoding::to_base64(&image_leaf(good.image())),
        &vouchsafe_verifier::encoding::to_base64(&leaf),
        1,
    );
    assert_eq!(code(&changed), "leaf_type_unknown");
    // Whatever byte of it is changed, it is not accepted in its stead, or it is the same.
    let policy = policy_with(|document| {
        log.require(document);
        releasers.require(document, 1);
    });
    let settled = log.settled(&log.enclave());
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(read) = LoggedImage::parse(&bytes) else { continue };
        let verdict = judged(&settled, &policy, Some(&read));
        assert!(verdict.is_accepted() <= (read.image() == good.image()), "byte {at}");
    }
}

#[test]
fn a_policy_that_names_releasers_names_enough_and_a_log() {
    let (log, releasers) = (Log::new(), Releasers::new(2));
    let refused = |change: &dyn Fn(&mut PolicyDocument)| {
        let mut document = policy().into_document();
        log.require(&mut document);
        releasers.require(&mut document, 2);
        change(&mut document);
        Policy::new(document).unwrap_err().to_string()
    };
    let keys = |change: fn(&mut ReleaseReference)| {
        move |document: &mut PolicyDocument| {
            let Rule::Require(reference) = &mut document.images.released else { panic!() };
            change(reference);
        }
    };
    let threshold = refused(&keys(|reference| reference.threshold = 3));
    assert!(threshold.contains("images.released") && threshold.contains("3 of 2"), "{threshold}");
    assert!(refused(&keys(|reference| reference.threshold = 0)).contains("anybody"));
    assert!(refused(&keys(|reference| reference.keys[1] = reference.keys[0].clone())).contains("twice"));
    assert!(refused(&keys(|reference| reference.keys[1] = Base64(vec![0; 91]))).contains("P-256"));
    let reason = vouchsafe_bundle::policy::Reason::new("for a test").unwrap();
    let no_log = refused(&|document| {
        document.log.inclusion = Rule::Ignore(reason.clone());
        document.witnesses.quorum = Rule::Ignore(reason.clone());
    });
    assert!(no_log.contains("images.released") && no_log.contains("log.inclusion"), "{no_log}");
    // Nobody at all accepts nothing.
    let nobody = policy_with(|document| {
        log.require(document);
        document.images.released = Rule::Require(ReleaseReference { keys: vec![], threshold: 1 });
    });
    let good = logged(&log, releasers.release(vec![snp(MEASUREMENT)]), 1, &TIMES);
    assert_rejected(&judged(&log.settled(&log.enclave()), &nobody, Some(&good)), "signers_unusable");
}
