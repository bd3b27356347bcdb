//! One thing that a service is asked for: what a right answer is, and how long it lasts.

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::x509::{Certificate, Crl, pem_certificates};

use percent_encoding::percent_decode_str;

/// Longest answer that is kept, bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 20;
const CHAIN_LEN_MAX: usize = 4;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A chip's certificate, DER.
    Vcek,
    /// ASK or ASVK, then ARK, PEM.
    AmdChain,
    /// DER.
    AmdCrl,
    /// JSON; the signer's chain in a header.
    TcbInfo,
    /// JSON; the signer's chain in a header.
    QeIdentity,
    /// DER; the issuer's chain in a header.
    PckCrl,
    /// DER.
    IntelRootCrl,
}

impl Kind {
    /// The header with the signer's chain (Intel PCS API 4).
    pub(crate) fn chain_header(self) -> Option<&'static str> {
        match self {
            Self::TcbInfo => Some("tcb-info-issuer-chain"),
            Self::QeIdentity => Some("sgx-enclave-identity-issuer-chain"),
            Self::PckCrl => Some("sgx-pck-crl-issuer-chain"),
            _ => None,
        }
    }
}

/// One thing to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    /// Its name in the cache.
    pub(crate) name: String,
}

impl Item {
    pub(crate) fn new(kind: Kind, url: String, name: String) -> Self {
        Self { kind, url, name }
    }
}

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// What was asked for: another address is another answer.
    pub(crate) url: String,
    /// When it came, by this machine's clock.
    pub(crate) fetched: u64,
    pub(crate) body: Base64,
    /// The signer's chain, PEM.
    pub(crate) chain: Option<String>,
}

/// A signed document of Intel's, taken apart without touching the signed text.
pub(crate) struct Signed<'a> {
    pub(crate) text: &'a str,
    pub(crate) signature: &'a str,
}

impl Answer {
    /// Until when it can be used, if it is an answer of this kind at all.
    pub(crate) fn expires(&self, kind: Kind) -> Result<UnixSeconds, String> {
        let body = self.body.0.as_slice();
        let certificate = |der: &[u8]| {
            let parsed = Certificate::parse(der).map_err(|error| format!("no certificate: {error}"))?;
            Ok::<_, String>(parsed.validity().not_after)
        };
        let crl = |der: &[u8]| {
            Ok::<_, String>(
                Crl::parse(der).map_err(|error| format!("no revocation list: {error}"))?.next_update(),
            )
        };
        if kind.chain_header().is_some() {
            let chain = self.chain.as_deref().ok_or("the answer has no issuer's chain")?;
            pem_certificates(chain.as_bytes(), CHAIN_LEN_MAX)
                .map_err(|error| format!("issuer's chain: {error}"))?;
        }
        match kind {
            Kind::Vcek => certificate(body),
            Kind::AmdChain => {
                let chain = pem_certificates(body, CHAIN_LEN_MAX).map_err(|error| error.to_string())?;
                let [intermediate, root] = &chain[..] else {
                    return Err(format!("a chain of {} certificates, where there are two", chain.len()));
                };
                Ok(certificate(intermediate)?.min(certificate(root)?))
            }
            Kind::AmdCrl | Kind::PckCrl | Kind::IntelRootCrl => crl(body),
            Kind::TcbInfo => next_update(&self.signed("tcbInfo").ok_or("no signed TCB info")?),
            Kind::QeIdentity => next_update(&self.signed("enclaveIdentity").ok_or("no signed QE identity")?),
        }
    }

    /// The two parts of `{"NAME":TEXT,"signature":"HEX"}`. The text is cut out as it stands, since the
    /// signature is over its bytes.
    pub(crate) fn signed(&self, name: &str) -> Option<Signed<'_>> {
        let body = core::str::from_utf8(&self.body.0).ok()?.trim();
        let rest = body.strip_prefix(&format!("{{\"{name}\":"))?;
        let (text, signature) = rest.rsplit_once(",\"signature\":\"")?;
        let signature = signature.strip_suffix("\"}")?;
        let is_hex = signature.len() == 128 && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then_some(Signed { text, signature })
    }
}

fn next_update(signed: &Signed<'_>) -> Result<UnixSeconds, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Dated {
        next_update: String,
    }
    let dated: Dated = serde_json::from_str(signed.text).map_err(|error| error.to_string())?;
    UnixSeconds::from_rfc3339(&dated.next_update)
        .ok_or_else(|| format!("nextUpdate {:?} is not a moment", dated.next_update))
}

/// A chain as Intel's service sends it in a header: PEM, percent-encoded.
pub(crate) fn decode_chain(header: &str) -> Option<String> {
    percent_decode_str(header).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer { url: String::new(), fetched: 0, body: Base64(body.as_bytes().to_vec()), chain: None }
    }

    #[test]
    fn signed_text_is_cut_out_as_it_stands() {
        let signature = "ab".repeat(64);
        let text = r#"{"a": "x,\"signature\":\"y", "nextUpdate": "2026-12-01T00:00:00Z"}"#;
        let whole = answer(&format!("{{\"tcbInfo\":{text},\"signature\":\"{signature}\"}}\n"));
        let signed = whole.signed("tcbInfo").unwrap();
        assert_eq!((signed.text, signed.signature), (text, signature.as_str()));
        assert_eq!(next_update(&signed).unwrap(), UnixSeconds::from_rfc3339("2026-12-01T00:00:00Z").unwrap());
        assert!(whole.signed("enclaveIdentity").is_none());
        for wrong in ["", "{}", r#"{"tcbInfo":{},"signature":"ab"}"#, "{\"tcbInfo\":{}"] {
            assert!(answer(wrong).signed("tcbInfo").is_none(), "{wrong}");
        }
    }

    #[test]
    fn garbage_is_no_answer_of_any_kind() {
        for kind in [
            Kind::Vcek,
            Kind::AmdChain,
            Kind::AmdCrl,
            Kind::TcbInfo,
            Kind::QeIdentity,
            Kind::PckCrl,
            Kind::IntelRootCrl,
        ] {
            for body in ["", "<html>busy</html>", "\0\0\0\0"] {
                assert!(answer(body).expires(kind).is_err(), "{kind:?} {body:?}");
            }
        }
    }
}
