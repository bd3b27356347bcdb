//! Lists of revocations in the log: what is newly revoked, or no longer, is told at once.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_monitor::Violation;
use vouchsafe_receipt::revocation::{AmdProduct, Revocation, Revoked};
use vouchsafe_receipt::threshold::{KeySignature, Signers};
use vouchsafe_receipt::{ReceiptKey, RevocationList, SignedRevocations, revocations_leaf, to_low_s};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::honest::followed;
use crate::log::T;

/// The key that the tests' policy lets revoke.
pub(crate) struct Authority {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, spki }
    }

    /// One for all tests.
    pub(crate) fn get() -> &'static Self {
        static AUTHORITY: std::sync::OnceLock<Authority> = std::sync::OnceLock::new();
        AUTHORITY.get_or_init(Self::new)
    }

    pub(crate) fn signers(&self) -> Signers {
        Signers::new([self.spki.as_slice()], 1, &Ring).unwrap()
    }

    pub(crate) fn leaf(&self, serial: u64, revoked: &[Revoked]) -> Vec<u8> {
        let one = |revokes: &Revoked| Revocation {
            name: revokes.describe().chars().take(40).collect(),
            revokes: revokes.clone(),
            at: Moment(UnixSeconds(T)),
            reason: "for a test".into(),
        };
        let list = RevocationList {
            version: 1,
            serial,
            issued: Moment(UnixSeconds(T)),
            expires: Moment(UnixSeconds(T + 1000)),
            revocations: revoked.iter().map(one).collect(),
        };
        let mut signed = SignedRevocations::unsigned(list).unwrap();
        signed.add(self.sign(&signed.pae()));
        revocations_leaf(&signed)
    }

    pub(crate) fn sign(&self, pae: &[u8]) -> KeySignature {
        let signature = self.pair.sign(&SystemRandom::new(), pae).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        KeySignature { key_id: ReceiptKey::from_spki(&self.spki, &Ring).unwrap().id(), signature }
    }
}

#[test]
fn what_is_revoked_is_told_once_and_by_name() {
    let (mut log, _, mut watching) = followed(20);
    let authority = Authority::get();
    let (boot, family) = (Revoked::Boot(Hex([1; 32])), Revoked::Product(AmdProduct::Milan));
    let mut publish = |leaf: Vec<u8>| {
        log.add(leaf);
        log.publish(log.time + 1);
        watching.monitor.poll(log.time * 1000).unwrap().violations
    };
    let codes = |found: &[Violation]| found.iter().map(Violation::code).collect::<Vec<_>>();
    let first = publish(authority.leaf(1, std::slice::from_ref(&boot)));
    assert_eq!(codes(&first), ["revoked"]);
    let said = first[0].to_string();
    assert!(said.contains("revokes boot 0101") && said.contains("list 1"), "{said}");
    // The next one says what is new, and what is gone.
    assert_eq!(codes(&publish(authority.leaf(2, &[boot.clone(), family.clone()]))), ["revoked"]);
    let gone = publish(authority.leaf(3, std::slice::from_ref(&family)));
    assert_eq!(codes(&gone), ["revocation_withdrawn"]);
    // An old one says nothing any more; two of one serial are somebody's fault.
    assert_eq!(codes(&publish(authority.leaf(2, std::slice::from_ref(&boot)))), [""; 0]);
    assert_eq!(codes(&publish(authority.leaf(3, std::slice::from_ref(&boot)))), ["revocation_forked"]);
    // A stranger's is in the log and is not believed.
    assert_eq!(codes(&publish(Authority::new().leaf(4, &[boot]))), ["revocation_unverified"]);
    assert_eq!(codes(&publish(authority.leaf(5, &[family]))), [""; 0], "nothing new");
    let mut watching = watching.restart(&log);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(watching.monitor.state().alarms().len(), 5);
}
