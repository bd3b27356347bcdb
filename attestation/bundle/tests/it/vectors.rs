//! Real reports and quotes under the shipped policies, against the facts recorded with them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vouchsafe_bundle::{EvidenceInputs, Policy, Verdict, appraise_evidence, parse_tdx_collateral};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, UnixSeconds};

use crate::common::*;

/// A folder of the vectors; `None` when they are not beside the checkout.
pub(crate) fn vectors(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VOUCHSAFE_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = root.join("vectors").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
    eprintln!("NOT RUN: {} is missing", folder.display());
    None
}

/// The cases in a folder: each has its facts in `expect.json`.
fn cases(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("expect.json").is_file())
        .map(|path| {
            let expect = serde_json::from_slice(&std::fs::read(path.join("expect.json")).unwrap()).unwrap();
            (path, expect)
        })
        .collect();
    cases.sort_by(|(a, _), (b, _)| a.cmp(b));
    cases
}

fn read(path: PathBuf) -> Option<Base64> {
    std::fs::read(path).ok().map(Base64)
}

pub(crate) fn strict() -> Policy {
    Policy::parse(&shipped("evidence-strict")).unwrap()
}

fn crypto_only() -> Policy {
    Policy::parse(&shipped("evidence-crypto-only")).unwrap()
}

/// Which words stand for the reasons that `expect.json` gives.
fn code_of(reason: &str) -> &'static str {
    match reason {
        "policy.DEBUG set" => "snp_debug_mismatch",
        "no VEK certificate available: must not verify" => "snp_vek_missing",
        "TD is DEBUG" => "tdx_debug_mismatch",
        "SEPT_VE_DISABLE not set" => "tdx_sept_ve_disable_mismatch",
        reason if reason.starts_with("VMPL 1") => "snp_vmpl_above_policy",
        reason if reason.contains("non-zero trailing bytes") => "tdx_trailing_bytes",
        reason if reason.contains("OutOfDate") => "tdx_tcb_status_not_accepted",
        reason if reason.contains("NO_TCB_LEVEL") => "tdx_tcb_no_matching_level",
        other => panic!("no word for {other:?}"),
    }
}

fn reasons(expect: &Value) -> Vec<&str> {
    let list = expect["verdict"]["reject_under_strict_policy"].as_array();
    list.into_iter().flatten().map(|reason| reason.as_str().unwrap()).collect()
}

fn codes(verdict: &Verdict) -> Vec<&'static str> {
    verdict.findings().iter().filter_map(|finding| finding.code).collect()
}

#[test]
fn snp_reports_are_judged_as_recorded() {
    let Some(folder) = vectors("snp") else { return };
    let cases = cases(&folder);
    assert_eq!(cases.len(), 12);
    for (path, expect) in cases {
        let name = path.display().to_string();
        let evidence = Evidence::SevSnp { report: read(path.join("report.bin")).unwrap() };
        let vek = read(path.join("vek.der"));
        let endorsements = Endorsements::SevSnp(SnpEndorsements { vek, ..SnpEndorsements::default() });
        let at = expect["verdict"]["verify_at"].as_str().unwrap_or("2026-02-06T00:00:00Z");
        let inputs = EvidenceInputs::new(UnixSeconds::from_rfc3339(at).unwrap());
        let judge =
            |policy: &Policy| appraise_evidence(&evidence, Some(&endorsements), policy, &inputs, &Ring);
        let (strictly, loosely) = (judge(&strict()), judge(&crypto_only()));
        let is_valid = expect["verdict"]["cryptographic"] == "VALID";
        assert_eq!(loosely.is_accepted(), is_valid, "{name}: {:?}", loosely.detail());
        let expected: Vec<_> = reasons(&expect).into_iter().map(code_of).collect();
        assert_eq!(strictly.is_accepted(), expected.is_empty(), "{name}: {:?}", strictly.detail());
        assert_eq!(codes(&strictly), expected, "{name}");
        if is_valid {
            let claims = strictly.claims().unwrap();
            for fact in ["measurement", "report_data", "chip_id", "product", "vmpl", "host_data", "version"] {
                assert_eq!(claims[fact], expect[fact], "{name}: {fact}");
            }
            for part in ["raw", "bl", "tee", "snp", "ucode"] {
                let (claimed, expected) = (&claims["reported_tcb"][part], &expect["reported_tcb"][part]);
                assert_eq!(claimed, expected, "{name}: reported_tcb.{part}");
            }
        }
    }
}

