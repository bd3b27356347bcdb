//! Revocations as leaves: only those get in that the log's own policy lets revoke.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use vouchsafe_receipt::revocation::{Revocation, Revoked};
use vouchsafe_receipt::threshold::KeySignature;
use vouchsafe_receipt::{ReceiptKey, RevocationList, SignedRevocations, revocations_leaf, to_low_s};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, to_base64};
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::admission::Vendor;
use crate::admission_policy::Desk;

struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, spki }
    }
}

fn leaf(issued: UnixSeconds, keys: &[&Key]) -> Vec<u8> {
    let revokes = Revoked::Boot(Hex([1; 32]));
    let one = Revocation { name: "leak".into(), revokes, at: Moment(issued), reason: "a leak".into() };
    let expires = Moment(UnixSeconds(issued.0 + 3600));
    let list =
        RevocationList { version: 1, serial: 1, issued: Moment(issued), expires, revocations: vec![one] };
    let mut signed = SignedRevocations::unsigned(list).unwrap();
    for key in keys {
        let signature = key.pair.sign(&SystemRandom::new(), &signed.pae()).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        let key_id = ReceiptKey::from_spki(&key.spki, &Ring).unwrap().id();
        signed.add(KeySignature { key_id, signature });
    }
    revocations_leaf(&signed)
}

#[test]
fn a_list_gets_in_under_the_signatures_that_the_policy_names_and_no_others() {
    let now = Vendor::get().now;
    let (a, b, stranger) = (Key::new(), Key::new(), Key::new());
    let keys = [&a, &b].map(|key| to_base64(&key.spki));
    let mut desk = Desk::new(|policy| {
        policy["revocations"]["list"] =
            json!({"require": {"keys": keys, "threshold": 2, "age_seconds_max": 3600}});
    });
    let good = leaf(now, &[&a, &b]);
    let mut forged = good.clone();
    let last = forged.len() - 20;
    forged[last] ^= 1;
    for (wrong, at, code) in [
        (leaf(now, &[&a]), now, "signers_too_few"),
        (leaf(now, &[&stranger]), now, "revocation_signer_unknown"),
        // What others add would make another leaf of the same list.
        (leaf(now, &[&a, &b, &stranger]), now, "revocation_signer_unknown"),
        (forged, now, "signer_signature_invalid"),
        (good.clone(), UnixSeconds(now.0 + 3600), "release_expired"),
        (good.clone(), UnixSeconds(now.0 - 1), "release_from_future"),
        (good[..good.len() - 1].to_vec(), now, "leaf_malformed"),
    ] {
        assert_eq!(desk.submit(&[&wrong], at), [code]);
    }
    assert_eq!(desk.submit(&[&good], now), ["ok"]);
    // Without keys in its policy a log takes nobody's word.
    let mut closed = Desk::new(|_| ());
    assert_eq!(closed.submit(&[&good], now), ["revocations_not_configured"]);
}
