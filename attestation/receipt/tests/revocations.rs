//! Lists of revocations: what is refused, whose signatures count, and the one form of their leaf.

mod common;

use common::Signer;
use proptest::prelude::*;
use serde_json::{Value, json};
use vouchsafe_receipt::revocation::{AmdProduct, Registers, Revocation, Revoked};
use vouchsafe_receipt::threshold::{KeySignature, Seen, Signers};
use vouchsafe_receipt::{
    LEAF_BYTES_MAX, Leaf, LeafType, PayloadType, RevocationList, SignedRevocations, revocations_leaf,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, to_base64};
use vouchsafe_verifier::{Moment, UnixSeconds};

const ISSUED: UnixSeconds = UnixSeconds(1_800_000_000);
const EXPIRES: UnixSeconds = UnixSeconds(1_800_086_400);

fn revocation(name: &str, revokes: Revoked) -> Revocation {
    Revocation { name: name.into(), revokes, at: Moment(ISSUED), reason: "for a test".into() }
}

fn registers() -> Registers {
    Registers { mrtd: None, rtmr0: None, rtmr1: None, rtmr2: Some(Hex([6; 48])), rtmr3: None }
}

/// One of each kind.
fn list() -> RevocationList {
    let revocations = vec![
        revocation("boot", Revoked::Boot(Hex([1; 32]))),
        revocation("key", Revoked::ReceiptKey(Hex([2; 32]))),
        revocation("chip", Revoked::ChipId(Hex([3; 64]))),
        revocation("platform", Revoked::Ppid(Hex([4; 16]))),
        revocation("image", Revoked::Measurement(Hex([5; 48]))),
        revocation("td", Revoked::Registers(registers())),
        revocation("family", Revoked::Product(AmdProduct::Milan)),
        revocation("model", Revoked::Fmspc(Hex([7; 6]))),
    ];
    RevocationList { version: 1, serial: 3, issued: Moment(ISSUED), expires: Moment(EXPIRES), revocations }
}

fn sign(signed: &mut SignedRevocations, signer: &Signer) {
    let payload = signed.unverified_list().to_bytes();
    let signature = signer.signature(PayloadType::Revocation.as_str(), &payload);
    signed.add(KeySignature { key_id: signer.key.id(), signature });
}

fn signed_by(signers: &[&Signer]) -> SignedRevocations {
    let mut signed = SignedRevocations::unsigned(list()).unwrap();
    signers.iter().for_each(|signer| sign(&mut signed, signer));
    signed
}

fn trusted(signers: &[&Signer], threshold: usize) -> Signers {
    Signers::new(signers.iter().map(|signer| signer.spki.as_slice()), threshold, &Ring).unwrap()
}

#[test]
fn a_list_reads_back_and_is_written_as_documented() {
    let bytes = list().to_bytes();
    assert_eq!(RevocationList::parse(&bytes).unwrap(), list());
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let image = &value["revocations"][5];
    assert_eq!(image["revokes"], json!({"registers": {"rtmr2": "06".repeat(48)}}));
    assert_eq!(value["revocations"][6]["revokes"], json!({"product": "Milan"}));
    assert_eq!(value["expires"], "2027-01-16T08:00:00Z");
    let signer = Signer::new();
    let signed = signed_by(&[&signer]);
    let read = SignedRevocations::parse(signed.to_json().as_bytes()).unwrap();
    assert_eq!(read.verify(&trusted(&[&signer], 1), &Ring).unwrap().list(), &list());
}

