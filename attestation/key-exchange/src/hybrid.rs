//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem, sections 4.1 to 4.3).
//!
//! | | ML-KEM-768 | X25519 | bytes |
//! | --- | --- | --- | --- |
//! | client's share | encapsulation key, 1184 | public key, 32 | 1216 |
//! | server's share | ciphertext, 1088 | public key, 32 | 1120 |
//! | shared secret | 32 | 32 | 64 |
//!
//! The X25519 half refuses a shared secret of zeros, the ML-KEM half an encapsulation key that is not
//! in canonical form; a forged ciphertext decapsulates to an unrelated secret, as FIPS 203 has it, and
//! the handshake ends at its first encrypted record.

use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, Decapsulate as _, KeyExport as _, Seed};
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup, ring,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of an ML-KEM-768 encapsulation key.
const ENCAPSULATION_KEY_BYTES: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext.
const CIPHERTEXT_BYTES: usize = 1088;
/// Bytes of the seed of an ML-KEM key, of the randomness of an encapsulation, of one shared secret.
const SEED_BYTES: usize = 64;
const MESSAGE_BYTES: usize = 32;
const SECRET_BYTES: usize = 32;

/// The hybrid of X25519 and ML-KEM-768.
pub const X25519_MLKEM768: &dyn SupportedKxGroup = &Hybrid;

const INVALID_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

#[derive(Debug)]
struct Hybrid;

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = ring::kx_group::X25519.start()?;
        let seed = random::<SEED_BYTES>()?;
        let mut shared = Seed::from(*seed);
        let decapsulation = DecapsulationKey::from_seed(shared);
        shared.zeroize();
        let mut share = decapsulation.encapsulation_key().to_bytes().to_vec();
        share.extend_from_slice(classical.pub_key());
        Ok(Box::new(Started { classical, decapsulation, share }))
    }

    fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let (encapsulation, theirs) = split(client_share, ENCAPSULATION_KEY_BYTES)?;
        let encapsulation = encapsulation.try_into().map_err(|_| INVALID_SHARE)?;
        let encapsulation = EncapsulationKey::new(encapsulation).map_err(|_| INVALID_SHARE)?;
        let classical = ring::kx_group::X25519.start_and_complete(theirs)?;
        let message = random::<MESSAGE_BYTES>()?;
        let mut drawn = B32::from(*message);
        // The randomness is this moment's, from the system, and is used once.
        let (ciphertext, mut post_quantum) = encapsulation.encapsulate_deterministic(&drawn);
        drawn.zeroize();
        let secret = join(&post_quantum, &classical.secret);
        post_quantum.zeroize();
        let mut pub_key = ciphertext.to_vec();
        pub_key.extend_from_slice(&classical.pub_key);
        Ok(CompletedKeyExchange { group: self.name(), pub_key, secret })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// A client's exchange, between its hello and the server's.
struct Started {
    classical: Box<dyn ActiveKeyExchange>,
    decapsulation: DecapsulationKey,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, theirs) = split(server_share, CIPHERTEXT_BYTES)?;
        let ciphertext: &Ciphertext = ciphertext.try_into().map_err(|_| INVALID_SHARE)?;
        let classical = self.classical.complete(theirs)?;
        let mut post_quantum = self.decapsulation.decapsulate(ciphertext);
        let secret = join(&post_quantum, &classical);
        post_quantum.zeroize();
        Ok(secret)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// A share's halves, ML-KEM's first. X25519's is judged by `ring`, its length included.
fn split(share: &[u8], post_quantum_bytes: usize) -> Result<(&[u8], &[u8]), Error> {
    share.split_at_checked(post_quantum_bytes).ok_or(INVALID_SHARE)
}

/// Both secrets, ML-KEM's first.
fn join(post_quantum: &[u8], classical: &SharedSecret) -> SharedSecret {
    let mut secret = Vec::with_capacity(2 * SECRET_BYTES);
    secret.extend_from_slice(post_quantum);
    secret.extend_from_slice(classical.secret_bytes());
    // Zeroised by its owner when it is dropped.
    SharedSecret::from(secret)
}