#[test]
fn tdx_quotes_are_judged_as_recorded() {
    let Some(folder) = vectors("tdx") else { return };
    let cases = cases(&folder);
    assert_eq!(cases.len(), 12);
    let mut appraised = 0;
    for (path, expect) in cases {
        let evidence = Evidence::Tdx { quote: read(path.join("quote.bin")).unwrap(), event_log: None };
        for appraisal in expect["appraisals"].as_array().unwrap() {
            let file = appraisal["collateral"].as_str().unwrap();
            let name = format!("{} {file}", path.display());
            let collateral = std::fs::read(path.join(file)).unwrap();
            let endorsements = Endorsements::Tdx(parse_tdx_collateral(&collateral).unwrap());
            let inputs = EvidenceInputs::new(UnixSeconds(appraisal["verify_at_unix"].as_u64().unwrap()));
            let judge =
                |policy: &Policy| appraise_evidence(&evidence, Some(&endorsements), policy, &inputs, &Ring);
            let (strictly, loosely) = (judge(&strict()), judge(&crypto_only()));
            // A reason that names a collateral file is about that file only.
            let mine = |reason: &&str| !reason.starts_with("collateral-") || reason.starts_with(file);
            let expected: Vec<_> = reasons(&expect).into_iter().filter(mine).map(code_of).collect();
            assert_eq!(strictly.is_accepted(), expected.is_empty(), "{name}: {:?}", strictly.detail());
            let (mut found, mut expected) = (codes(&strictly), expected);
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{name}");
            let claims = strictly.claims().unwrap();
            assert_accepted(&loosely);
            let status = match appraisal["tcb_status"].as_str().unwrap() {
                "REJECT: NO_TCB_LEVEL" => "NoMatchingLevel",
                status => status,
            };
            assert_eq!(claims["tcb_status"], status, "{name}");
            assert_eq!(claims["advisories"], appraisal["advisories"], "{name}");
            for fact in ["mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "report_data", "td_attributes"] {
                assert_eq!(claims[fact], expect[fact], "{name}: {fact}");
            }
            appraised += 1;
        }
    }
    assert!(appraised >= 13, "{appraised}");
}

#[test]
fn a_quote_without_collateral_is_refused() {
    let Some(folder) = vectors("tdx") else { return };
    let quote = read(folder.join("v4-live-ccel-pair/quote.bin")).unwrap();
    let evidence = Evidence::Tdx { quote, event_log: None };
    let inputs = EvidenceInputs::new(UnixSeconds::from_rfc3339("2026-04-01T00:00:00Z").unwrap());
    let verdict = appraise_evidence(&evidence, None, &crypto_only(), &inputs, &Ring);
    assert_rejected(&verdict, "tdx_collateral_missing");
}

/// The strict verdict on each case with its certificates or collateral; `None` where the vectors are not at hand.
pub(crate) fn real_verdicts() -> Option<Vec<(String, Verdict)>> {
    real_verdicts_under(&strict())
}

/// The same under another policy.
pub(crate) fn real_verdicts_under(policy: &Policy) -> Option<Vec<(String, Verdict)>> {
    let (snp, tdx) = (vectors("snp")?, vectors("tdx")?);
    let mut verdicts = Vec::new();
    for (path, expect) in cases(&snp) {
        let evidence = Evidence::SevSnp { report: read(path.join("report.bin")).unwrap() };
        let vek = read(path.join("vek.der"));
        let endorsements = Endorsements::SevSnp(SnpEndorsements { vek, ..SnpEndorsements::default() });
        let at = expect["verdict"]["verify_at"].as_str().unwrap_or("2026-02-06T00:00:00Z");
        let inputs = EvidenceInputs::new(UnixSeconds::from_rfc3339(at).unwrap());
        let verdict = appraise_evidence(&evidence, Some(&endorsements), policy, &inputs, &Ring);
        verdicts.push((path.display().to_string(), verdict));
    }
    for (path, expect) in cases(&tdx) {
        let evidence = Evidence::Tdx { quote: read(path.join("quote.bin")).unwrap(), event_log: None };
        for appraisal in expect["appraisals"].as_array().unwrap() {
            let file = appraisal["collateral"].as_str().unwrap();
            let collateral = std::fs::read(path.join(file)).unwrap();
            let endorsements = Endorsements::Tdx(parse_tdx_collateral(&collateral).unwrap());
            let inputs = EvidenceInputs::new(UnixSeconds(appraisal["verify_at_unix"].as_u64().unwrap()));
            let verdict = appraise_evidence(&evidence, Some(&endorsements), policy, &inputs, &Ring);
            verdicts.push((format!("{} {file}", path.display()), verdict));
        }
    }
    Some(verdicts)
}
