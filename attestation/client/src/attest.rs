//! Judging who is at the other end of a connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Limited};
use ring::rand::{SecureRandom as _, SystemRandom};
use vouchsafe_bundle::{Inputs, VerifiedBoot, appraise_document};
use vouchsafe_receipt::{AttestationDocument, VerifiedRevocations, report_data};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::client::Options;
use crate::connection::{Connection, Request};
use crate::{Error, now};

const PATH: &str = "/.well-known/vouchsafe/attestation";
const LIMITS: Limits = Limits { bytes_max: 4 << 20, depth_max: 16 };
/// A quote can take a second, and challenges share them.
const ATTEST_TIMEOUT: Duration = Duration::from_secs(60);

/// An accepted enclave and what it took to accept it.
#[derive(Debug, Clone)]
pub struct Attested {
    /// The enclave, its verdict and its keys.
    pub boot: Arc<VerifiedBoot>,
    /// From the first packet to the end of the TLS handshake.
    pub connecting: Duration,
    /// From asking for evidence to having it.
    pub fetching: Duration,
    /// Judging it.
    pub judging: Duration,
}

/// Asks for evidence over the connection, for a nonce that belongs to this connection alone, and
/// judges it.
pub(crate) async fn attest(
    connection: &mut Connection,
    options: &Options,
    revocations: Option<&VerifiedRevocations>,
) -> Result<Attested, Error> {
    let connecting = connection.opened.elapsed();
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::Random)?;
    let nonce = report_data::nonce(&random, &connection.exporter, &Ring);

    let begun = Instant::now();
    let request = Request::get(&format!("{PATH}?nonce={}", to_hex(&nonce)));
    let limit = Error::Timeout { what: "attesting", seconds: ATTEST_TIMEOUT.as_secs() };
    let json =
        tokio::time::timeout(ATTEST_TIMEOUT, fetch(connection, &request)).await.map_err(|_| limit)??;
    let document: AttestationDocument =
        strict_json::parse(&json, LIMITS).map_err(|error| Error::Document(error.to_string()))?;
    let fetching = begun.elapsed();

    let begun = Instant::now();
    let Options { policy, extra_roots, image, .. } = options;
    let inputs = Inputs { extra_roots, revocations, image: image.as_ref(), ..Inputs::new(now()?) };
    let boot =
        appraise_document(&document, policy, Some(&nonce), &inputs, &Ring).map_err(Error::NotAccepted)?;
    if boot.tls_spki() != connection.spki {
        return Err(Error::TlsKey);
    }
    Ok(Attested { boot: Arc::new(boot), connecting, fetching, judging: begun.elapsed() })
}

async fn fetch(connection: &mut Connection, request: &Request) -> Result<Vec<u8>, Error> {
    let response = connection.send(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LIMITS.bytes_max);
    let body = body.collect().await.map_err(|error| Error::Document(error.to_string()))?.to_bytes();
    if !status.is_success() {
        return Err(Error::Document(format!("the enclave answered with status {status}")));
    }
    Ok(body.to_vec())
}
