//! What a request's head says that its receipt commits to.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};
use http::request::Parts;
use vouchsafe_receipt::Assurance;
use vouchsafe_receipt::stream::{ASSURANCE_NAME, NONCE_NAME};

use super::error::ApiError;
use crate::issue::RequestFacts;

/// Longest accepted value of a header that is committed to.
const VALUE_BYTES_MAX: usize = 256;

/// A request's head, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Head {
    method: String,
    path: String,
    content_type: String,
    nonce: String,
    stated_assurance: String,
    assurance: Assurance,
}

/// A request with its body, ready to be parsed.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) facts: RequestFacts,
    pub(super) assurance: Assurance,
}

impl Head {
    /// Reads what is committed to, each header at most once.
    pub(super) fn read(parts: &Parts, settles: bool) -> Result<Self, ApiError> {
        let content_type = single(parts, &CONTENT_TYPE)?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "invalid_request_error",
                "unsupported_media_type",
                "The content type must be application/json.",
            ));
        }
        let stated_assurance = single(parts, &HeaderName::from_static(ASSURANCE_NAME))?;
        let assurance = match stated_assurance.as_str() {
            "" => Assurance::default(),
            word => match (Assurance::from_word(word), settles) {
                (Some(Assurance::Attested), _) => Assurance::Attested,
                (Some(Assurance::Settled), true) => Assurance::Settled,
                (_, settles) => {
                    let message = match settles {
                        true => "The assurance levels that this server gives are 'attested' and 'settled'.",
                        false => "The only assurance level that this server gives is 'attested'.",
                    };
                    return Err(ApiError::parameter(ASSURANCE_NAME, "assurance_unavailable", message));
                }
            },
        };
        Ok(Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            content_type,
            nonce: single(parts, &HeaderName::from_static(NONCE_NAME))?,
            stated_assurance,
            assurance,
        })
    }

    /// The complete request.
    pub(super) fn with_body(self, body: Bytes) -> Incoming {
        Incoming {
            assurance: self.assurance,
            facts: RequestFacts {
                method: self.method,
                path: self.path,
                content_type: self.content_type,
                nonce: self.nonce,
                assurance: self.stated_assurance,
                body,
            },
        }
    }
}

/// A header's only value as text, empty where it is absent. Twice the same header would leave open
/// which one is committed to.
fn single(parts: &Parts, name: &HeaderName) -> Result<String, ApiError> {
    let refused =
        |why: &str| ApiError::parameter(name.as_str(), "invalid_header", format!("The header {name} {why}."));
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(String::new()) };
    if values.next().is_some() {
        return Err(refused("stands twice"));
    }
    let text = value.to_str().map_err(|_| refused("is not visible ASCII"))?;
    if text.len() > VALUE_BYTES_MAX {
        return Err(refused("is too long"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Result<Head, ApiError> {
        let mut request = http::Request::post("http://x/v1/completions?a=b");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Head::read(&request.body(()).unwrap().into_parts().0, false)
    }

    #[test]
    fn the_head_is_kept_as_received() {
        let head = read(&[
            ("content-type", "application/json; charset=utf-8"),
            ("vouchsafe-nonce", "abc"),
            ("vouchsafe-assurance", "attested"),
        ])
        .unwrap();
        let incoming = head.with_body(Bytes::from_static(b"{}"));
        let facts = incoming.facts;
        assert_eq!((facts.method.as_str(), facts.path.as_str()), ("POST", "/v1/completions?a=b"));
        assert_eq!(facts.content_type, "application/json; charset=utf-8");
        assert_eq!((facts.nonce.as_str(), facts.assurance.as_str()), ("abc", "attested"));
    }

    #[test]
    fn what_cannot_be_committed_to_is_refused() {
        let json = ("content-type", "application/json");
        let long = "x".repeat(257);
        for (headers, status, code) in [
            (vec![], 415, "unsupported_media_type"),
            (vec![("content-type", "text/plain")], 415, "unsupported_media_type"),
            (vec![json, json], 400, "invalid_header"),
            (vec![json, ("vouchsafe-nonce", long.as_str())], 400, "invalid_header"),
            (vec![json, ("vouchsafe-nonce", "a"), ("vouchsafe-nonce", "b")], 400, "invalid_header"),
            (vec![json, ("vouchsafe-assurance", "settled")], 400, "assurance_unavailable"),
        ] {
            let error = read(&headers).unwrap_err();
            assert_eq!((error.status.as_u16(), error.code), (status, code));
        }
        let request = |word: &str| {
            let request = http::Request::post("http://x/").header("content-type", "application/json");
            Head::read(&request.header("vouchsafe-assurance", word).body(()).unwrap().into_parts().0, true)
        };
        assert_eq!(request("settled").unwrap().assurance, Assurance::Settled);
        assert_eq!(request("attested").unwrap().assurance, Assurance::Attested);
        assert_eq!(request("proved").unwrap_err().code, "assurance_unavailable");
    }
}
