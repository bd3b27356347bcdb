//! What each kind of attestation report carries in its 64 bytes of REPORT_DATA.
//!
//! Every kind has its own prefix, so that a report made for one purpose never serves another.

use vouchsafe_verifier::crypto::Crypto;

/// REPORT_DATA of the boot report: binds the boot statement's exact bytes.
pub fn boot(statement: &[u8], crypto: &dyn Crypto) -> [u8; 64] {
    crypto.sha512(&[b"vouchsafe/boot/v1\0".as_slice(), statement].concat())
}

/// REPORT_DATA of an epoch report: binds the epoch statement's exact bytes.
pub fn epoch(statement: &[u8], crypto: &dyn Crypto) -> [u8; 64] {
    crypto.sha512(&[b"vouchsafe/epoch/v1\0".as_slice(), statement].concat())
}

/// REPORT_DATA of a challenge report: binds the current epoch statement and the RFC 6962 root over
/// the batch's nonces.
pub fn challenge(epoch_statement: &[u8], nonce_root: &[u8; 32], crypto: &dyn Crypto) -> [u8; 64] {
    let epoch = crypto.sha256(epoch_statement);
    crypto.sha512(&[b"vouchsafe/challenge/v1\0".as_slice(), &epoch, nonce_root].concat())
}

/// The TLS exporter label from which a client derives its challenge nonce.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-vouchsafe-challenge";

/// A client's challenge nonce: fresh randomness bound to its own TLS connection.
pub fn nonce(random: &[u8; 32], exporter: &[u8; 32], crypto: &dyn Crypto) -> [u8; 32] {
    crypto.sha256(&[random.as_slice(), exporter].concat())
}
