//! The key exchange of attested sessions: X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem) for rustls.
//!
//! The host between client and enclave can record every byte. With a classical exchange alone, whoever
//! can compute discrete logarithms one day reads what was recorded today. The hybrid exchange stays
//! closed as long as either of its halves does: X25519 (RFC 7748, by `ring`) or ML-KEM-768 (FIPS 203,
//! by `ml-kem`).
//!
//! Clients of enclaves offer the hybrid group and no other, so that nobody between them can talk them
//! out of it. Enclaves prefer it and also take X25519, for clients that know nothing newer.

mod hybrid;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};

pub use hybrid::X25519_MLKEM768;

/// For whoever connects to an enclave: the hybrid group alone.
pub fn client_provider() -> CryptoProvider {
    with_groups(vec![X25519_MLKEM768])
}

/// For an enclave: the hybrid group first, then X25519.
pub fn server_provider() -> CryptoProvider {
    with_groups(vec![X25519_MLKEM768, ring::kx_group::X25519])
}

fn with_groups(kx_groups: Vec<&'static dyn SupportedKxGroup>) -> CryptoProvider {
    CryptoProvider { kx_groups, ..ring::default_provider() }
}
