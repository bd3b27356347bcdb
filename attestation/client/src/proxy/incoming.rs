//! Requests of programs on this machine.
//!
//! A browser on the same machine lets any web page send requests to loopback. Pages of others are told
//! by their `origin`, and names that were made to resolve to loopback by `host`; both are refused.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use vouchsafe_receipt::stream::{ASSURANCE_NAME, NONCE_NAME};

use super::failure::Failure;
use crate::Request;

/// Largest request body that is read.
const REQUEST_BYTES_MAX: usize = 16 << 20;
const LOCALHOST: &str = "localhost";

/// Reads a request to forward. What the enclave would refuse by name goes there; what this endpoint
/// cannot carry is refused here.
pub(super) async fn read(request: http::Request<Incoming>) -> Result<Request, Failure> {
    let (head, body) = request.into_parts();
    check_origin(&head.headers)?;
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Failure::request(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding_unsupported",
            "content encodings are not accepted",
        ));
    }
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map_err(|_| {
        Failure::request(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            "the body is too large or broke off",
        )
    })?;
    let text = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let passed = [AUTHORIZATION, HeaderName::from_static(ASSURANCE_NAME)];
    let headers =
        passed.into_iter().filter_map(|name| Some((name.clone(), head.headers.get(&name)?.clone())));
    Ok(Request {
        path: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        content_type: text(CONTENT_TYPE.as_str()),
        nonce: text(NONCE_NAME),
        body: body.to_bytes(),
        headers: headers.collect(),
        method: head.method,
    })
}

/// Whether a good answer to this request carries a receipt: everything that a model computes does.
pub(super) fn is_receipt_due(request: &Request) -> bool {
    request.method == Method::POST
}

fn check_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let holds = |name: &HeaderName, rule: fn(&str) -> bool| {
        headers.get(name).is_none_or(|value| value.to_str().is_ok_and(rule))
    };
    if holds(&HOST, is_unambiguous) && holds(&ORIGIN, is_local) {
        return Ok(());
    }
    Err(Failure::request(
        StatusCode::FORBIDDEN,
        "origin_not_local",
        "this endpoint serves programs on this machine, not pages of other origins",
    ))
}

/// Whether `host` is an address or `localhost`: what nobody else's name server can point here.
fn is_unambiguous(authority: &str) -> bool {
    host(authority).is_some_and(|host| host.eq_ignore_ascii_case(LOCALHOST) || host.parse::<IpAddr>().is_ok())
}

/// Whether an origin is on this machine.
fn is_local(origin: &str) -> bool {
    host(origin).is_some_and(|host| {
        host.eq_ignore_ascii_case(LOCALHOST) || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The host of an authority or URI, an IPv6 address without its brackets.
fn host(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?;
    Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_others_are_told_by_origin_and_host() {
        for ours in ["127.0.0.1:8787", "localhost", "LOCALHOST:1", "[::1]:8787", "192.168.1.2:80"] {
            assert!(is_unambiguous(ours), "{ours}");
        }
        for foreign in ["example.com", "localhost.example.com:8787", "", "127.0.0.1.nip.io:8787"] {
            assert!(!is_unambiguous(foreign), "{foreign}");
        }
        for ours in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:1"] {
            assert!(is_local(ours), "{ours}");
        }
        for foreign in ["http://192.0.2.1", "https://example.com", "http://localhost.example.com", "null", ""]
        {
            assert!(!is_local(foreign), "{foreign}");
        }
    }
}
