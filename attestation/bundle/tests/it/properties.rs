//! What holds for every policy: a further demand never turns a refusal into an acceptance.

use std::sync::OnceLock;

use proptest::prelude::*;
use vouchsafe_bundle::policy::{
    Demanded, LogReference, PlatformName, PolicyDocument, QuorumReference, ReferenceValue,
    RevocationReference, Rule, SnpProduct, SnpSigningKey,
};
use vouchsafe_bundle::{BundleParts, Decision, Policy, Verdict};
use vouchsafe_translog::{NoteSignature, TlogProof};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;
use crate::logs::{BEFORE, BOUND_S, Log, Signer, TIMES};

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

const DECISIONS: [Decide; 30] = [
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
    |d, c| d.openings.response = rule(c, Demanded, Demanded),
    |d, c| d.platform.accepted = rule(c, vec![PlatformName::SevSnp], vec![PlatformName::Tdx]),
    |d, c| d.platform.snp.vmpl_max = rule(c, 3, 0),
    |d, c| d.platform.snp.single_socket = rule(c, false, true),
    |d, c| d.platform.snp.rapl_disabled = rule(c, false, true),
    |d, c| d.platform.snp.ciphertext_hiding = rule(c, false, true),
    |d, c| d.platform.snp.crl = rule(c, Demanded, Demanded),
    |d, c| d.platform.snp.chip_ids = rule(c, vec![Hex([0x5a; 64])], vec![]),
    |d, c| d.models = rule(c, policy().document().models.required().unwrap().clone(), vec![]),
    |d, c| d.settlement.promised = rule(c, Demanded, Demanded),
    |d, c| d.settlement.bound = rule(c, BOUND_S, BOUND_S - 1),
    |d, c| d.log.inclusion = rule(c, vec![LogReference { key: Log::new().signer.vkey() }], vec![]),
    // One of the two whose cosignatures are good, or also of the one whose is not.
    |d, c| d.witnesses.quorum = rule(c, witnesses(2), witnesses(3)),
    |d, c| d.revocations.list = rule(c, nobody(), nobody()),
    |d, c| d.platform.tdx.debug = rule(c, false, true),
];

fn witnesses(count: usize) -> QuorumReference {
    let keys = Log::new().witnesses.iter().take(count).map(Signer::vkey).collect();
    QuorumReference { keys, threshold: 1 }
}

fn nobody() -> RevocationReference {
    RevocationReference { keys: vec![], threshold: 1, age_seconds_max: 86_400 }
}

/// A settled answer, with one cosignature that is not its witness's.
fn settled() -> BundleParts {
    let log = Log::new();
    let mut parts = log.unsettled(&log.enclave());
    let proof = log.proof(&parts, BEFORE, &TIMES[..2]);
    let mut note = proof.note().clone();
    note.add(NoteSignature::new(&log.witnesses[2].key, vec![0; 72])).unwrap();
    parts.proof = Some(TlogProof::new(BEFORE as u64, proof.path().to_vec(), note).unwrap());
    parts
}

fn policy_values() -> Vec<ReferenceValue> {
    policy().document().measurements.required().unwrap().clone()
}

/// The verdict, or `None` where the decisions contradict each other.
fn judge_with(choices: &[Choice]) -> Option<Verdict> {
    static PARTS: OnceLock<BundleParts> = OnceLock::new();
    let parts = PARTS.get_or_init(settled);
    let mut document = policy().into_document();
    for (decide, choice) in DECISIONS.iter().zip(choices) {
        decide(&mut document, *choice);
    }
    let at = UnixSeconds(NOW.0 + 30);
    let inputs = vouchsafe_bundle::Inputs { at, ..inputs(None, Some(RESPONSE)) };
    Some(judge(parts, &Policy::new(document).ok()?, &inputs))
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![20 => Just(Choice::Ignored), 10 => Just(Choice::Kept), 1 => Just(Choice::Broken)]
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
        let (Some(before), Some(after)) = (judge_with(&before), judge_with(&after)) else { return Ok(()) };
        prop_assert!(before.is_accepted() || !after.is_accepted(), "{:?} then {:?}", before.code(), after.code());
        if before.decision() == Decision::Rejected {
            prop_assert_eq!(after.decision(), Decision::Rejected);
        }
        // What is ignored is said.
        prop_assert!(not_proved(&after).len() <= not_proved(&before).len());
    }
}

/// The one case that no luck should be needed for: witnesses that are asked for, beside one whom nobody asked.
#[test]
fn a_bad_cosignature_counts_for_nothing_whoever_asks() {
    let with = |quorum: Choice| {
        let mut choices = [Choice::Ignored; DECISIONS.len()];
        (choices[26], choices[27]) = (Choice::Kept, quorum);
        judge_with(&choices).unwrap()
    };
    assert_accepted(&with(Choice::Ignored));
    assert_accepted(&with(Choice::Kept));
    assert_rejected(&with(Choice::Broken), "cosignature_invalid");
}
