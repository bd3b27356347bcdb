//! Manifests of released images: what is refused, whose signatures count, and the one form of their leaf.

mod common;

use common::Signer;
use proptest::prelude::*;
use serde_json::{Value, json};
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::threshold::{KeySignature, Signers};
use vouchsafe_receipt::{
    ImageManifest, LEAF_BYTES_MAX, Leaf, LeafType, PayloadType, SignedImage, image_leaf,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Moment, UnixSeconds};

fn snp(name: &str, byte: u8) -> ImageMeasurement {
    let measurement = Hex([byte; 48]);
    ImageMeasurement { name: name.into(), digests: ImageDigests::SevSnp { measurement } }
}

fn tdx() -> ImageMeasurement {
    let digests = ImageDigests::Tdx {
        mrtd: vec![Hex([1; 48]), Hex([2; 48])],
        rtmr0: None,
        rtmr1: vec![Hex([3; 48])],
        rtmr2: vec![Hex([4; 48])],
        rtmr3: Some(vec![Hex([0; 48])]),
    };
    ImageMeasurement { name: "td".into(), digests }
}

fn manifest() -> ImageManifest {
    let issued = Moment(UnixSeconds(1_800_000_000));
    let measurements = vec![snp("1 vCPU", 5), snp("2 vCPUs", 6), tdx()];
    ImageManifest::new("1.0".into(), issued, Hex([7; 32]), measurements).unwrap()
}

fn signed_by(signers: &[&Signer]) -> SignedImage {
    let mut signed = SignedImage::unsigned(manifest()).unwrap();
    for signer in signers {
        let signature = signer.signature(PayloadType::Image.as_str(), &manifest().to_bytes());
        signed.add(KeySignature { key_id: signer.key.id(), signature });
    }
    signed
}

fn trusted(signers: &[&Signer], threshold: usize) -> Signers {
    Signers::new(signers.iter().map(|signer| signer.spki.as_slice()), threshold, &Ring).unwrap()
}

#[test]
fn a_manifest_reads_back_and_is_written_as_documented() {
    let bytes = manifest().to_bytes();
    assert_eq!(ImageManifest::parse(&bytes).unwrap(), manifest());
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let digests = json!({"platform": "sev-snp", "measurement": "05".repeat(48)});
    assert_eq!(value["measurements"][0], json!({"name": "1 vCPU", "digests": digests}));
    assert_eq!(
        value["measurements"][2]["digests"],
        json!({"platform": "tdx", "mrtd": ["01".repeat(48), "02".repeat(48)], "rtmr1": ["03".repeat(48)],
            "rtmr2": ["04".repeat(48)], "rtmr3": ["00".repeat(48)]})
    );
    let text = manifest().measurements[2].digests.describe();
    assert!(text.starts_with("tdx MRTD 0101") && text.contains(" or 0202") && !text.contains("RTMR0"));
    let signer = Signer::new();
    let read = SignedImage::parse(signed_by(&[&signer]).to_json().as_bytes()).unwrap();
    assert_eq!(read.verify(&trusted(&[&signer], 1), &Ring).unwrap().manifest(), &manifest());
}

