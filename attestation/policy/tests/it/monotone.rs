//! Demanding more never accepts more.

use proptest::prelude::*;
use serde_json::{Value, json};
use vouchsafe_bundle::{
    Decision, EvidenceInputs, Policy, appraise_evidence, parse_tdx_collateral, snp_endorsements,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use crate::cases::vectors;
use crate::common::*;

pub(crate) type Recorded = (Evidence, Endorsements, UnixSeconds);

/// Real evidence: one report that is good, one of a debug guest, and a quote that is good, then outdated.
pub(crate) fn recorded() -> Option<Vec<Recorded>> {
    let (snp, tdx) = (vectors("snp")?, vectors("tdx")?);
    let at = |text: &str| UnixSeconds::from_rfc3339(text).unwrap();
    let report = |case: &str, moment: &str| {
        let read = |name: &str| std::fs::read(snp.join(case).join(name)).unwrap();
        let endorsements = snp_endorsements(Some(read("vek.der")), &[], None, &Ring);
        let evidence = Evidence::SevSnp { report: Base64(read("report.bin")) };
        (evidence, Endorsements::SevSnp(endorsements), at(moment))
    };
    let quote = |collateral: &str, moment: &str| {
        let read = |name: &str| std::fs::read(tdx.join("v4-gcp-cos113-ccel").join(name)).unwrap();
        let evidence = Evidence::Tdx { quote: Base64(read("quote.bin")), event_log: None };
        (evidence, Endorsements::Tdx(parse_tdx_collateral(&read(collateral)).unwrap()), at(moment))
    };
    Some(vec![
        report("genoa-v5-siena", "2026-02-20T00:00:00Z"),
        report("milan-v2-debug", "2022-09-25T00:00:00Z"),
        quote("collateral-2025-01-21.json", "2025-01-21T14:00:00Z"),
        quote("collateral-2026-01-27.json", "2026-01-27T12:00:00Z"),
    ])
}

/// The strict policy for evidence without the rules whose bits are not set.
fn demanding(document: &Value, bits: u64) -> Policy {
    let mut changed = document.clone();
    for (index, (pointer, _)) in rules(document).iter().enumerate() {
        let one = with(&changed, pointer, json!({"ignore": "for a test"}));
        if bits >> (index % 64) & 1 == 0 && try_parse(&one).is_ok() {
            changed = one;
        }
    }
    parse(&changed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_requirement_more_never_turns_a_rejection_into_an_acceptance(few in any::<u64>(), more in any::<u64>()) {
        let Some(all) = recorded() else { return Ok(()) };
        let document = shipped("evidence-strict");
        let (fewer, more) = (demanding(&document, few & more), demanding(&document, more));
        for (evidence, endorsements, at) in &all {
            let judge = |policy: &Policy| {
                let inputs = EvidenceInputs::new(*at);
                appraise_evidence(evidence, Some(endorsements), policy, &inputs, &Ring).decision()
            };
            if judge(&more) == Decision::Accepted {
                prop_assert_eq!(judge(&fewer), Decision::Accepted);
            }
        }
    }
}

#[test]
fn a_rule_that_is_left_out_is_no_policy() {
    for document in [requiring_everything(), shipped("simulated"), shipped("evidence-strict")] {
        for (pointer, _) in rules(&document) {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let mut dropped = document.clone();
            dropped.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
            let error = try_parse(&dropped).expect_err(&pointer);
            assert_eq!(error.code(), "policy_malformed", "{pointer}");
            assert!(error.to_string().contains(name), "{pointer}: {error}");
        }
    }
}
