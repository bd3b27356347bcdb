//! What the TDX tests share: the vectors, read once, and one call to verify them.

#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod dcap;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::tdx::{self, VerifiedTdx};
use vouchsafe_verifier::{Error, TdxCollateral, TrustRoots, UnixSeconds};

use crate::common::fixtures;

/// One folder of the TDX vectors.
pub(crate) struct Case {
    /// The folder's name.
    pub(crate) id: String,
    /// `quote.bin`.
    pub(crate) quote: Vec<u8>,
    /// `expect.json`.
    pub(crate) expect: Value,
    folder: PathBuf,
}

impl Case {
    /// The collateral files with what is expected of each.
    pub(crate) fn appraisals(&self) -> Vec<Appraisal> {
        let appraisals = self.expect["appraisals"].as_array().unwrap();
        appraisals
            .iter()
            .map(|expect| {
                let name = expect["collateral"].as_str().unwrap();
                let collateral = serde_json::from_slice(&self.file(name)).unwrap();
                let at = UnixSeconds(expect["verify_at_unix"].as_u64().unwrap());
                Appraisal { collateral, at, expect: expect.clone() }
            })
            .collect()
    }

    /// The first appraisal.
    pub(crate) fn appraisal(&self) -> Appraisal {
        self.appraisals().remove(0)
    }

    /// Another file of the folder.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap_or_else(|error| panic!("{}/{name}: {error}", self.id))
    }

    /// The quote without what follows it in its buffer.
    pub(crate) fn bare_quote(&self) -> &[u8] {
        let len = usize::try_from(self.expect["quote_len"].as_u64().unwrap()).unwrap();
        &self.quote[..len]
    }
}

/// One collateral file and what is expected under it.
pub(crate) struct Appraisal {
    pub(crate) collateral: TdxCollateral,
    pub(crate) at: UnixSeconds,
    pub(crate) expect: Value,
}

impl Appraisal {
    /// A date of the expectation, written `2025-01-21 12:58:39+00:00`.
    pub(crate) fn date(&self, name: &str) -> UnixSeconds {
        let text = self.expect[name].as_str().unwrap();
        let text = text.replace(' ', "T").replace("+00:00", "Z");
        UnixSeconds::from_rfc3339(&text).unwrap()
    }
}

/// All TDX vectors, or `None` (said aloud) where the fixtures are absent and CI does not ask for them.
pub(crate) fn cases() -> Option<Vec<Case>> {
    let folder = fixtures("TDX vectors")?.join("vectors/tdx");
    let mut cases: Vec<Case> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expect.json").is_file())
        .map(|folder| Case {
            id: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            quote: fs::read(folder.join("quote.bin")).unwrap(),
            expect: serde_json::from_slice(&fs::read(folder.join("expect.json")).unwrap()).unwrap(),
            folder,
        })
        .collect();
    cases.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(cases.len() >= 12, "the TDX vectors are incomplete: {} cases", cases.len());
    Some(cases)
}

/// One TDX vector.
pub(crate) fn case(id: &str) -> Option<Case> {
    Some(cases()?.into_iter().find(|case| case.id == id).unwrap_or_else(|| panic!("no vector {id}")))
}

/// Verifies under Intel's root.
pub(crate) fn verify(
    quote: &[u8],
    collateral: &TdxCollateral,
    at: UnixSeconds,
) -> Result<Box<VerifiedTdx>, Error> {
    verify_log(quote, None, collateral, at)
}

/// Verifies with an event log under Intel's root.
pub(crate) fn verify_log(
    quote: &[u8],
    event_log: Option<&[u8]>,
    collateral: &TdxCollateral,
    at: UnixSeconds,
) -> Result<Box<VerifiedTdx>, Error> {
    let roots = TrustRoots::vendor_pinned();
    tdx::verify(quote, event_log, Some(collateral), &roots, at, &Ring).map(|(verified, _)| verified)
}

/// The code of an error.
pub(crate) fn code<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(error) => error.code(),
    }
}