/// What is wrong with a document has its name, whoever signed it.
#[test]
fn what_is_no_list_is_refused_by_name() {
    let good = serde_json::to_value(list()).unwrap();
    let with = |pointer: &str, change: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = change;
        changed.to_string()
    };
    let text = String::from_utf8(list().to_bytes()).unwrap();
    let many: Vec<_> = (0..257_u16)
        .map(|n| revocation(&n.to_string(), Revoked::Fmspc(Hex([0, 0, 0, 0, (n >> 8) as u8, n as u8]))))
        .collect();
    let million = format!("{}[{}]}}", &text[..text.find('[').unwrap()], vec!["1"; 1_000_000].join(","));
    for (what, text, code) in [
        ("nothing", String::new(), "payload_malformed"),
        ("a key twice", text.replacen('{', r#"{"version":1,"#, 1), "payload_malformed"),
        ("an unknown field", text.replacen('{', r#"{"more":1,"#, 1), "payload_malformed"),
        ("a future version", text.replacen(r#""version":1"#, r#""version":2,"new":0"#, 1), "version_unknown"),
        ("no version", "{}".into(), "payload_malformed"),
        ("white space", text.replacen(',', ", ", 1), "payload_not_canonical"),
        ("another order", good.to_string().replacen("{", "{ ", 1), "payload_not_canonical"),
        ("dates the wrong way", with("/expires", good["issued"].clone()), "payload_malformed"),
        ("a huge serial", with("/serial", json!(1_u64 << 53)), "payload_malformed"),
        ("a million entries", million, "payload_malformed"),
        ("an unknown kind", with("/revocations/0/revokes", json!({"planet": "00"})), "payload_malformed"),
        (
            "two kinds at once",
            with("/revocations/0/revokes", json!({"boot": "01".repeat(32), "receipt_key": "01".repeat(32)})),
            "payload_malformed",
        ),
        ("no register", with("/revocations/5/revokes", json!({"registers": {}})), "payload_malformed"),
        (
            "one subject twice",
            with("/revocations/1/revokes", good["revocations"][0]["revokes"].clone()),
            "payload_malformed",
        ),
        ("one name twice", with("/revocations/1/name", json!("boot")), "payload_malformed"),
        ("no reason", with("/revocations/1/reason", json!("  ")), "payload_malformed"),
        ("no name", with("/revocations/1/name", json!("")), "payload_malformed"),
    ] {
        assert_eq!(RevocationList::parse(text.as_bytes()).unwrap_err().code(), code, "{what}");
    }
    let mut too_many = list();
    too_many.revocations = many;
    assert_eq!(SignedRevocations::unsigned(too_many.clone()).unwrap_err().code(), "payload_malformed");
    too_many.revocations.truncate(256);
    assert!(SignedRevocations::unsigned(too_many.clone()).is_ok());
    for one in &mut too_many.revocations {
        one.reason = "x".repeat(1024);
    }
    let error = SignedRevocations::unsigned(too_many).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[test]
fn so_many_of_the_signers_must_have_signed() {
    let (a, b, c, stranger) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
    let two = trusted(&[&a, &b, &c], 2);
    let code = |signed: &SignedRevocations| signed.verify(&two, &Ring).unwrap_err().code();
    assert!(signed_by(&[&a, &c]).verify(&two, &Ring).is_ok());
    assert_eq!(code(&signed_by(&[&a])), "signers_too_few");
    assert_eq!(code(&signed_by(&[&a, &a])), "signers_too_few");
    assert_eq!(code(&signed_by(&[&a, &stranger])), "signers_too_few");
    let with_stranger = signed_by(&[&a, &b, &stranger]);
    assert!(with_stranger.verify(&two, &Ring).is_ok() && !with_stranger.document().is_by(&two));
    assert!(signed_by(&[&a, &b]).document().is_by(&two));
    // A signature under a trusted key's name that is not that key's is no mere absence.
    let mut forged = signed_by(&[&a, &b]);
    forged.add(KeySignature { key_id: c.key.id(), signature: [1; 64] });
    assert_eq!(code(&forged), "signer_signature_invalid");
    // Another type's signature is none: the type is signed.
    let mut other = SignedRevocations::unsigned(list()).unwrap();
    for signer in [&a, &b] {
        let signature = signer.signature(PayloadType::Image.as_str(), &list().to_bytes());
        other.add(KeySignature { key_id: signer.key.id(), signature });
    }
    assert_eq!(code(&other), "signer_signature_invalid");
    for (spkis, threshold) in
        [(vec![&a.spki], 0), (vec![&a.spki], 2), (vec![&a.spki, &a.spki], 1), (vec![], 1)]
    {
        let signers = Signers::new(spkis.into_iter().map(Vec::as_slice), threshold, &Ring);
        assert_eq!(signers.unwrap_err().code(), "signers_unusable");
    }
    assert!(Signers::new([[0; 91].as_slice()], 1, &Ring).is_err());
}

#[test]
fn what_is_no_envelope_of_a_list_is_refused() {
    let signer = Signer::new();
    let envelope: Value = serde_json::from_str(&signed_by(&[&signer]).to_json()).unwrap();
    for (pointer, value, code) in [
        ("/payloadType", json!(PayloadType::Receipt.as_str()), "payload_type_wrong"),
        ("/payload", json!(to_base64(b"{}")), "payload_malformed"),
        ("/payload", json!("*"), "envelope_malformed"),
        ("/signatures/0/sig", json!("AAAA"), "envelope_malformed"),
        ("/signatures", json!([envelope["signatures"][0], envelope["signatures"][0]]), "envelope_malformed"),
    ] {
        let mut changed = envelope.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let error = SignedRevocations::parse(changed.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{pointer}: {error}");
    }
}

#[test]
fn dates_and_serials_are_kept() {
    assert_eq!(list().check_dates(EXPIRES).unwrap_err().code(), "release_expired");
    assert_eq!(list().check_dates(UnixSeconds(ISSUED.0 - 1)).unwrap_err().code(), "release_from_future");
    assert!(list().check_dates(UnixSeconds(EXPIRES.0 - 1)).is_ok() && list().check_dates(ISSUED).is_ok());
    let seen = |serial, digest| Seen { serial, release: Hex([digest; 32]) };
    assert!(seen(3, 1).admits(&seen(4, 2)).is_ok() && seen(3, 1).admits(&seen(3, 1)).is_ok());
    assert_eq!(seen(3, 1).admits(&seen(2, 1)).unwrap_err().code(), "release_rollback");
    assert_eq!(seen(3, 1).admits(&seen(3, 2)).unwrap_err().code(), "release_fork");
}

#[test]
fn a_leaf_has_one_form_and_every_byte_of_it_counts() {
    let (a, b) = (Signer::new(), Signer::new());
    let two = trusted(&[&a, &b], 2);
    let signed = signed_by(&[&a, &b]);
    let good = revocations_leaf(&signed);
    assert_eq!(good, revocations_leaf(&signed_by_in_order(&signed, &[&b, &a])));
    let leaf = Leaf::parse(&good).unwrap();
    assert_eq!((leaf.leaf_type(), leaf.boot(), leaf.to_bytes()), (LeafType::Revocation, None, good.clone()));
    let Leaf::Revocation(read) = &leaf else { panic!("{leaf:?}") };
    assert!(read.verify(&two, &Ring).is_ok());
    for at in 0..good.len() {
        let mut bent = good.clone();
        bent[at] ^= 0x01;
        let Ok(Leaf::Revocation(bent)) = Leaf::parse(&bent) else { continue };
        assert!(bent.verify(&two, &Ring).is_err(), "byte {at}");
    }
    for length in 0..good.len() - 96 {
        assert!(Leaf::parse(&good[..length]).is_err(), "{length}");
    }
    // Signatures the other way round, one twice, one too many bytes.
    let (rest, signatures) = good.split_at(good.len() - 192);
    let (first, second) = signatures.split_at(96);
    for wrong in [[rest, second, first].concat(), [rest, first, first].concat(), [&good[..], &[0]].concat()] {
        assert_eq!(Leaf::parse(&wrong).unwrap_err().code(), "leaf_malformed");
    }
    assert_eq!(Leaf::parse(rest).unwrap_err().code(), "leaf_malformed", "unsigned");
    // The longest list fits.
    let mut long = list();
    long.revocations = (0..40_u8)
        .map(|n| Revocation {
            reason: "x".repeat(1000),
            ..revocation(&n.to_string(), Revoked::Boot(Hex([n; 32])))
        })
        .collect();
    let mut long = SignedRevocations::unsigned(long).unwrap();
    for n in 0..64 {
        long.add(KeySignature { key_id: [n; 32], signature: [1; 64] });
    }
    assert!(revocations_leaf(&long).len() <= LEAF_BYTES_MAX);
    assert!(Leaf::parse(&revocations_leaf(&long)).is_ok());
}

/// The same signatures, added in another order.
fn signed_by_in_order(signed: &SignedRevocations, order: &[&Signer]) -> SignedRevocations {
    let json: Value = serde_json::from_str(&signed.to_json()).unwrap();
    let signatures = json["signatures"].as_array().unwrap();
    let of = |signer: &&Signer| {
        let id = Hex(signer.key.id()).to_string();
        signatures.iter().find(|one| one["keyid"] == id).unwrap().clone()
    };
    let mut json = json.clone();
    json["signatures"] = order.iter().map(of).collect();
    SignedRevocations::parse(json.to_string().as_bytes()).unwrap()
}

proptest! {
    #[test]
    fn parsing_is_total(bytes in prop::collection::vec(any::<u8>(), 0..400), length in 0_u8..=255) {
        let _ = RevocationList::parse(&bytes);
        let _ = SignedRevocations::parse(&bytes);
        let leaf = [&[8, 0, 0, 0, length], bytes.as_slice()].concat();
        if let Ok(parsed) = Leaf::parse(&leaf) {
            prop_assert_eq!(parsed.to_bytes(), leaf);
        }
    }
}
