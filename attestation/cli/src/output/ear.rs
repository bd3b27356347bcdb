//! A verdict as an EAT attestation result: a claims-set, or a JWT under the caller's key.

use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use vouchsafe_bundle::{Verdict, ear};
use vouchsafe_verifier::encoding::to_base64url;

use crate::failure::Failure;
use crate::input;

const KEY_BYTES_MAX: usize = 64 << 10;
/// RFC 7515; ES256 is ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

/// The claims-set as indented JSON or, with a key, the JWT.
pub(crate) fn ear(verdict: &Verdict, key: Option<&Path>) -> Result<String, Failure> {
    let claims = ear::claims(verdict, input::moment_or_now(None)?);
    let Some(path) = key else {
        return Ok(serde_json::to_string_pretty(&claims).unwrap_or_default());
    };
    let unusable = |why: String| Failure::Key { path: path.into(), why };
    let pem = input::read(path, KEY_BYTES_MAX)?;
    let document = PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(|_| unusable("not a private key in PKCS#8, PEM".into()))?;
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.secret_pkcs8_der(), &random)
            .map_err(|error| unusable(format!("not a P-256 key: {error}")))?;
    let message =
        format!("{}.{}", to_base64url(HEADER.as_bytes()), to_base64url(claims.to_string().as_bytes()));
    let signature = pair
        .sign(&random, message.as_bytes())
        .map_err(|_| Failure::Own("the system gives no randomness".into()))?;
    Ok(format!("{message}.{}", to_base64url(signature.as_ref())))
}
