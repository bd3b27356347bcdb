//! Errors as API clients see them: OpenAI's shape, the right status, and a constant size.
//!
//! The message goes to the client alone, over its own session, and is never logged. Bodies are filled
//! up with white space to a multiple of one size, so that what the host can see of an error does not
//! depend on what the request said.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Serialize;
use vouchsafe_engine::{ConstraintError, EmbedError, ParamError, SubmitError, TemplateError};

use crate::http::{Body, Refused};
use crate::issue::NotAdmitted;
use crate::settle::Unsettled;

/// Bodies of errors are multiples of this many bytes.
const BODY_BYTES: usize = 1024;
/// Longest message, in characters: a parser's words can quote what they did not understand.
const MESSAGE_CHARS_MAX: usize = 400;
/// What clients are told to wait when they are turned away for load, seconds.
const RETRY_SECONDS: u64 = 1;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: &'static str,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    pub(crate) retry_after: Option<u64>,
    /// Whether the connection ends with this answer, because the rest of the request was not read.
    pub(crate) close: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    error: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'static str,
}

impl ApiError {
    /// A request that is wrong in itself.
    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// A parameter that is wrong.
    pub(crate) fn parameter(
        param: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { param: Some(param.into()), ..Self::invalid(code, message) }
    }

    /// A parameter that exists and that this server does not carry out.
    pub(crate) fn unsupported(param: &str) -> Self {
        let message = format!("'{param}' is not supported by this server with this value.");
        Self::parameter(param, "unsupported_parameter", message)
    }

    /// Something that is not there.
    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message)
    }

    /// The model that was named is not served.
    pub(crate) fn model_not_found(name: &str) -> Self {
        let shown: String = name.chars().take(100).collect();
        let message = format!("The model `{shown}` does not exist or you do not have access to it.");
        Self { param: Some("model".into()), ..Self::not_found("model_not_found", message) }
    }

    /// Too much at the moment.
    pub(crate) fn busy(code: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", code, message);
        Self { retry_after: Some(RETRY_SECONDS), ..error }
    }

    /// The server is about to end.
    pub(crate) fn draining() -> Self {
        let message = "The server is shutting down; try again elsewhere or later.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "draining", message);
        Self { retry_after: Some(RETRY_SECONDS), close: true, ..error }
    }

    /// What was signed before must become public first.
    pub(crate) fn unsettled(why: Unsettled) -> Self {
        let (code, message) = match why {
            Unsettled::Full => ("unsettled", "As many answers wait for the log as may; try again soon."),
            Unsettled::Stale => ("log_stale", "The log has not answered for too long; try again later."),
        };
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message);
        Self { retry_after: Some(RETRY_SECONDS), ..error }
    }

    /// The answer was asked for with its proof, which did not come in time.
    pub(crate) fn settlement_late() -> Self {
        let message = "The log did not prove in time that it holds the receipt; the token retrieves both.";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "settlement_late", message)
    }

    /// Something failed that the request is not to blame for.
    pub(crate) fn internal(code: &'static str) -> Self {
        let message = "The server had an error while processing your request.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", code, message)
    }

    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { status, kind, code, param: None, message: message.into(), retry_after: None, close: false }
    }

    /// The JSON text.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let message: String = self.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let error =
            Fields { message: &message, r#type: self.kind, param: self.param.as_deref(), code: self.code };
        // Strings only: serialisation has no failing case.
        serde_json::to_vec(&Document { error }).unwrap_or_default()
    }

    /// The response's body.
    pub(crate) fn body(&self) -> Bytes {
        let mut json = self.to_json();
        json.resize(json.len().next_multiple_of(BODY_BYTES), b' ');
        json.into()
    }

    /// The response.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::Full(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let (status, code, message) = match refused {
            Refused::TooLong => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", "The request body is too long.")
            }
            Refused::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The request body took too long to arrive.")
            }
            Refused::Encoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_encoding",
                "Content encodings are not accepted: send the body as it is.",
            ),
            Refused::NoRoom => {
                return Self { close: true, ..Self::busy("overloaded", "The server is overloaded.") };
            }
            Refused::Broken => {
                (StatusCode::BAD_REQUEST, "body_broken", "The request body could not be read.")
            }
        };
        Self { close: true, ..Self::new(status, "invalid_request_error", code, message) }
    }
}

impl From<NotAdmitted> for ApiError {
    fn from(error: NotAdmitted) -> Self {
        match error {
            NotAdmitted::Unsettled(why) => Self::unsettled(why),
            NotAdmitted::Issue(_) => Self::internal("receipt_failed"),
        }
    }
}

impl From<ParamError> for ApiError {
    fn from(error: ParamError) -> Self {
        Self::parameter(error.parameter(), "invalid_value", error.to_string())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::QueueFull { .. } => Self::busy("queue_full", message),
            SubmitError::PromptEmpty => Self::invalid("prompt_empty", message),
            SubmitError::PromptTooLong { .. } => Self::invalid("context_length_exceeded", message),
            SubmitError::TokenOutOfRange { .. } => Self::invalid("token_out_of_range", message),
            SubmitError::TooManyLogprobs { .. } => Self::parameter("top_logprobs", "invalid_value", message),
            SubmitError::Stopped => Self::draining(),
            _ => Self::internal("engine_failed"),
        }
    }
}

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        let message = error.to_string();
        match error {
            TemplateError::Absent => Self::parameter("model", "chat_not_supported", message),
            TemplateError::Refused(_) => Self::parameter("messages", "messages_refused", message),
            TemplateError::TooLarge { .. } => Self::parameter("messages", "context_length_exceeded", message),
            _ => Self::internal("chat_template_failed"),
        }
    }
}

impl From<ConstraintError> for ApiError {
    fn from(error: ConstraintError) -> Self {
        let message = error.to_string();
        match error {
            ConstraintError::Tools(_) => Self::parameter("tools", "invalid_value", message),
            ConstraintError::NoEnd | ConstraintError::Vocabulary => {
                Self::parameter("model", "form_not_supported", message)
            }
            _ => Self::invalid("schema_not_supported", message),
        }
    }
}

impl From<EmbedError> for ApiError {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::TextTooLong { .. } => {
                Self::parameter("input", "context_length_exceeded", error.to_string())
            }
            EmbedError::TokenOutOfRange { .. } => {
                Self::parameter("input", "token_out_of_range", error.to_string())
            }
            _ => Self::internal("embedding_failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_openais_shape_and_one_size() {
        let short = ApiError::draining();
        let long = ApiError::parameter("messages[0].content", "invalid_type", "x".repeat(5000));
        assert_eq!((short.body().len(), long.body().len()), (1024, 1024));
        let json: serde_json::Value = serde_json::from_slice(&long.body()).unwrap();
        assert_eq!(json["error"]["param"], "messages[0].content");
        assert_eq!(json["error"]["type"], "invalid_request_error");
        assert_eq!(json["error"]["code"], "invalid_type");
        assert_eq!(json["error"]["message"].as_str().unwrap().len(), 400);
        assert_eq!(short.response().headers()["retry-after"], "1");
    }
}
