//! What anyone may ask: models, receipts by token, attestation, health. None of it is receipted.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::json;
use vouchsafe_receipt::AttestationDocument;
use vouchsafe_verifier::encoding::{from_base64url, from_hex, to_hex};

use super::answer::json_response;
use super::error::ApiError;
use super::{Context, method_not_allowed};
use crate::attestation::ChallengeError;
use crate::http::Body;
use crate::issue::Kept;
use crate::models::{Kind, Served};

type Answer = Result<Response<Body>, ApiError>;

/// Answers everything that is not an operation on a model.
pub(super) async fn route(context: &Arc<Context>, parts: &Parts) -> Answer {
    let path = parts.uri.path();
    let known = matches!(path, "/healthz" | "/v1/models" | "/.well-known/vouchsafe/attestation")
        || path.starts_with("/v1/models/")
        || path.starts_with("/v1/receipts/");
    if !known {
        return Err(unknown_address());
    }
    if parts.method != Method::GET {
        return Ok(method_not_allowed("GET"));
    }
    match path {
        "/healthz" => Ok(health(context)),
        "/v1/models" => Ok(models(context)),
        "/.well-known/vouchsafe/attestation" => attestation(context, parts.uri.query()).await,
        _ => match (path.strip_prefix("/v1/models/"), path.strip_prefix("/v1/receipts/")) {
            (Some(name), _) => model(context, name),
            (_, Some(token)) => receipt(context, token),
            _ => Err(unknown_address()),
        },
    }
}

fn unknown_address() -> ApiError {
    ApiError::not_found("unknown_url", "There is nothing at this address.")
}

fn health(context: &Context) -> Response<Body> {
    let has_stalled = context.issuer.settlement().is_some_and(|settlement| settlement.has_stalled());
    let (status, word) = match (*context.draining.borrow(), has_stalled) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "log_stale"),
        (false, false) => (StatusCode::OK, "ok"),
    };
    let health = json!({"status": word, "boot": to_hex(&context.boot.id)});
    json_response(status, health.to_string().into())
}

fn models(context: &Context) -> Response<Body> {
    let data: Vec<_> = context.models.all().iter().map(model_json).collect();
    json_response(StatusCode::OK, json!({"object": "list", "data": data}).to_string().into())
}

fn model(context: &Context, name: &str) -> Answer {
    let name = percent_decode(name).ok_or_else(unknown_address)?;
    let served = context.models.by_name(&name).ok_or_else(|| ApiError::model_not_found(&name))?;
    Ok(json_response(StatusCode::OK, model_json(served).to_string().into()))
}

fn model_json(served: &Served) -> serde_json::Value {
    let (measure, value) = match &served.kind {
        Kind::Text(model) => ("max_model_len", json!(model.context_length())),
        Kind::Embed(model) => ("dimensions", json!(model.dimensions())),
    };
    json!({
        "id": served.manifest.name,
        "object": "model",
        "created": 0,
        "owned_by": "vouchsafe",
        "digest": to_hex(&served.digest),
        measure: value,
    })
}

fn receipt(context: &Context, token: &str) -> Answer {
    let unknown = || ApiError::not_found("receipt_not_found", "No receipt is kept under this token.");
    let token = from_base64url(token).and_then(|token| token.try_into().ok()).ok_or_else(unknown)?;
    match context.issuer.store().get(&token) {
        None => Err(unknown()),
        Some(Kept::Pending) => {
            let message = "The answer is still being made; its receipt comes with its end.";
            let error =
                ApiError::new(StatusCode::CONFLICT, "invalid_request_error", "receipt_pending", message);
            Err(ApiError { retry_after: Some(1), ..error })
        }
        Some(Kept::Done { document, proof }) => {
            let document = proof.and_then(|proof| with_proof(&document, &proof)).unwrap_or(document);
            Ok(uncached(json_response(StatusCode::OK, document)))
        }
    }
}

/// A receipt's document with one more field at its end.
fn with_proof(document: &Bytes, proof: &str) -> Option<Bytes> {
    let open = document.strip_suffix(b"}")?;
    let proof = serde_json::to_string(proof).ok()?;
    Some([open, b",\"proof\":", proof.as_bytes(), b"}"].concat().into())
}

async fn attestation(context: &Context, query: Option<&str>) -> Answer {
    let nonce = match query {
        None => None,
        Some(query) => Some(nonce(query)?),
    };
    let (challenge, epoch) = match nonce {
        None => (None, context.epochs.current()),
        Some(nonce) => {
            let answered = context.challenger.answer(nonce).await.map_err(|error| match error {
                ChallengeError::Full => {
                    ApiError::busy("challenges_full", "Too many challenges wait for evidence.")
                }
                ChallengeError::Failed => ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "server_error",
                    "attestation_failed",
                    "The machine did not attest.",
                ),
            })?;
            // The report covers the epoch that was current when it was made, not now.
            (Some(answered.answer), answered.epoch)
        }
    };
    let machine = context.boot.endorsements.as_ref();
    let document = AttestationDocument {
        version: 1,
        boot: context.boot.attested.clone(),
        epoch: epoch.attested.clone(),
        challenge,
        endorsements: context.stapled.get(machine).or_else(|| machine.cloned()),
    };
    let json = serde_json::to_vec(&document).map_err(|_| ApiError::internal("internal_error"))?;
    Ok(uncached(json_response(StatusCode::OK, Bytes::from(json))))
}

/// The nonce of a challenge: the query's only parameter.
fn nonce(query: &str) -> Result<[u8; 32], ApiError> {
    query.strip_prefix("nonce=").and_then(from_hex).ok_or_else(|| {
        let message = "The query must be 'nonce=' and 64 lower-case hexadecimal digits.";
        ApiError::parameter("nonce", "invalid_value", message)
    })
}

fn uncached(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Model names may hold characters that an address cannot.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_or_refused() {
        assert_eq!(percent_decode("a%20b/c").as_deref(), Some("a b/c"));
        for wrong in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(percent_decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_proof_is_the_documents_last_field() {
        let document = Bytes::from_static(br#"{"version":1}"#);
        let with = with_proof(&document, "a\n\"b\"").unwrap();
        assert_eq!(with, br#"{"version":1,"proof":"a\n\"b\""}"#.as_slice());
    }

    #[test]
    fn a_nonce_is_the_whole_query() {
        let digits = "0f".repeat(32);
        assert_eq!(nonce(&format!("nonce={digits}")).unwrap(), [0x0f; 32]);
        for wrong in [String::new(), "nonce=".into(), format!("nonce={digits}&x=1"), digits.to_uppercase()] {
            assert!(nonce(&wrong).is_err(), "{wrong}");
        }
    }
}