#[test]
fn what_is_no_manifest_is_refused_by_name() {
    let good = serde_json::to_value(manifest()).unwrap();
    let text = String::from_utf8(manifest().to_bytes()).unwrap();
    let with = |pointer: &str, change: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = change;
        changed.to_string()
    };
    for (what, text, code) in [
        ("nothing", String::new(), "payload_malformed"),
        ("a key twice", text.replacen('{', r#"{"version":1,"#, 1), "payload_malformed"),
        ("an unknown field", text.replacen('{', r#"{"more":1,"#, 1), "payload_malformed"),
        ("a future version", text.replacen(r#""version":1"#, r#""version":2,"new":0"#, 1), "version_unknown"),
        ("no version", "{}".into(), "payload_malformed"),
        ("white space", text.replacen(',', ", ", 1), "payload_not_canonical"),
        ("no name", with("/release", json!(" ")), "payload_malformed"),
        ("a long name", with("/measurements/0/name", json!("x".repeat(129))), "payload_malformed"),
        ("a short digest", with("/manifest", json!("00")), "payload_malformed"),
        ("no measurement", with("/measurements", json!([])), "payload_malformed"),
        ("one twice", with("/measurements/1", good["measurements"][0].clone()), "payload_malformed"),
        ("a platform", with("/measurements/0/digests/platform", json!("cca")), "payload_malformed"),
        ("no firmware", with("/measurements/2/digests/mrtd", json!([])), "payload_malformed"),
        ("an empty register", with("/measurements/2/digests/rtmr3", json!([])), "payload_malformed"),
        ("null for any", with("/measurements/2/digests/rtmr3", Value::Null), "payload_not_canonical"),
        (
            "a digest twice",
            with("/measurements/2/digests/rtmr1", json!(["03".repeat(48), "03".repeat(48)])),
            "payload_malformed",
        ),
    ] {
        assert_eq!(ImageManifest::parse(text.as_bytes()).unwrap_err().code(), code, "{what}");
    }
    let mut many = manifest();
    many.measurements = (0..=u8::MAX).map(|n| snp(&n.to_string(), n)).collect();
    assert!(SignedImage::unsigned(many.clone()).is_ok());
    many.measurements.push(tdx());
    assert_eq!(SignedImage::unsigned(many.clone()).unwrap_err().code(), "payload_malformed");
    many.measurements.truncate(256);
    many.measurements.iter_mut().for_each(|one| one.name = "x".repeat(128));
    assert!(SignedImage::unsigned(many).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn so_many_of_the_signers_must_have_signed() {
    let (a, b, c, stranger) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
    let two = trusted(&[&a, &b, &c], 2);
    let code = |signed: &SignedImage| signed.verify(&two, &Ring).unwrap_err().code();
    assert!(signed_by(&[&a, &c]).verify(&two, &Ring).is_ok());
    assert_eq!(code(&signed_by(&[&a])), "signers_too_few");
    assert_eq!(code(&signed_by(&[&a, &stranger])), "signers_too_few");
    let mut forged = signed_by(&[&a, &b]);
    forged.add(KeySignature { key_id: c.key.id(), signature: [1; 64] });
    assert_eq!(code(&forged), "signer_signature_invalid");
    // A list of revocations is no image: the type is signed.
    let mut other = SignedImage::unsigned(manifest()).unwrap();
    for signer in [&a, &b] {
        let signature = signer.signature(PayloadType::Revocation.as_str(), &manifest().to_bytes());
        other.add(KeySignature { key_id: signer.key.id(), signature });
    }
    assert_eq!(code(&other), "signer_signature_invalid");
}

#[test]
fn a_leaf_has_one_form_and_every_byte_of_it_counts() {
    let (a, b) = (Signer::new(), Signer::new());
    let two = trusted(&[&a, &b], 2);
    let good = image_leaf(&signed_by(&[&a, &b]));
    let leaf = Leaf::parse(&good).unwrap();
    assert_eq!((leaf.leaf_type(), leaf.boot(), leaf.to_bytes()), (LeafType::Image, None, good.clone()));
    assert_eq!(leaf.released().unwrap().unverified_payload(), manifest().to_bytes());
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 0x01;
        let Ok(Leaf::Image(bent)) = Leaf::parse(&bent) else { continue };
        assert!(bent.verify(&two, &Ring).is_err(), "byte {at}");
    }
    for length in 0..good.len() - 96 {
        assert!(Leaf::parse(&good[..length]).is_err(), "{length}");
    }
    let (rest, signatures) = good.split_at(good.len() - 192);
    let (first, second) = signatures.split_at(96);
    for wrong in [[rest, second, first].concat(), [rest, first, first].concat(), [&good[..], &[0]].concat()] {
        assert_eq!(Leaf::parse(&wrong).unwrap_err().code(), "leaf_malformed");
    }
    assert_eq!(Leaf::parse(rest).unwrap_err().code(), "leaf_malformed", "unsigned");
    let Leaf::Image(whole) = &leaf else { panic!("{leaf:?}") };
    assert_eq!(&SignedImage::from_leaf(&good).unwrap(), whole);
    let as_revocation = [&[LeafType::Revocation.byte()], &good[1..]].concat();
    assert_eq!(Leaf::parse(&as_revocation).unwrap_err().code(), "leaf_signed_type_wrong");
    assert_eq!(SignedImage::from_leaf(&as_revocation).unwrap_err().code(), "leaf_type_unknown");
    assert_eq!(SignedImage::from_leaf(&[]).unwrap_err().code(), "leaf_malformed");
    // The longest manifest fits.
    let mut long = manifest();
    long.measurements = (0..200_u8).map(|n| snp(&"x".repeat(50), n)).collect();
    let mut long = SignedImage::unsigned(long).unwrap();
    for n in 0..64 {
        long.add(KeySignature { key_id: [n; 32], signature: [1; 64] });
    }
    assert!(image_leaf(&long).len() <= LEAF_BYTES_MAX);
    assert!(Leaf::parse(&image_leaf(&long)).is_ok());
}

proptest! {
    #[test]
    fn parsing_is_total(bytes in prop::collection::vec(any::<u8>(), 0..400), length in 0_u8..=255) {
        let _ = ImageManifest::parse(&bytes);
        let _ = SignedImage::parse(&bytes);
        let leaf = [&[7, 0, 0, 0, length], bytes.as_slice()].concat();
        if let Ok(parsed) = Leaf::parse(&leaf) {
            prop_assert_eq!(parsed.to_bytes(), leaf);
        }
    }

    /// What is written reads back, whatever the registers hold.
    #[test]
    fn manifests_survive_the_way_through_a_leaf(
        name in "[ -~]{0,20}x",
        registers in prop::collection::vec(prop::collection::btree_set(any::<u8>(), 1..4), 3),
        open in any::<(bool, bool)>(),
    ) {
        let digests = |place: usize| registers[place].iter().map(|byte| Hex([*byte; 48])).collect::<Vec<_>>();
        let digests = ImageDigests::Tdx {
            mrtd: digests(0),
            rtmr0: open.0.then(|| digests(1)),
            rtmr1: digests(1),
            rtmr2: digests(2),
            rtmr3: open.1.then(|| digests(0)),
        };
        let one = ImageMeasurement { name: name.clone(), digests };
        let made = ImageManifest::new(name, Moment(UnixSeconds(1)), Hex([9; 32]), vec![one]).unwrap();
        let mut signed = SignedImage::unsigned(made.clone()).unwrap();
        signed.add(KeySignature { key_id: [1; 32], signature: [2; 64] });
        let Ok(Leaf::Image(read)) = Leaf::parse(&image_leaf(&signed)) else { panic!("no leaf") };
        prop_assert_eq!(read.unverified_manifest(), &made);
    }
}
