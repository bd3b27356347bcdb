//! What holds for every policy: a further demand never turns a refusal into an acceptance.

use std::sync::OnceLock;

use proptest::prelude::*;
use vouchsafe_bundle::policy::{Demanded, PolicyDocument, ReferenceValue, Rule, SnpProduct, SnpSigningKey};
use vouchsafe_bundle::{BundleParts, Decision, Policy, Verdict};
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;

/// One decision that can be made either way, with values that the test's answer keeps or breaks.
type Decide = fn(&mut PolicyDocument, Choice);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Choice {
    Ignored,
    Kept,
    Broken,
}

fn rule<T>(choice: Choice, kept: T, broken: T) -> Rule<T> {
    match choice {
        Choice::Ignored => ignore(),
        Choice::Kept => Rule::Require(kept),
        Choice::Broken => Rule::Require(broken),
    }
}

const DECISIONS: [Decide; 15] = [
    |d, c| d.platform.snp.debug = rule(c, false, true),
    |d, c| d.platform.snp.migration = rule(c, false, true),
    |d, c| d.platform.snp.smt = rule(c, true, false),
    |d, c| d.platform.snp.ecc = rule(c, true, false),
    |d, c| d.platform.snp.alias_check = rule(c, true, false),
    |d, c| d.platform.snp.host_data = rule(c, vec![Hex([0; 32])], vec![Hex([1; 32])]),
    |d, c| d.platform.snp.products = rule(c, vec![SnpProduct::Genoa], vec![SnpProduct::Milan]),
    |d, c| d.platform.snp.signing_keys = rule(c, vec![SnpSigningKey::Vcek], vec![SnpSigningKey::Vlek]),
    |d, c| d.measurements = rule(c, policy_values(), vec![]),
    |d, c| d.operator.identities = rule(c, vec!["operator.example".into()], vec!["other".into()]),
    |d, c| d.freshness.receipt_age_seconds_max = rule(c, 0, 0),
    |d, c| d.freshness.epoch_seconds_max = rule(c, 3600, 1),
    |d, c| {
        d.parameters.values =
            rule(c, [("top_k".into(), 40.into())].into(), [("top_k".into(), 1.into())].into())
    },
    |d, c| d.openings.request = rule(c, Demanded, Demanded),
    |d, c| d.openings.execution = rule(c, Demanded, Demanded),
];

fn policy_values() -> Vec<ReferenceValue> {
    policy().document().measurements.required().unwrap().clone()
}

fn judge_with(choices: &[Choice]) -> Verdict {
    static PARTS: OnceLock<BundleParts> = OnceLock::new();
    let parts = PARTS.get_or_init(|| Enclave::snp().plain());
    let mut document = policy().into_document();
    for (decide, choice) in DECISIONS.iter().zip(choices) {
        decide(&mut document, *choice);
    }
    judge(parts, &Policy::new(document).unwrap(), &inputs(None, Some(RESPONSE)))
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![4 => Just(Choice::Ignored), 4 => Just(Choice::Kept), 1 => Just(Choice::Broken)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_further_demand_never_makes_a_refusal_an_acceptance(
        before in prop::collection::vec(choice(), DECISIONS.len()),
        further in prop::collection::vec(choice(), DECISIONS.len()),
    ) {
        // Only what was ignored is decided anew: demands are added, none is taken away or changed.
        let after: Vec<Choice> = before
            .iter()
            .zip(&further)
            .map(|(before, further)| if *before == Choice::Ignored { *further } else { *before })
            .collect();
        let (before, after) = (judge_with(&before), judge_with(&after));
        prop_assert!(before.is_accepted() || !after.is_accepted(), "{:?} then {:?}", before.code(), after.code());
        if before.decision() == Decision::Rejected {
            prop_assert_eq!(after.decision(), Decision::Rejected);
        }
        // What is ignored is said.
        prop_assert!(not_proved(&after).len() <= not_proved(&before).len());
    }
}
