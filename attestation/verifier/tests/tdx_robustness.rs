//! Hostile bytes: nothing that comes from outside makes a parser panic or a verification pass.

mod common;
mod tdx_support;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use tdx_support::{case, cases, code, verify};
use vouchsafe_simulator::intel::{EventLog as MintedLog, IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::tdx::{self, EventLog, Quote};
use vouchsafe_verifier::{Endorsements, TdxCollateral, TrustRoots, UnixSeconds};

const ENDORSED: UnixSeconds = UnixSeconds(1_767_225_600);

/// Bytes of `original` with some replaced, some cut out and some put in.
fn edit(original: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (position, byte, kind) in edits {
        if bytes.is_empty() {
            break;
        }
        let position = position % bytes.len();
        match kind % 4 {
            0 => bytes[position] = *byte,
            1 => bytes[position] ^= 1 << (byte % 8),
            2 => drop(bytes.drain(position..(position + usize::from(*byte)).min(bytes.len()))),
            _ => bytes.insert(position, *byte),
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn arbitrary_bytes_are_no_quote(bytes in vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Quote::parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_replay_to_no_registers(bytes in vec(any::<u8>(), 0..2_000)) {
        let replayed = EventLog::parse(&bytes).and_then(|log| log.replay(&[[1; 48]; 4], &Ring));
        prop_assert!(replayed.is_err());
    }

    #[test]
    fn a_header_with_arbitrary_bytes_behind_it_is_judged(bytes in vec(any::<u8>(), 0..3_000), v5: bool) {
        let mut quote = vec![if v5 { 5 } else { 4 }, 0, 2, 0, 0x81, 0, 0, 0];
        quote.extend(bytes);
        let _ = Quote::parse(&quote);
    }

    #[test]
    fn an_edited_log_replays_to_other_registers_or_says_the_same(edits in edits()) {
        let minted = MintedLog::typical("console=ttyS0");
        let (registers, area) = (minted.rtmrs(), minted.to_ccel());
        let honest = EventLog::parse(&area).unwrap().replay(&registers, &Ring).unwrap();
        let Ok(edited) = EventLog::parse(&edit(&area, &edits)) else { return Ok(()) };
        let Ok(edited) = edited.replay(&registers, &Ring) else { return Ok(()) };
        // What is proved must be what was measured; only what proves nothing may differ.
        let proved = |log: &tdx::ReplayedLog| -> Vec<_> {
            log.events()
                .iter()
                .filter(|event| event.rtmr().is_some())
                .map(|event| (event.rtmr(), *event.digest(), event.bound_content().map(<[u8]>::to_vec)))
                .collect()
        };
        for (honest, edited) in proved(&honest).iter().zip(proved(&edited)) {
            prop_assert_eq!((honest.0, honest.1), (edited.0, edited.1));
            if let (Some(honest), Some(edited)) = (&honest.2, edited.2) {
                prop_assert_eq!(honest, &edited);
            }
        }
    }
}

#[test]
fn edited_quotes_never_verify_as_something_else() {
    let Some(case) = case("v5-google-uptodate") else { return };
    let appraisal = case.appraisal();
    let control = verify(case.bare_quote(), &appraisal.collateral, appraisal.at).unwrap().claims();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..500 {
        let edits = edits().new_tree(&mut runner).unwrap().current();
        if let Ok(verified) = verify(&edit(case.bare_quote(), &edits), &appraisal.collateral, appraisal.at) {
            let claims = verified.claims();
            assert_eq!(
                (claims.quote.mrtd, claims.quote.report_data),
                (control.quote.mrtd, control.quote.report_data),
                "{edits:?}"
            );
        }
    }
}

#[test]
fn edited_and_resigned_documents_are_judged_without_a_panic() {
    let authority = IntelAuthority::generate(UnixSeconds(1_735_689_600)).unwrap();
    let machine =
        TdxMachine::new(&authority, &TdxMachineSpec::typical(&authority, ENDORSED), [1; 48]).unwrap();
    let quote = machine.attest([2; 64]);
    let Endorsements::Tdx(collateral) = machine.endorsements().unwrap() else { panic!("TDX") };
    let roots = TrustRoots::none().with_test_intel_root(authority.root_der()).unwrap();
    let judge = |collateral: &TdxCollateral| {
        code(tdx::verify(&quote, None, Some(collateral), &roots, ENDORSED, &Ring))
    };
    assert_eq!(judge(&collateral), "accepted");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut codes = std::collections::BTreeSet::new();
    for round in 0..600 {
        let edits = edits().new_tree(&mut runner).unwrap().current();
        let mut changed = collateral.clone();
        let (text, signature) = if round % 2 == 0 {
            (&mut changed.tcb_info, &mut changed.tcb_info_signature)
        } else {
            (&mut changed.qe_identity, &mut changed.qe_identity_signature)
        };
        let Ok(edited) = String::from_utf8(edit(text.as_bytes(), &edits)) else { continue };
        *signature = authority.sign_text(&edited);
        *text = edited;
        codes.insert(judge(&changed));
    }
    // Random edits break the JSON, its shape and single fields alike.
    for expected in
        ["tdx_tcb_info_json", "tdx_qe_identity_json", "tdx_tcb_info_field", "tdx_qe_identity_field"]
    {
        assert!(codes.contains(expected), "{codes:?}");
    }
}

#[test]
fn every_prefix_of_a_real_event_log_is_judged() {
    let Some(cases) = cases() else { return };
    let case = cases.iter().find(|case| case.id == "v4-live-ccel-pair").unwrap();
    let log = case.file("ccel-good.bin");
    let registers = Quote::parse(&case.quote).unwrap().report().rtmr;
    let used = 2_120;
    for len in 0..used {
        let replayed = EventLog::parse(&log[..len]).and_then(|log| log.replay(&registers, &Ring));
        assert!(replayed.is_err(), "{len}");
    }
    assert!(EventLog::parse(&log[..used]).unwrap().replay(&registers, &Ring).is_ok());
}
