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
//! `"tdx": {"quote", "collateral", "event_log"}`; what is not needed is left out. `"revocations"` names the list
//! that is at hand, which counts if the policy's keys signed it; `"report_data"` is what raw evidence must be over;
//! and beside `verdict` and `code`, `"as_logged"` expects the same two words of the judgement for the moment of
//! logging.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use vouchsafe_bundle::policy::Moment;
use vouchsafe_bundle::{
    Decision, EvidenceInputs, Inputs, Policy, Verdict, appraise_evidence, parse_tdx_collateral, refuse,
    snp_endorsements, verify_bundle_json,
};
use vouchsafe_receipt::VerifiedRevocations;
use vouchsafe_receipt::revocation::RevocationsInForce;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{Endorsements, Evidence, json_record};

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
    /// The folder holds more cases than are judged at once.
    #[error("{path} holds more than {max} cases", path = path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// The folder holds no case, so that there is nothing to pass.
    #[error("{path} holds no *.case.json", path = path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

struct Case {
    at: Moment,
    bundle: Option<String>,
    request: Option<String>,
    response: Option<String>,
    snp: Option<SnpFiles>,
    tdx: Option<TdxFiles>,
    revocations: Option<String>,
    report_data: Option<Hex<64>>,
    expect: Expected,
}

json_record!(Case { at, bundle, request, response, snp, tdx, revocations, report_data, expect });

struct SnpFiles {
    report: String,
    vek: Option<String>,
    certificates: Option<Vec<String>>,
    crl: Option<String>,
}

json_record!(SnpFiles { report, vek, certificates, crl });

struct TdxFiles {
    quote: String,
    collateral: Option<String>,
    event_log: Option<String>,
}

json_record!(TdxFiles { quote, collateral, event_log });

/// What a case expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// `accepted`, `rejected` or `incomplete`.
    pub verdict: String,
    /// The verdict's stable word; left out where accepted.
    pub code: Option<String>,
    /// The same for the moment of logging; what a case leaves out is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_logged: Option<Judged>,
}

json_record!(Expected { verdict, code, as_logged });

/// A decision and its word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// `accepted`, `rejected` or `incomplete`.
    pub verdict: String,
    /// The stable word; left out where accepted.
    pub code: Option<String>,
}

json_record!(Judged { verdict, code });

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
        let Expected { verdict, code, as_logged } = &self.expected;
        *verdict == self.seen.verdict
            && *code == self.seen.code
            && (as_logged.is_none() || *as_logged == self.seen.as_logged)
    }
}

/// Judges every case in a folder by a policy.
///
/// # Errors
/// [`Error`], where the folder or a case in it is unusable.
pub fn run(policy: &Policy, folder: &Path) -> Result<Vec<Outcome>, Error> {
    let unreadable = |error| Error::Unreadable { path: folder.into(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX)) {
            paths.push(path);
        }
        if paths.len() > CASES_MAX {
            return Err(Error::TooMany { path: folder.into(), max: CASES_MAX });
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
    let case: Case = strict_json::read(&read(path)?, LIMITS).map_err(|error| malformed(error.to_string()))?;
    let words = [Decision::Accepted, Decision::Rejected, Decision::Incomplete].map(Decision::as_str);
    let as_logged = case.expect.as_logged.as_ref().map(|judged| &judged.verdict);
    if let Some(word) =
        [&case.expect.verdict].into_iter().chain(as_logged).find(|word| !words.contains(&word.as_str()))
    {
        return Err(malformed(format!("no verdict is called {word:?}")));
    }
    let file = |name: &String| read(&folder.join(name));
    let optional = |name: &Option<String>| name.as_ref().map(file).transpose();
    let revocations = match optional(&case.revocations)? {
        Some(json) => revocations(policy, &json).map_err(|error| malformed(error.to_string()))?,
        None => None,
    };
    let evidence_inputs = EvidenceInputs {
        report_data: case.report_data.as_ref().map(|data| &data.0),
        revocations: revocations.as_ref(),
        ..EvidenceInputs::new(case.at.0)
    };
    let verdict = match (&case.bundle, &case.snp, &case.tdx) {
        (Some(bundle), None, None) => {
            let (request, response) = (optional(&case.request)?, optional(&case.response)?);
            let inputs = Inputs {
                request: request.as_deref(),
                response: response.as_deref(),
                revocations: revocations.as_ref(),
                ..Inputs::new(case.at.0)
            };
            verify_bundle_json(&file(bundle)?, policy, &inputs, &Ring)
        }
        (None, Some(files), None) => {
            let certificates: Result<Vec<_>, _> = files.certificates.iter().flatten().map(file).collect();
            let endorsements =
                snp_endorsements(optional(&files.vek)?, &certificates?, optional(&files.crl)?, &Ring);
            let evidence = Evidence::SevSnp { report: Base64(file(&files.report)?) };
            let endorsements = Endorsements::SevSnp(endorsements);
            appraise_evidence(&evidence, Some(&endorsements), policy, &evidence_inputs, &Ring)
        }
        (None, None, Some(files)) => tdx(policy, &evidence_inputs, files, file)?,
        _ => return Err(malformed("expected exactly one of bundle, snp and tdx".into())),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = name.strip_suffix(SUFFIX).unwrap_or(&name).to_owned();
    Ok(Outcome { name, expected: case.expect, seen: seen(&verdict) })
}

fn seen(verdict: &Verdict) -> Expected {
    let logged = verdict.as_logged().map(|logged| Judged {
        verdict: logged.verdict.as_str().into(),
        code: logged.code.map(str::to_owned),
    });
    let (decision, code) = (verdict.decision().as_str().into(), verdict.code().map(str::to_owned));
    Expected { verdict: decision, code, as_logged: logged }
}

/// The list at hand; `None` where the policy names nobody whose list would count.
fn revocations(
    policy: &Policy,
    json: &[u8],
) -> Result<Option<VerifiedRevocations>, vouchsafe_receipt::Error> {
    let list = RevocationsInForce::parse(json)?;
    let signers = policy.revocation_signers(&Ring);
    signers.map(|signers| list.verify(&signers, &Ring)).transpose()
}

fn tdx(
    policy: &Policy,
    inputs: &EvidenceInputs<'_>,
    files: &TdxFiles,
    file: impl Fn(&String) -> Result<Vec<u8>, Error>,
) -> Result<Verdict, Error> {
    let collateral = files.collateral.as_ref().map(&file).transpose()?;
    let endorsements = match collateral.map(|json| parse_tdx_collateral(&json)).transpose() {
        Ok(collateral) => collateral.map(Endorsements::Tdx),
        Err(error) => return Ok(refuse(policy, inputs.at, &error)),
    };
    let event_log = files.event_log.as_ref().map(&file).transpose()?.map(Base64);
    let evidence = Evidence::Tdx { quote: Base64(file(&files.quote)?), event_log };
    Ok(appraise_evidence(&evidence, endorsements.as_ref(), policy, inputs, &Ring))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Unreadable { path: path.into(), error })
}
