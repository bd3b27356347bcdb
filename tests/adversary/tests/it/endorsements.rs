//! Attacks with what the host staples to evidence: certificates, revocation lists, collateral.

use std::path::Path;

use vouchsafe_bundle::policy::Rule;
use vouchsafe_bundle::{Inputs, Policy, appraise_document};
use vouchsafe_receipt::AttestationDocument;
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{Issuer, SnpMachine};
use vouchsafe_simulator::intel::{IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_simulator::x509::{Revoked, Validity};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use crate::forger::Forger;
use crate::machine::{DAY, MEASUREMENT, amd, days_ago, now, policy, policy_with, shipped, snp};

const NONCE: [u8; 32] = [8; 32];

fn code_at(document: &AttestationDocument, policy: &Policy, at: UnixSeconds) -> Option<&'static str> {
    appraise_document(document, policy, Some(&NONCE), &Inputs::new(at), &Ring)
        .err()
        .and_then(|verdict| verdict.code())
}

fn code(document: &AttestationDocument, policy: &Policy) -> Option<&'static str> {
    code_at(document, policy, now())
}

/// A machine's document with other endorsements.
fn stapled(machine: &SnpMachine, change: impl FnOnce(&mut SnpMachine)) -> AttestationDocument {
    let mut changed = machine.clone();
    change(&mut changed);
    let attesting = machine.clone();
    Forger::on(Box::new(move |data| attesting.evidence(data)), changed.endorsements()).document(NONCE)
}

/// Promise: endorsements are believed for what their issuer signed, and for nothing else. Garbage, other
/// machines' certificates and missing lists are refused by name.
#[test]
fn garbage_endorsements_are_refused_by_name() {
    let machine = snp();
    let garbage = |change: &dyn Fn(&mut SnpMachine)| code(&stapled(&machine, change), &policy());
    assert_eq!(garbage(&|_| {}), None, "the control");
    let bytes = || Some(Base64(b"no certificate".to_vec()));
    assert_eq!(garbage(&|m| m.snp_endorsements_mut().vek = bytes()), Some("snp_certificate_malformed"));
    assert_eq!(garbage(&|m| m.snp_endorsements_mut().crl = bytes()), Some("snp_crl_malformed"));
    assert_eq!(garbage(&|m| m.snp_endorsements_mut().crl = None), Some("snp_crl_missing"));
    let root = Some(Base64(amd().ask_der().to_vec()));
    assert!(garbage(&|m| m.snp_endorsements_mut().root = root.clone()).is_some());
    let spec = vouchsafe_simulator::amd::SnpMachineSpec {
        chip_id: amd().chip_id(5),
        ..vouchsafe_simulator::amd::SnpMachineSpec::typical(amd(), days_ago(2))
    };
    let other = SnpMachine::new(amd(), &spec, MEASUREMENT, &mut OsRng).unwrap();
    let theirs = other.snp_endorsements().clone();
    assert!(garbage(&|m| *m.snp_endorsements_mut() = theirs.clone()).is_some());
}

/// Promise: a list or certificate that has run out is refused, whoever staples it.
#[test]
fn expired_endorsements_are_refused() {
    let machine = snp();
    let list = amd().crl_spec(1, days_ago(30), days_ago(1)).unwrap();
    let list = amd().sign_crl(Issuer::Ark, &list, &mut OsRng).unwrap();
    let old = stapled(&machine, |m| m.snp_endorsements_mut().crl = Some(Base64(list)));
    assert_eq!(code(&old, &policy()), Some("snp_crl_stale"));
    assert_eq!(code(&stapled(&machine, |_| {}), &policy()), None, "the control");
}

/// Not stopped by who has nothing newer: a host may staple an older revocation list of AMD's that has
/// not run out, and AMD's lists have no number that a policy could demand. Endorsements are separate
/// from evidence, so that a verifier can put the newest it has in their place: under that one the same
/// evidence is refused.
#[test]
fn an_older_unexpired_revocation_list_is_outdone_by_a_newer_one() {
    let machine = snp();
    let older = amd().crl_spec(1, days_ago(40), UnixSeconds(now().0 + 300 * DAY)).unwrap();
    let mut newer = amd().crl_spec(2, days_ago(1), UnixSeconds(now().0 + 300 * DAY)).unwrap();
    let intermediate = amd().ca_spec(Issuer::Ask, Validity::years(days_ago(60), 25).unwrap()).unwrap();
    newer.revoked.push(Revoked { serial: intermediate.serial, at: days_ago(1), extensions: Vec::new() });
    let [older, newer] = [older, newer].map(|spec| {
        let list = amd().sign_crl(Issuer::Ark, &spec, &mut OsRng).unwrap();
        stapled(&machine, |m| m.snp_endorsements_mut().crl = Some(Base64(list)))
    });
    assert_eq!(code(&older, &policy()), None, "AMD's word as of forty days ago");
    let outdone = AttestationDocument { endorsements: newer.endorsements, ..older };
    assert_eq!(code(&outdone, &policy()), Some("snp_certificate_revoked"));
}

/// Promise: Intel's collateral carries an evaluation number, and a policy demands the newest it knows.
/// A host that staples older collateral, still signed and unexpired, is refused.
#[test]
fn older_tdx_collateral_is_refused_where_the_policy_says_a_minimum() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adversary-intel");
    let intel = IntelAuthority::load_or_generate(&folder, days_ago(60)).unwrap();
    let spec = TdxMachineSpec::typical(&intel, days_ago(2));
    let mut machine = TdxMachine::new(&intel, &spec, MEASUREMENT).unwrap();
    let policy = |minimum: u32| {
        let mut document = shipped();
        document.trust.simulated_roots = Rule::Require(vec![Hex(Ring.sha256(intel.root_der()))]);
        document.platform.tdx.evaluation_number_min = Rule::Require(minimum);
        Policy::new(document).unwrap()
    };
    let newest = machine.collateral_mut().tcb_info.tcb_evaluation_data_number;
    let document = |machine: &TdxMachine| {
        let attesting = machine.clone();
        let endorsements: Endorsements = machine.endorsements().unwrap();
        Forger::on(Box::new(move |data| attesting.evidence(data)), endorsements).document(NONCE)
    };
    assert_eq!(code(&document(&machine), &policy(newest)), None, "the control");
    machine.collateral_mut().tcb_info.tcb_evaluation_data_number = newest - 1;
    assert_eq!(code(&document(&machine), &policy(newest)), Some("tdx_evaluation_number_below_minimum"));
    assert_eq!(code(&document(&machine), &policy(newest - 1)), None, "it is refused for its age alone");
}

/// Promise: the relying party's clock decides what has run out, never the host's. The same document is
/// judged for another moment.
#[test]
fn the_moment_of_judging_is_the_relying_partys() {
    let document = stapled(&snp(), |_| {});
    let strict = policy_with(|_| {});
    assert_eq!(code_at(&document, &strict, now()), None, "the control");
    let decades = UnixSeconds(now().0 + 40 * 366 * DAY);
    assert_eq!(code_at(&document, &strict, decades), Some("snp_certificate_expired"));
    assert_eq!(code_at(&document, &strict, days_ago(30)), Some("snp_certificate_not_yet_valid"));
}
