//! Salted commitments to what a receipt must prove without saying it in public.
//!
//! A commitment is HMAC-SHA-256(salt, tag ‖ fields), each field preceded by its length as 8 bytes
//! big-endian. Each of the three has its own random 32-byte salt, so that an answer can be disclosed
//! without its prompt, and a short prompt cannot be guessed from the log.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::json_record;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::Error;

/// An opening holds the execution record, and that the request's tools and schemas.
const OPENING_LIMITS: Limits = Limits { bytes_max: 2 << 20, depth_max: 4 };
const OPENING_VERSION: u64 = 1;

const REQUEST_TAG: &[u8] = b"vouchsafe/request/v1";
const RESPONSE_TAG: &[u8] = b"vouchsafe/response/v1";
const EXECUTION_TAG: &[u8] = b"vouchsafe/execution/v1";

/// What a client needs to show, of its own choice, what a receipt is about. Each part is optional:
/// a part that is left out stays hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Opening {
    /// Version of this format: 1.
    pub version: u64,
    /// Opens the request commitment, given the request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestOpening>,
    /// Opens the response commitment, given the response body or the stream's events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseOpening>,
    /// Opens the execution commitment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionOpening>,
}

json_record!(Opening { version, request, response, execution });

impl Opening {
    /// Reads an opening from its JSON text, at most 2 MiB.
    ///
    /// # Errors
    /// [`Error::PayloadMalformed`] or [`Error::Version`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "opening";
        let opening: Self =
            strict_json::read(json, OPENING_LIMITS).map_err(|error| Error::payload(WHAT, &error))?;
        opening.check_version()?;
        Ok(opening)
    }

    /// Refuses an opening of another version: for one that came as part of a larger document.
    ///
    /// # Errors
    /// [`Error::Version`].
    pub fn check_version(&self) -> Result<(), Error> {
        match self.version {
            OPENING_VERSION => Ok(()),
            found => Err(Error::Version { what: "opening", found, known: OPENING_VERSION }),
        }
    }

    /// The opening as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers only: serialisation has no failing case.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Opens a request commitment, given the request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestOpening {
    /// The commitment's salt.
    pub salt: Hex<32>,
    /// HTTP method.
    pub method: String,
    /// Path and query as received.
    pub path: String,
    /// `content-type` as received, empty where absent.
    pub content_type: String,
    /// `vouchsafe-nonce` as received, empty where absent.
    pub nonce: String,
    /// `vouchsafe-assurance` as received, empty where absent.
    pub assurance: String,
}

json_record!(RequestOpening { salt, method, path, content_type, nonce, assurance });

impl RequestOpening {
    /// The commitment to these fields and `body`, the bytes after transfer-decoding.
    pub fn commit(&self, body: &[u8], crypto: &dyn Crypto) -> [u8; 32] {
        let fields = [&self.method, &self.path, &self.content_type, &self.nonce, &self.assurance]
            .map(|field| field.as_bytes());
        let [method, path, content_type, nonce, assurance] = fields;
        commit(REQUEST_TAG, &self.salt.0, &[method, path, content_type, nonce, assurance, body], crypto)
    }
}

/// Opens a response commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResponseOpening {
    /// The commitment's salt.
    pub salt: Hex<32>,
    /// HTTP status code.
    pub status: u16,
    /// `content-type` as sent. For `text/event-stream` what is committed is the stream's head
    /// ([`crate::stream::Head::committed`]), for everything else the body.
    pub content_type: String,
}

json_record!(ResponseOpening { salt, status, content_type });

impl ResponseOpening {
    /// The commitment to these fields and `body`: the body's bytes, or the stream head's.
    pub fn commit(&self, body: &[u8], crypto: &dyn Crypto) -> [u8; 32] {
        let status = self.status.to_string();
        commit(RESPONSE_TAG, &self.salt.0, &[status.as_bytes(), self.content_type.as_bytes(), body], crypto)
    }

    /// Whether the response was a stream of server-sent events.
    pub fn is_stream(&self) -> bool {
        self.content_type.split(';').next().is_some_and(|kind| kind.trim() == "text/event-stream")
    }
}

/// Opens an execution commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutionOpening {
    /// The commitment's salt.
    pub salt: Hex<32>,
    /// The execution record's exact JSON text, as committed.
    pub record: String,
}

json_record!(ExecutionOpening { salt, record });

impl ExecutionOpening {
    /// The commitment to the record.
    pub fn commit(&self, crypto: &dyn Crypto) -> [u8; 32] {
        commit(EXECUTION_TAG, &self.salt.0, &[self.record.as_bytes()], crypto)
    }
}

fn commit(tag: &[u8], salt: &[u8; 32], fields: &[&[u8]], crypto: &dyn Crypto) -> [u8; 32] {
    let mut message = Vec::from(tag);
    for field in fields {
        // A field's length always fits 64 bits on the platforms Rust supports.
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(field);
    }
    crypto.hmac_sha256(salt, &message)
}
