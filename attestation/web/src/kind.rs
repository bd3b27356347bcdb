//! Telling files apart by their content.
//!
//! Only a suggestion where a file goes: whoever parses it afterwards decides what it is.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use vouchsafe_verifier::strict_json::{self, Limits, Value};

/// What JSON is looked into; longer and deeper ones are taken by their beginning.
const LIMITS: Limits = Limits { bytes_max: 16 << 20, depth_max: 100 };
const SNP_REPORT_BYTES: usize = 1184;

/// What a file seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A receipt bundle.
    Bundle,
    /// A policy.
    Policy,
    /// An SEV-SNP attestation report.
    SnpReport,
    /// A TDX quote.
    TdxQuote,
    /// Intel's collateral as JSON.
    TdxCollateral,
    /// A VCEK or VLEK certificate, DER or PEM.
    Vek,
    /// Another X.509 certificate, DER or PEM.
    Certificate,
    /// An X.509 revocation list, DER or PEM.
    RevocationList,
    /// A signed list of revocations.
    Revocations,
    /// A request's body.
    Request,
    /// A response's body, or a stream's text.
    Response,
    /// An event log: a CCEL area, or dstack's JSON.
    EventLog,
    /// None of these.
    Unknown,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Policy => "policy",
            Self::SnpReport => "snp_report",
            Self::TdxQuote => "tdx_quote",
            Self::TdxCollateral => "tdx_collateral",
            Self::Vek => "vek",
            Self::Certificate => "certificate",
            Self::RevocationList => "crl",
            Self::Revocations => "revocations",
            Self::Request => "request",
            Self::Response => "response",
            Self::EventLog => "event_log",
            Self::Unknown => "unknown",
        }
    }
}

/// What these bytes seem to be.
pub fn of(bytes: &[u8]) -> Kind {
    let text = bytes.trim_ascii_start();
    match (text.first(), bytes) {
        (Some(b'{'), _) => of_object(text),
        (Some(b'['), _) if names(text, &["imr", "digest"]) => Kind::EventLog,
        (Some(b'-'), _) => of_pem(text),
        (Some(b':' | b'd' | b'e'), _) if is_event_stream(text) => Kind::Response,
        (_, [2..=5, 0, 0, 0, ..]) if bytes.len() == SNP_REPORT_BYTES => Kind::SnpReport,
        // Version 4 or 5, ECDSA-256, TEE type TDX.
        (_, [4 | 5, 0, 2, 0, 0x81, 0, 0, 0, ..]) => Kind::TdxQuote,
        (_, [0x30, 0x80..=0x84, ..]) => of_der(bytes),
        // The Spec ID event that begins a TCG log: PCR 0, EV_NO_ACTION.
        (_, [1, 0, 0, 0, 3, 0, 0, 0, ..] | [0, 0, 0, 0, 3, 0, 0, 0, ..]) => Kind::EventLog,
        _ => Kind::Unknown,
    }
}

fn of_object(text: &[u8]) -> Kind {
    // What is too long for any document is a body.
    let Ok(Value::Object(fields)) = strict_json::value(text, LIMITS) else {
        // Broken documents go where they seem to belong, and are refused there by name.
        return document(&|name| names(text, &[name])).unwrap_or(Kind::Unknown);
    };
    let has = |name: &str| fields.contains_key(name);
    if let Some(document) = document(&has) {
        document
    } else if has("messages") || has("prompt") || has("input") {
        Kind::Request
    } else if has("choices") || has("object") || has("error") {
        Kind::Response
    } else {
        Kind::Unknown
    }
}

/// Which document has such fields.
fn document(has: &dyn Fn(&str) -> bool) -> Option<Kind> {
    if has("boot") && has("epoch") {
        Some(Kind::Bundle)
    } else if has("purpose") && has("trust") {
        Some(Kind::Policy)
    } else if has("tcb_info") {
        Some(Kind::TdxCollateral)
    } else if has("payloadType") && has("signatures") {
        Some(Kind::Revocations)
    } else {
        None
    }
}

