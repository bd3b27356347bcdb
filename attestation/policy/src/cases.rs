//! Recorded evidence with the verdicts that are expected of a policy.
//!
//! A case is a file `NAME.case.json` beside the files that it names:
//!
//! ```json
//! {"at": "2026-11-21T12:00:00Z", "bundle": "b.json", "request": "q.json", "response": "a.json",
//!  "expect": {"verdict": "rejected", "code": "measurement_mismatch"}}
//! ```
//!
//! In the place of `bundle` stands `"snp": {"report", "vek", "certificates", "crl"}` or
//! `"tdx": {"quote", "collateral", "event_log"}`; what is not needed is left out.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vouchsafe_bundle::policy::Moment;
use vouchsafe_bundle::{
    Decision, EvidenceInputs, Inputs, Policy, Verdict, appraise_evidence, parse_tdx_collateral, refuse,
    snp_endorsements, verify_bundle_json,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{Endorsements, Evidence};

const SUFFIX: &str = ".case.json";
const LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 8 };
const CASES_MAX: usize = 10_000;

/// Why a folder of cases can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file can't be read.
    #[error("can't read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A case is not one.
    #[error("{path}: {why}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The folder holds no case, so that there is nothing to pass.
    #[error("{path} holds no *.case.json", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    at: Moment,
    bundle: Option<PathBuf>,
    request: Option<PathBuf>,
    response: Option<PathBuf>,
    snp: Option<SnpFiles>,
    tdx: Option<TdxFiles>,
    expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnpFiles {
    report: PathBuf,
    vek: Option<PathBuf>,
    #[serde(default)]
    certificates: Vec<PathBuf>,
    crl: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TdxFiles {
    quote: PathBuf,
    collateral: Option<PathBuf>,
    event_log: Option<PathBuf>,
}

/// What a case expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `accepted`, `rejected` or `incomplete`.
    pub verdict: String,
    /// The verdict's stable word; left out where accepted.
    pub code: Option<String>,
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The case's name.
    pub name: String,
    /// What was expected.
    pub expected: Expected,
    /// What the policy says.
    pub seen: Expected,
}

impl Outcome {
    /// Whether the policy says what was expected.
    pub fn is_as_expected(&self) -> bool {
        self.expected == self.seen
    }
}

/// Judges every case in a folder by a policy.
///
/// # Errors
/// [`Error`], where the folder or a case in it is unusable.
pub fn run(policy: &Policy, folder: &Path) -> Result<Vec<Outcome>, Error> {
    let unreadable = |error| Error::Unreadable { path: folder.into(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)?.take(CASES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX)) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::Empty { path: folder.into() });
    }
    paths.sort();
    paths.iter().map(|path| judge(policy, folder, path)).collect()
}

fn judge(policy: &Policy, folder: &Path, path: &Path) -> Result<Outcome, Error> {
    let malformed = |why: String| Error::Malformed { path: path.into(), why };
    let case: Case =
        strict_json::parse(&read(path)?, LIMITS).map_err(|error| malformed(error.to_string()))?;
    if ![Decision::Accepted, Decision::Rejected, Decision::Incomplete]
        .iter()
        .any(|decision| decision.as_str() == case.expect.verdict)
    {
        return Err(malformed(format!("no verdict is called {:?}", case.expect.verdict)));
    }
    let file = |name: &PathBuf| read(&folder.join(name));
    let optional = |name: &Option<PathBuf>| name.as_ref().map(file).transpose();
    let verdict = match (&case.bundle, &case.snp, &case.tdx) {
        (Some(bundle), None, None) => {
            let (request, response) = (optional(&case.request)?, optional(&case.response)?);
            let inputs = Inputs {
                request: request.as_deref(),
                response: response.as_deref(),
                ..Inputs::new(case.at.0)
            };
            verify_bundle_json(&file(bundle)?, policy, &inputs, &Ring)
        }
        (None, Some(files), None) => {
            let certificates: Result<Vec<_>, _> = files.certificates.iter().map(file).collect();
            let endorsements =
                snp_endorsements(optional(&files.vek)?, &certificates?, optional(&files.crl)?, &Ring);
            let evidence = Evidence::SevSnp { report: Base64(file(&files.report)?) };
            let inputs = EvidenceInputs::new(case.at.0);
            appraise_evidence(&evidence, Some(&Endorsements::SevSnp(endorsements)), policy, &inputs, &Ring)
        }
        (None, None, Some(files)) => tdx(policy, &case, files, file)?,
        _ => return Err(malformed("expected exactly one of bundle, snp and tdx".into())),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let seen =
        Expected { verdict: verdict.decision().as_str().into(), code: verdict.code().map(str::to_owned) };
    let name = name.strip_suffix(SUFFIX).unwrap_or(&name).to_owned();
    Ok(Outcome { name, expected: case.expect, seen })
}

fn tdx(
    policy: &Policy,
    case: &Case,
    files: &TdxFiles,
    file: impl Fn(&PathBuf) -> Result<Vec<u8>, Error>,
) -> Result<Verdict, Error> {
    let collateral = files.collateral.as_ref().map(&file).transpose()?;
    let endorsements = match collateral.map(|json| parse_tdx_collateral(&json)).transpose() {
        Ok(collateral) => collateral.map(Endorsements::Tdx),
        Err(error) => return Ok(refuse(policy, case.at.0, &error)),
    };
    let event_log = files.event_log.as_ref().map(&file).transpose()?.map(Base64);
    let evidence = Evidence::Tdx { quote: Base64(file(&files.quote)?), event_log };
    Ok(appraise_evidence(&evidence, endorsements.as_ref(), policy, &EvidenceInputs::new(case.at.0), &Ring))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Unreadable { path: path.into(), error })
}
