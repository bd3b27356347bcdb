//! The seam between verification and the library that does the arithmetic.
//!
//! Natively this is `ring` (`Ring`, feature `ring`); on wasm32, and elsewhere by the feature `rustcrypto`, it is
//! RustCrypto (`RustCrypto`). Which one is used is the caller's argument, so that a test
//! can hold them against each other.

#[cfg(all(feature = "ring", not(target_arch = "wasm32")))]
mod ring_backend;
#[cfg(all(feature = "ring", not(target_arch = "wasm32")))]
pub use ring_backend::Ring;
#[cfg(any(feature = "rustcrypto", target_arch = "wasm32"))]
mod rustcrypto_backend;
#[cfg(any(feature = "rustcrypto", target_arch = "wasm32"))]
pub use rustcrypto_backend::RustCrypto;

/// The primitives verification needs. Every method is total: a malformed key or signature is a
/// failed verification (`false`), never a panic.
pub trait Crypto: Sync {
    /// SHA-256 of `data`.
    fn sha256(&self, data: &[u8]) -> [u8; 32];
    /// SHA-384 of `data`.
    fn sha384(&self, data: &[u8]) -> [u8; 48];
    /// SHA-512 of `data`.
    fn sha512(&self, data: &[u8]) -> [u8; 64];
    /// HMAC-SHA-256 of `data` under `key`.
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> [u8; 32];
    /// ECDSA on P-256 over SHA-256 of `message`. `public_key`: uncompressed SEC1 point, 65 bytes;
    /// `signature`: r‖s, 64 bytes big-endian.
    fn verify_p256_sha256(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool;
    /// ECDSA on P-384 over SHA-384 of `message`. `public_key`: uncompressed SEC1 point, 97 bytes;
    /// `signature`: r‖s, 96 bytes big-endian.
    fn verify_p384_sha384(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool;
    /// RSASSA-PSS with SHA-384, MGF1-SHA-384 and a salt of 48 bytes, keys of 2048 to 8192 bits.
    /// `public_key`: PKCS#1 `RSAPublicKey` in DER, the content of the SPKI's bit string.
    fn verify_rsa_pss_sha384(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool;
    /// Ed25519 (RFC 8032, section 5.1.7, without multiplication by the cofactor) of `message`.
    /// `public_key`: 32 bytes; `signature`: R‖S, 64 bytes, S below the group's order.
    fn verify_ed25519(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool;
}
