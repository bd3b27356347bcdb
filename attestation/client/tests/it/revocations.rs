//! The newest list of revocations, from a file that somebody keeps up to date: what it names is asked nothing more,
//! and without it nobody is.

use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{RevocationReference, Rule};
use vouchsafe_client::{Client, Options, now};
use vouchsafe_receipt::revocation::{Revocation, Revoked};
use vouchsafe_receipt::threshold::KeySignature;
use vouchsafe_receipt::{ReceiptKey, RevocationList, SignedRevocations, to_low_s};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::attestation::question;
use crate::enclave::Enclave;

/// Who may revoke, and the file that their lists are in.
struct Authority {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, spki, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("revocations.json")
    }

    fn policy(&self) -> Policy {
        let mut document = crate::signer::policy().into_document();
        let keys = vec![Base64(self.spki.clone())];
        document.revocations.list =
            Rule::Require(RevocationReference { keys, threshold: 1, age_seconds_max: 3_600 });
        Policy::new(document).unwrap()
    }

    /// Replaces the file, as `vouchsafe policy pull` does.
    fn publish(&self, serial: u64, issued: UnixSeconds, revoked: &[Revoked]) {
        let one = |revokes: &Revoked| Revocation {
            name: revokes.describe().chars().take(50).collect(),
            revokes: revokes.clone(),
            at: Moment(issued),
            reason: "for a test".into(),
        };
        let list = RevocationList {
            version: 1,
            serial,
            issued: Moment(issued),
            expires: Moment(UnixSeconds(issued.0 + 86_400)),
            revocations: revoked.iter().map(one).collect(),
        };
        let mut signed = SignedRevocations::unsigned(list).unwrap();
        let signature = self.pair.sign(&SystemRandom::new(), &signed.pae()).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        let key_id = ReceiptKey::from_spki(&self.spki, &Ring).unwrap().id();
        signed.add(KeySignature { key_id, signature });
        replace(&self.file(), signed.to_json().as_bytes());
    }

    fn client(&self, enclave: &Enclave) -> Client {
        let options = Options {
            address: enclave.address.to_string(),
            policy: self.policy(),
            extra_roots: Vec::new(),
            revocations: Some(self.file()),
            image: None,
        };
        Client::new(options).unwrap()
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes).unwrap();
    std::fs::rename(&part, path).unwrap();
}

async fn refusal(client: &Client) -> &'static str {
    client.ask(&question()).await.map(drop).unwrap_err().code()
}

#[tokio::test]
async fn a_boot_that_is_revoked_is_asked_nothing_more() {
    let (enclave, authority) = (Enclave::honest().await, Authority::new());
    let now = now().unwrap();
    let boot = Revoked::Boot(Hex(enclave.boot().id()));
    authority.publish(1, now, &[Revoked::Boot(Hex([1; 32]))]);
    let client = authority.client(&enclave);
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    assert_eq!((enclave.attestations(), enclave.requests()), (1, 2));
    // A new list has the enclave judged again, and one that names it ends the matter.
    authority.publish(2, now, &[]);
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    assert_eq!((enclave.attestations(), enclave.requests()), (2, 3));
    authority.publish(3, now, &[boot]);
    assert_eq!(refusal(&client).await, "boot_revoked");
    assert_eq!(enclave.requests(), 3);
    // Nor is the older list taken again.
    authority.publish(2, now, &[]);
    assert_eq!(refusal(&client).await, "revocations_unusable");
    assert_eq!(enclave.requests(), 3);
}

#[tokio::test]
async fn without_a_current_list_nobody_is_asked_anything() {
    let (enclave, authority) = (Enclave::honest().await, Authority::new());
    let now = now().unwrap();
    let client = authority.client(&enclave);
    assert_eq!(refusal(&client).await, "revocations_unusable", "no file");
    authority.publish(1, now, &[]);
    assert!(client.ask(&question()).await.unwrap().0.is_accepted());
    std::fs::remove_file(authority.file()).unwrap();
    assert_eq!(refusal(&client).await, "revocations_unusable", "gone, though it was read before");
    for text in [b"{}".as_slice(), b""] {
        replace(&authority.file(), text);
        assert_eq!(refusal(&client).await, "revocations_unusable");
    }
    authority.publish(2, UnixSeconds(now.0 - 3_601), &[]);
    assert_eq!(refusal(&client).await, "revocations_stale");
    // Somebody else's list, and a policy that names nobody.
    let stranger = Authority::new();
    stranger.publish(3, now, &[]);
    std::fs::copy(stranger.file(), authority.file()).unwrap();
    assert_eq!(refusal(&client).await, "revocations_unusable");
    let options = |policy, revocations| Options {
        address: enclave.address.to_string(),
        policy,
        extra_roots: Vec::new(),
        revocations,
        image: None,
    };
    let nobody = Client::new(options(crate::signer::policy(), Some(authority.file())));
    assert_eq!(nobody.map(drop).unwrap_err().code(), "revocations_unusable");
    // And a client that was given none, under a policy that demands one.
    let none = Client::new(options(authority.policy(), None)).unwrap();
    assert_eq!(refusal(&none).await, "revocations_missing");
    assert_eq!(enclave.requests(), 1);
}
