//! Minted quotes and collateral before an independent verifier: dcap-qvl.

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::verify::QuoteVerifier;
use vouchsafe_simulator::intel::{EventLog, IntelAuthority, TdxMachine, TdxMachineSpec, certificate};
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use crate::common::{BEGIN, NOW};

const AT: UnixSeconds = UnixSeconds(NOW.0 + 86_400);

#[test]
fn dcap_qvl_accepts_every_version_and_body() {
    for (quote_version, is_td15) in [(4, false), (5, false), (5, true)] {
        let authority = IntelAuthority::generate(BEGIN).unwrap();
        let spec = TdxMachineSpec { quote_version, is_td15, ..TdxMachineSpec::typical(&authority, NOW) };
        let mut machine = TdxMachine::new(&authority, &spec, [0x4d; 48]).unwrap();
        machine.boot(EventLog::typical("console=ttyS0"));
        let verified =
            judge(&authority, &machine).unwrap_or_else(|e| panic!("{quote_version} {is_td15}: {e}"));
        assert_eq!(verified.status, "UpToDate");
        assert!(verified.advisory_ids.is_empty());
        let report = verified.report.as_td10().unwrap();
        assert_eq!(report.mr_td, [0x4d; 48]);
        assert_eq!(report.report_data, [7; 64]);
        assert_eq!(report.rt_mr2, machine.body().rtmrs[2]);
        assert_ne!(report.rt_mr2, [0; 48]);
        assert_eq!(verified.ppid, spec.facts.ppid);
    }
}

#[test]
fn dcap_qvl_sees_each_status() {
    for status in [
        "UpToDate",
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
    ] {
        let (authority, mut machine) = machine();
        let level = &mut machine.collateral_mut().tcb_info.tcb_levels[0];
        level.tcb_status = status.to_owned();
        level.advisory_ids = vec!["INTEL-SA-00001".to_owned()];
        let verified = judge(&authority, &machine).unwrap_or_else(|e| panic!("{status}: {e}"));
        assert_eq!(verified.status, status);
        assert_eq!(verified.advisory_ids, ["INTEL-SA-00001"]);
    }
    // A platform below the first level falls to the next.
    let authority = IntelAuthority::generate(BEGIN).unwrap();
    let mut spec = TdxMachineSpec::typical(&authority, NOW);
    // dcap-qvl looks at the CPUSVN, Intel's own library at the components.
    (spec.facts.components[0], spec.facts.cpu_svn[0]) = (2, 2);
    let machine = TdxMachine::new(&authority, &spec, [0x4d; 48]).unwrap();
    let verified = judge(&authority, &machine).unwrap();
    assert_eq!(verified.status, "OutOfDate");
    assert_eq!(verified.advisory_ids, ["INTEL-SA-01036", "INTEL-SA-01099"]);
}

#[test]
fn dcap_qvl_refuses_what_is_wrong() {
    let (authority, machine) = machine();
    let right = machine.quote_parts([7; 64]);
    judge_bytes(&authority, &right.to_bytes(), &machine).unwrap();

    let mut flipped = right.clone();
    flipped.signed[48 + 136] ^= 1;
    assert!(judge_bytes(&authority, &flipped.to_bytes(), &machine).is_err(), "MRTD changed");
    machine.sign_body(&mut flipped);
    judge_bytes(&authority, &flipped.to_bytes(), &machine).unwrap();

    let mut unbound = right.clone();
    unbound.auth_data[0] ^= 1;
    assert!(judge_bytes(&authority, &unbound.to_bytes(), &machine).is_err(), "authentication data changed");
    TdxMachine::bind_attestation_key(&mut unbound);
    assert!(judge_bytes(&authority, &unbound.to_bytes(), &machine).is_err(), "QE report not signed");
    machine.sign_qe_report(&mut unbound);
    judge_bytes(&authority, &unbound.to_bytes(), &machine).unwrap();

    let other = IntelAuthority::generate(BEGIN).unwrap();
    assert!(judge(&other, &machine).is_err(), "another root");
}

#[test]
fn dcap_qvl_sees_revocations() {
    let (authority, mut machine) = machine();
    let spec = TdxMachineSpec::typical(&authority, NOW);
    let serial = authority.pck_spec(spec.ca, &spec.facts, NOW).unwrap().serial;
    machine.collateral_mut().pck_crl.revoked.push(certificate::revoked(&[1; 20], NOW));
    judge(&authority, &machine).unwrap();
    machine.collateral_mut().pck_crl.revoked.push(certificate::revoked(&serial, NOW));
    assert!(judge(&authority, &machine).is_err());
}

fn machine() -> (IntelAuthority, TdxMachine) {
    let authority = IntelAuthority::generate(BEGIN).unwrap();
    let spec = TdxMachineSpec::typical(&authority, NOW);
    let machine = TdxMachine::new(&authority, &spec, [0x4d; 48]).unwrap();
    (authority, machine)
}

fn judge(
    authority: &IntelAuthority,
    machine: &TdxMachine,
) -> Result<dcap_qvl::verify::VerifiedReport, String> {
    judge_bytes(authority, &machine.attest([7; 64]), machine)
}

fn judge_bytes(
    authority: &IntelAuthority,
    quote: &[u8],
    machine: &TdxMachine,
) -> Result<dcap_qvl::verify::VerifiedReport, String> {
    let Endorsements::Tdx(collateral) = machine.endorsements().unwrap() else { unreachable!() };
    let json = serde_json::to_value(&collateral).unwrap();
    let collateral: QuoteCollateralV3 = serde_json::from_value(json).unwrap();
    QuoteVerifier::new(authority.root_der().to_vec())
        .verify(quote, &collateral, AT.0)
        .map_err(|error| format!("{error:#}"))
}
