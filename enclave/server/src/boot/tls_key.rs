//! The TLS key of this boot and the certificate it is wrapped in.
//!
//! The certificate says nothing that counts: it is self-signed, for a name that cannot exist, and
//! without a meaningful lifetime. Who connects compares the key with the one in the attested boot
//! statement; a client that cannot do so gets an encrypted channel to somebody unknown.

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::ServeError;

/// The name in the certificate (RFC 6761, section 6.4: it never resolves).
const NAME: &str = "vouchsafe.invalid";

/// A fresh TLS server key with its certificate.
pub(crate) struct TlsKey {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl TlsKey {
    /// Makes an ECDSA P-256 key that never leaves this program.
    pub(crate) fn generate() -> Result<Self, ServeError> {
        let failed = |error: rcgen::Error| ServeError::Key { role: "TLS", problem: error.to_string() };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut parameters = CertificateParams::new(vec![NAME.to_owned()]).map_err(failed)?;
        parameters.distinguished_name.push(DnType::CommonName, NAME);
        let certificate = parameters.self_signed(&key).map_err(failed)?.der().clone();
        Ok(Self { key, certificate })
    }

    /// The DER of its SubjectPublicKeyInfo: what the boot statement names.
    pub(crate) fn spki(&self) -> Vec<u8> {
        use rcgen::PublicKeyData as _;
        self.key.subject_public_key_info()
    }

    /// The certificate to present.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The private key, for the TLS stack alone.
    pub(crate) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }
}