/// Fresh randomness from the operating system.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    ring::default_provider()
        .secure_random
        .fill(bytes.as_mut())
        .map_err(|GetRandomFailed| Error::FailedToGetRandomBytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        X25519_MLKEM768.start_and_complete(share)
    }

    #[test]
    fn both_sides_get_the_same_secret_in_shares_of_the_drafts_sizes() {
        let client = X25519_MLKEM768.start().unwrap();
        assert_eq!((client.group(), client.pub_key().len()), (NamedGroup::X25519MLKEM768, 1216));
        let server = server(client.pub_key()).unwrap();
        assert_eq!((server.group, server.pub_key.len()), (NamedGroup::X25519MLKEM768, 1120));
        let secret = client.complete(&server.pub_key).unwrap();
        assert_eq!(secret.secret_bytes().len(), 64);
        assert_eq!(secret.secret_bytes(), server.secret.secret_bytes());
        assert_ne!(secret.secret_bytes()[..32], secret.secret_bytes()[32..]);
    }

    /// The order of the halves, which both sides could have wrong together: each half is recomputed from
    /// where the draft puts it.
    #[test]
    fn ml_kem_comes_first_and_x25519_last() {
        let decapsulation = DecapsulationKey::from_seed(Seed::from([7; 64]));
        let classical = ring::kx_group::X25519.start().unwrap();
        let mut share = decapsulation.encapsulation_key().to_bytes().to_vec();
        share.extend_from_slice(classical.pub_key());
        let completed = server(&share).unwrap();
        let (ciphertext, theirs) = completed.pub_key.split_at(1088);
        let post_quantum = decapsulation.decapsulate(ciphertext.try_into().unwrap());
        let classical = classical.complete(theirs).unwrap();
        assert_eq!(completed.secret.secret_bytes(), [&post_quantum, classical.secret_bytes()].concat());
    }

    #[test]
    fn exchanges_share_nothing() {
        let client = X25519_MLKEM768.start().unwrap();
        let (one, other) = (server(client.pub_key()).unwrap(), server(client.pub_key()).unwrap());
        assert_ne!(one.pub_key[..1088], other.pub_key[..1088]);
        assert_ne!(one.pub_key[1088..], other.pub_key[1088..]);
        assert_ne!(client.pub_key(), X25519_MLKEM768.start().unwrap().pub_key());
    }

    #[test]
    fn shares_of_other_lengths_are_refused() {
        let client = X25519_MLKEM768.start().unwrap();
        let share = client.pub_key().to_vec();
        for wrong in [&share[..0], &share[..1184], &share[..1215], &[share.clone(), vec![0]].concat()] {
            assert!(server(wrong).is_err(), "{}", wrong.len());
        }
        let answer = server(&share).unwrap().pub_key;
        for wrong in [&answer[..0], &answer[..1088], &answer[..1119], &[answer.clone(), vec![0]].concat()] {
            assert!(X25519_MLKEM768.start().unwrap().complete(wrong).is_err(), "{}", wrong.len());
        }
    }

    #[test]
    fn shares_that_are_no_keys_are_refused() {
        let mut share = X25519_MLKEM768.start().unwrap().pub_key().to_vec();
        // A coefficient of 4095, above the modulus 3329 (FIPS 203, section 7.2).
        share[0] = 0xff;
        share[1] |= 0x0f;
        assert_eq!(server(&share).err(), Some(INVALID_SHARE));
        // A point of small order: the shared secret would be zeros (RFC 7748, section 6.1).
        let mut share = X25519_MLKEM768.start().unwrap().pub_key().to_vec();
        share[1184..].fill(0);
        assert!(server(&share).is_err());
        let client = X25519_MLKEM768.start().unwrap();
        let mut answer = server(client.pub_key()).unwrap().pub_key;
        answer[1088..].fill(0);
        assert!(client.complete(&answer).is_err());
    }

    /// Each half changes the secret: neither can be stripped or replaced unseen.
    #[test]
    fn a_change_to_either_half_changes_the_secret() {
        for at in [0, 1087, 1088, 1118] {
            let client = X25519_MLKEM768.start().unwrap();
            let server = server(client.pub_key()).unwrap();
            let mut answer = server.pub_key.clone();
            answer[at] ^= 1;
            let secret = client.complete(&answer).unwrap();
            assert_ne!(secret.secret_bytes(), server.secret.secret_bytes(), "byte {at}");
        }
    }
}
