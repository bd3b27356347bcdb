//! The boundary to JavaScript: bytes and strings in, JSON text out.
//!
//! A verdict is the text that `--format json` prints. Where the caller's own inputs are unusable, the
//! thrown value is JSON too: `{"code":…,"message":…}`. The typed functions that people call stand in
//! the package's `index.js`.

// What the macro generates at the boundary is unsafe by nature. Nothing written here is.
#![allow(unsafe_code)]

use js_sys::Uint8Array;
use vouchsafe_bundle::Verdict;
use vouchsafe_verifier::crypto::{Crypto as _, RustCrypto};
use vouchsafe_verifier::encoding::to_hex;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::judge::{self, Expected, Misuse, Terms};
use crate::kind;

/// What a file seems to be, as a word.
#[wasm_bindgen(js_name = kindOf)]
pub fn kind_of(bytes: &[u8]) -> String {
    kind::of(bytes).as_str().to_owned()
}

/// The SHA-256 of a file, in hexadecimal: browsers' own isn't there for pages from plain hosts.
#[wasm_bindgen]
pub fn sha256(bytes: &[u8]) -> String {
    to_hex(&RustCrypto.sha256(bytes))
}

/// Judges a receipt bundle.
#[wasm_bindgen(js_name = verifyBundle)]
pub fn verify_bundle(
    bundle: &[u8],
    policy: &[u8],
    at: &str,
    revocations: Option<Vec<u8>>,
    request: Option<Vec<u8>>,
    response: Option<Vec<u8>>,
) -> Result<String, String> {
    let terms = Terms::read(policy, at, revocations.as_deref()).map_err(|misuse| thrown(&misuse))?;
    Ok(text(&judge::bundle(bundle, &terms, request.as_deref(), response.as_deref())))
}

/// Judges an SEV-SNP report.
#[wasm_bindgen(js_name = verifySnp)]
#[allow(clippy::too_many_arguments)] // The typed function around it takes one object.
pub fn verify_snp(
    report: &[u8],
    vek: Option<Vec<u8>>,
    certificates: Vec<Uint8Array>,
    crl: Option<Vec<u8>>,
    policy: &[u8],
    at: &str,
    revocations: Option<Vec<u8>>,
    report_data: Option<String>,
    trust_root: Option<Vec<u8>>,
) -> Result<String, String> {
    let terms = Terms::read(policy, at, revocations.as_deref()).map_err(|misuse| thrown(&misuse))?;
    let expected = Expected::read(report_data.as_deref(), trust_root.as_deref());
    let expected = expected.map_err(|misuse| thrown(&misuse))?;
    let certificates: Vec<_> = certificates.iter().map(Uint8Array::to_vec).collect();
    Ok(text(&judge::snp(report, vek.as_deref(), &certificates, crl.as_deref(), &terms, &expected)))
}

/// Judges a TDX quote.
#[wasm_bindgen(js_name = verifyTdx)]
#[allow(clippy::too_many_arguments)] // The typed function around it takes one object.
pub fn verify_tdx(
    quote: &[u8],
    collateral: Option<Vec<u8>>,
    event_log: Option<Vec<u8>>,
    policy: &[u8],
    at: &str,
    revocations: Option<Vec<u8>>,
    report_data: Option<String>,
    trust_root: Option<Vec<u8>>,
) -> Result<String, String> {
    let terms = Terms::read(policy, at, revocations.as_deref()).map_err(|misuse| thrown(&misuse))?;
    let expected = Expected::read(report_data.as_deref(), trust_root.as_deref());
    let expected = expected.map_err(|misuse| thrown(&misuse))?;
    Ok(text(&judge::tdx(quote, collateral.as_deref(), event_log.as_deref(), &terms, &expected)))
}

/// The version of the verifier.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

fn text(verdict: &Verdict) -> String {
    verdict.to_json()
}

fn thrown(misuse: &Misuse) -> String {
    serde_json::to_string(misuse).unwrap_or_default()
}
