//! Minted TDX evidence before our own verifier: accepted under its own root, and under no other.

use vouchsafe_simulator::intel::{
    EventLog, IntelAuthority, TcbLevel, TdxMachine, TdxMachineSpec, event_type,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{Error, RootKind, TrustRoots, UnixSeconds, VerifiedEvidence, verify};

use crate::common::{BEGIN, NOW};

/// A moment at which everything that is endorsed at `NOW` is valid.
const AT: UnixSeconds = UnixSeconds(NOW.0 + 86_400);

#[test]
fn every_version_and_body_is_accepted_under_the_simulated_root() {
    let authority = IntelAuthority::generate(BEGIN).unwrap();
    for (quote_version, is_td15) in [(4, false), (5, false), (5, true)] {
        let what = format!("version {quote_version}, TD 1.5: {is_td15}");
        let spec = TdxMachineSpec { quote_version, is_td15, ..TdxMachineSpec::typical(&authority, NOW) };
        let mut machine = TdxMachine::new(&authority, &spec, [0x4d; 48]).unwrap();
        for log in [None, Some(EventLog::typical("console=ttyS0"))] {
            if let Some(log) = log {
                machine.boot(log);
            }
            let verified =
                judge(&machine, &roots(&authority), AT).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(verified.report_data(), &[7; 64], "{what}");
            assert!(matches!(verified.root(), RootKind::Test { .. }), "{what}");
        }
    }
}

#[test]
fn nothing_is_accepted_under_the_vendors_roots() {
    let machine = machine(&IntelAuthority::generate(BEGIN).unwrap());
    let refused = judge(&machine, &TrustRoots::vendor_pinned(), AT).unwrap_err();
    assert_eq!(refused.code(), "tdx_root_not_trusted", "{refused}");
    let other = IntelAuthority::generate(BEGIN).unwrap();
    let refused = judge(&machine, &roots(&other), AT).unwrap_err();
    assert_eq!(refused.code(), "tdx_root_not_trusted", "{refused}");
}

#[test]
fn a_log_that_tells_another_story_is_refused() {
    let authority = IntelAuthority::generate(BEGIN).unwrap();
    let mut machine = machine(&authority);
    machine.boot(EventLog::typical("console=ttyS0"));
    judge(&machine, &roots(&authority), AT).unwrap();

    // The registers stay, the text changes: digests replay, contents do not match them.
    let mut forged = EventLog::typical("console=ttyS0");
    let event = forged.events.iter_mut().find(|event| event.event_type == event_type::EFI_ACTION).unwrap();
    event.content = b"something else".to_vec();
    machine.boot(forged);
    assert!(judge(&machine, &roots(&authority), AT).is_err());

    // The log stays, a register changes.
    machine.boot(EventLog::typical("console=ttyS0"));
    machine.body_mut().rtmrs[2][0] ^= 1;
    assert!(judge(&machine, &roots(&authority), AT).is_err());
}

#[test]
fn endorsements_end_when_they_say() {
    let authority = IntelAuthority::generate(BEGIN).unwrap();
    let machine = machine(&authority);
    let day = 86_400;
    judge(&machine, &roots(&authority), UnixSeconds(NOW.0 + 30 * day - 1)).unwrap();
    for wrong in [NOW.0 - 1, NOW.0 + 31 * day] {
        assert!(judge(&machine, &roots(&authority), UnixSeconds(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_platform_of_another_level_has_that_levels_status() {
    let authority = IntelAuthority::generate(BEGIN).unwrap();
    let mut machine = machine(&authority);
    let status = |machine: &TdxMachine| {
        let verified = judge(machine, &roots(&authority), AT).unwrap();
        serde_json::to_value(verified.claims()).unwrap()["tcb_status"].clone()
    };
    assert_eq!(status(&machine), "UpToDate");
    let unreached = TcbLevel::new([9; 8], 13, [5, 0, 3], "2025-01-01T00:00:00Z", "UpToDate", &[]);
    let levels = &mut machine.collateral_mut().tcb_info.tcb_levels;
    levels[0].tcb_status = "OutOfDate".to_owned();
    levels.insert(0, unreached);
    assert_eq!(status(&machine), "OutOfDate");
}

fn machine(authority: &IntelAuthority) -> TdxMachine {
    TdxMachine::new(authority, &TdxMachineSpec::typical(authority, NOW), [0x4d; 48]).unwrap()
}

fn roots(authority: &IntelAuthority) -> TrustRoots {
    TrustRoots::none().with_test_intel_root(authority.root_der()).unwrap()
}

fn judge(machine: &TdxMachine, roots: &TrustRoots, at: UnixSeconds) -> Result<VerifiedEvidence, Error> {
    verify(&machine.evidence([7; 64]), Some(&machine.endorsements().unwrap()), roots, at, &Ring)
}
