//! What an enclave keeps of an answer, asked for by the answer's token.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use vouchsafe_receipt::{Envelope, Opening, ReceiptDocument};
use vouchsafe_translog::TlogProof;

use crate::Error;
use crate::connection::{Connection, Request};

const WHAT: &str = "kept receipt";
const BYTES_MAX: usize = 3 << 20;
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// What an enclave keeps of an answer.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The receipt.
    pub receipt: Envelope,
    /// What opens its commitments.
    pub opening: Opening,
    /// The proof that the receipt is in its log; absent until it has settled.
    pub proof: Option<TlogProof>,
}

/// Fetches it over a connection to the enclave that answered.
pub(crate) async fn fetch(connection: &mut Connection, token: &str) -> Result<Kept, Error> {
    let malformed = |problem: &dyn ToString| Error::Malformed { what: WHAT, problem: problem.to_string() };
    let request = Request::get(&format!("/v1/receipts/{token}"));
    let limit = Error::Timeout { what: "fetching the kept receipt", seconds: FETCH_TIMEOUT.as_secs() };
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, async {
        let response = connection.send(&request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
        let body = body.map_err(|error| malformed(&error))?;
        Ok::<_, Error>((status, body.to_bytes()))
    });
    let (status, json) = fetched.await.map_err(|_| limit)??;
    if status != StatusCode::OK {
        return Err(Error::NotKept { status: status.as_u16() });
    }
    let document = ReceiptDocument::from_json(&json).map_err(|error| malformed(&error))?;
    let proof = document.proof.map(|text| TlogProof::parse(text.as_bytes()));
    let proof = proof.transpose().map_err(|error| malformed(&error))?;
    Ok(Kept { receipt: document.receipt, opening: document.opening, proof })
}
