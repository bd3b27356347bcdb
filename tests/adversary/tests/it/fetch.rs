//! What anybody can have of a genuine enclave: its evidence for a nonce of his own choice.

use vouchsafe_adversary::middle::get;
use vouchsafe_link::Endpoint;
use vouchsafe_receipt::AttestationDocument;
use vouchsafe_verifier::encoding::to_hex;

/// The attestation document of the enclave at `endpoint`, for `nonce`.
pub(crate) async fn document(endpoint: &Endpoint, nonce: &[u8; 32]) -> AttestationDocument {
    let path = format!("/.well-known/vouchsafe/attestation?nonce={}", to_hex(nonce));
    serde_json::from_slice(&get(endpoint, &path).await.unwrap()).unwrap()
}