/// Whether the beginning of a text holds all these words in quotes.
fn names(text: &[u8], words: &[&str]) -> bool {
    let beginning = text.get(..text.len().min(1 << 16)).unwrap_or_default();
    words.iter().all(|word| {
        let quoted = ["\"", word, "\""].concat();
        beginning.windows(quoted.len()).any(|place| place == quoted.as_bytes())
    })
}

fn of_pem(text: &[u8]) -> Kind {
    if text.starts_with(b"-----BEGIN CERTIFICATE-----") {
        CertificateDer::from_pem_slice(text).map_or(Kind::Certificate, |der| of_certificate(&der))
    } else if text.starts_with(b"-----BEGIN X509 CRL-----") {
        Kind::RevocationList
    } else {
        Kind::Unknown
    }
}

fn is_event_stream(text: &[u8]) -> bool {
    [b": ".as_slice(), b"data:", b"event:"].iter().any(|begin| text.starts_with(begin))
}

/// A certificate's first element is its explicitly tagged version, a revocation list's an integer.
fn of_der(bytes: &[u8]) -> Kind {
    let inner = header(bytes).and_then(header);
    match inner {
        Some([0xa0, ..]) => of_certificate(bytes),
        Some([0x02, ..]) => Kind::RevocationList,
        _ => Kind::Unknown,
    }
}

/// AMD's arc of object identifiers, 1.3.6.1.4.1.3704.1 (AMD 57230, "VCEK Certificate Extensions"): of its
/// certificates only VCEKs and VLEKs have extensions in it.
const AMD_EXTENSIONS: [u8; 8] = [0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1];

fn of_certificate(der: &[u8]) -> Kind {
    match der.windows(AMD_EXTENSIONS.len()).any(|place| place == AMD_EXTENSIONS) {
        true => Kind::Vek,
        false => Kind::Certificate,
    }
}

/// What follows a SEQUENCE's header.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let [0x30, length, rest @ ..] = bytes else { return None };
    let long = usize::from(length.checked_sub(0x80).unwrap_or(0));
    rest.get(long..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_content() {
        let report = [[5, 0, 0, 0].as_slice(), &[0; SNP_REPORT_BYTES - 4]].concat();
        let mut short = report.clone();
        short.pop();
        let vek = [&[0x30, 0x82, 1, 0, 0x30, 0x82, 1, 0, 0xa0, 3, 6][..], &AMD_EXTENSIONS, &[3, 1]].concat();
        let cases: [(&[u8], Kind); 19] = [
            (br#"{"payloadType":"t","payload":"","signatures":[]}"#, Kind::Revocations),
            (&vek, Kind::Vek),
            (br#"{"version":1,"boot":{},"epoch":{}}"#, Kind::Bundle),
            (br#"{"version":1,"boot":{},"epoch":{},"#, Kind::Bundle),
            (br#" {"purpose":"production","trust":{}}"#, Kind::Policy),
            (br#"{"purpose":"production","trust":{},"trust":{}}"#, Kind::Policy),
            (br#"{"tcb_info":"","qe_identity":""}"#, Kind::TdxCollateral),
            (br#"{"model":"m","messages":[]}"#, Kind::Request),
            (br#"{"object":"chat.completion","choices":[]}"#, Kind::Response),
            (b": vouchsafe-stream-start x\n\ndata: {}\n", Kind::Response),
            (b"data: {}\n", Kind::Response),
            (br#"[{"imr":0,"digest":"00"}]"#, Kind::EventLog),
            (&report, Kind::SnpReport),
            (&short, Kind::Unknown),
            (&[4, 0, 2, 0, 0x81, 0, 0, 0, 9], Kind::TdxQuote),
            (&[0x30, 0x82, 1, 0, 0x30, 0x82, 1, 0, 0xa0, 3], Kind::Certificate),
            (&[0x30, 0x82, 1, 0, 0x30, 0x82, 1, 0, 0x02, 1], Kind::RevocationList),
            (b"-----BEGIN CERTIFICATE-----\n", Kind::Certificate),
            (b"\x89PNG\r\n", Kind::Unknown),
        ];
        for (bytes, kind) in cases {
            assert_eq!(of(bytes), kind, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(of(b""), Kind::Unknown);
        assert_eq!(of(&[0x30]), Kind::Unknown);
        assert_eq!(of(&[0x30, 0x84]), Kind::Unknown);
    }
}
