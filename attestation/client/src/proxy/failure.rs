//! Failures of the endpoint, in OpenAI's shape.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::{Body, full};
use crate::Error;

/// A failure as a program sees it: status, type, code and text.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    kind: &'static str,
    pub(super) code: String,
    message: String,
}

impl Failure {
    /// What the program sent cannot be forwarded.
    pub(super) fn request(status: StatusCode, code: &str, message: &str) -> Self {
        Self { status, kind: "invalid_request_error", code: code.into(), message: message.into() }
    }

    /// An answer that is not to be believed.
    pub(super) fn verification(code: &str, message: String) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, kind: "verification_error", code: code.into(), message }
    }

    /// An answer that should have a receipt and has none.
    pub(super) fn receipt_missing() -> Self {
        Self::verification("receipt_missing", "the enclave answered without a receipt".into())
    }

    /// Nobody is left to answer to.
    pub(super) fn program_left() -> Self {
        Self::verification("program_left", "the program closed the connection".into())
    }

    /// The error object.
    pub(super) fn body(&self) -> Vec<u8> {
        let error = serde_json::json!({
            "error": {"message": self.message, "type": self.kind, "param": null, "code": self.code}
        });
        error.to_string().into_bytes()
    }

    /// The response.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(full(self.body().into()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, kind) = match &error {
            Error::Unreachable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable_error"),
            Error::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
            Error::Request(_) => (StatusCode::BAD_REQUEST, "invalid_request_error"),
            _ if error.is_refusal() => (StatusCode::BAD_GATEWAY, "attestation_error"),
            _ => (StatusCode::BAD_GATEWAY, "verification_error"),
        };
        Self { status, kind, code: error.code().to_owned(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_openais_shape_and_their_code() {
        let failure = Failure::from(Error::TlsKey);
        let json: serde_json::Value = serde_json::from_slice(&failure.body()).unwrap();
        assert_eq!(json["error"]["code"], "tls_key_mismatch");
        assert_eq!(json["error"]["type"], "attestation_error");
        assert_eq!(failure.response().status(), StatusCode::BAD_GATEWAY);
    }
}
