//! The crypto seam on the RustCrypto crates, for targets where `ring` does not build.
//!
//! Verification only. The crate `rsa` has an open advisory about the timing of private-key operations
//! (RUSTSEC-2023-0071); there is no private key here.

use hmac::{Hmac, Mac as _};
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::elliptic_curve::point::AffineCoordinates as _;
use rsa::signature::Verifier as _;
use rsa::{BigUint, RsaPublicKey, pss};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::Crypto;
use crate::x509::DerReader;

/// [`Crypto`] by the crates `rsa`, `p256`, `p384`, `ed25519-dalek`, `sha2` and `hmac`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RustCrypto;

/// The sizes of RSA keys that the seam names, in bits.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

impl Crypto for RustCrypto {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    fn sha384(&self, data: &[u8]) -> [u8; 48] {
        Sha384::digest(data).into()
    }

    fn sha512(&self, data: &[u8]) -> [u8; 64] {
        Sha512::digest(data).into()
    }

    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> [u8; 32] {
        // HMAC takes keys of every length (RFC 2104, 2), so the error that the trait foresees for other
        // constructions does not occur; HMAC of nothing under no key would be the answer if it did.
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        mac.chain_update(data).finalize().into_bytes().into()
    }

    fn verify_p256_sha256(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some((x, y)) = coordinates(public_key) else { return false };
        let point = p256::AffinePoint::from_coordinates(&x.into(), &y.into()).into_option();
        let Some(Ok(key)) = point.map(p256::ecdsa::VerifyingKey::from_affine) else { return false };
        let Ok(signature) = p256::ecdsa::Signature::from_slice(signature) else { return false };
        key.verify_prehash(&self.sha256(message), &signature).is_ok()
    }

    fn verify_p384_sha384(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some((x, y)) = coordinates(public_key) else { return false };
        let point = p384::AffinePoint::from_coordinates(&x.into(), &y.into()).into_option();
        let Some(Ok(key)) = point.map(p384::ecdsa::VerifyingKey::from_affine) else { return false };
        let Ok(signature) = p384::ecdsa::Signature::from_slice(signature) else { return false };
        key.verify_prehash(&self.sha384(message), &signature).is_ok()
    }

    fn verify_rsa_pss_sha384(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some(key) = rsa_public_key(public_key) else { return false };
        let Ok(signature) = pss::Signature::try_from(signature) else { return false };
        // The salt is as long as the digest: 48 bytes.
        pss::VerifyingKey::<Sha384>::new(key).verify(message, &signature).is_ok()
    }

    fn verify_ed25519(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = public_key.try_into() else { return false };
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(key) else { return false };
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        key.verify(message, &signature).is_ok()
    }
}

/// The coordinates of an uncompressed point (SEC 1, 2.3.4). The seam takes no other form.
fn coordinates<const N: usize>(public_key: &[u8]) -> Option<([u8; N], [u8; N])> {
    let (x, y) = public_key.strip_prefix(&[0x04])?.split_at_checked(N)?;
    Some((x.try_into().ok()?, y.try_into().ok()?))
}

/// Parses `RSAPublicKey` (RFC 8017, A.1.1) and holds it to the bounds that `ring` applies too. The
/// crate `rsa` computes with whatever it is given, and small or even moduli make it panic.
fn rsa_public_key(der: &[u8]) -> Option<RsaPublicKey> {
    const WHAT: &str = "RSAPublicKey";
    let mut outer = DerReader::new(der, WHAT).ok()?;
    let mut fields = outer.sequence(WHAT).ok()?;
    outer.finish(WHAT).ok()?;
    let modulus = fields.uint_bytes(WHAT).ok()?;
    let exponent = fields.uint_bytes(WHAT).ok()?;
    fields.finish(WHAT).ok()?;

    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let (modulus_number, exponent_number) =
        (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
    let bits_ok = (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&modulus_number.bits());
    if !bits_ok || !is_odd(modulus) || !is_odd(exponent) || exponent_number < BigUint::from(3u8) {
        return None;
    }
    RsaPublicKey::new_with_max_size(modulus_number, exponent_number, RSA_BITS_MAX).ok()
}
