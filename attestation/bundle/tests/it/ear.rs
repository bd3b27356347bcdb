//! Verdicts as EAT attestation results: never better than the verdict.

use serde_json::Value;
use vouchsafe_bundle::policy::Rule;
use vouchsafe_bundle::{Policy, Verdict, ear};
use vouchsafe_verifier::UnixSeconds;

use crate::common::*;
use crate::vectors::{real_verdicts, real_verdicts_under, strict};

fn vm(verdict: &Verdict) -> Value {
    let claims = ear::claims(verdict, UnixSeconds(NOW.0));
    assert_eq!(claims["iat"], NOW.0);
    claims["submods"]["vm"].clone()
}

fn vector(verdict: &Verdict, claim: &str) -> i64 {
    vm(verdict)["ear.trustworthiness-vector"][claim].as_i64().unwrap_or_else(|| panic!("no {claim}"))
}

#[test]
fn simulated_hardware_is_never_affirmed() {
    let verdict = judge(&Enclave::snp().plain(), &policy(), &inputs(Some(REQUEST), Some(RESPONSE)));
    assert_accepted(&verdict);
    let vm = vm(&verdict);
    assert_eq!((&vm["ear.status"], &vm["vouchsafe.simulated"]), (&"contraindicated".into(), &true.into()));
    assert_eq!(vector(&verdict, "hardware"), 97);
    assert_eq!(vector(&verdict, "runtime-opaque"), 0);
    assert_eq!((vector(&verdict, "executables"), vector(&verdict, "instance-identity")), (3, 2));
    assert_eq!(vm["ear.appraisal-policy-id"], "vouchsafe:simulation:simulated");
}

#[test]
fn each_fault_shows_where_it_belongs() {
    let enclave = Enclave::snp();
    let parts = enclave.plain();
    let under = |policy: &Policy| judge(&parts, policy, &inputs(Some(REQUEST), Some(RESPONSE)));
    let other_image = policy_with(|document| document.measurements = Rule::Require(Vec::new()));
    assert_eq!(vector(&under(&other_image), "executables"), 33);
    let any_image = policy_with(|document| document.measurements = ignore());
    assert_eq!(vector(&under(&any_image), "executables"), 0);
    let debug_only = policy_with(|document| document.platform.snp.debug = Rule::Require(true));
    // The guest is not the one that is asked for; that its memory can be read nobody says.
    assert_eq!(
        (vector(&under(&debug_only), "configuration"), vector(&under(&debug_only), "runtime-opaque")),
        (96, 0)
    );
    let any_debug = policy_with(|document| document.platform.snp.debug = ignore());
    assert_eq!(vector(&under(&any_debug), "configuration"), 0);

    let mut foreign = parts.clone();
    foreign.boot = Enclave::snp().plain().boot;
    let verdict = judge(&foreign, &policy(), &inputs(None, None));
    assert!(!verdict.is_accepted());
    assert_eq!(vm(&verdict)["ear.status"], "contraindicated");
    assert_eq!(vector(&verdict, "instance-identity"), 99);
}

#[test]
fn real_machines_are_affirmed_exactly_where_they_are_accepted() {
    let Some(verdicts) = real_verdicts() else { return };
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (name, verdict) in verdicts {
        let vm = vm(&verdict);
        let status = vm["ear.status"].as_str().unwrap();
        assert_eq!(status == "contraindicated", !verdict.is_accepted(), "{name}: {vm:#}");
        assert!(
            vm["ear.trustworthiness-vector"].get("instance-identity").is_none(),
            "raw evidence has no keys"
        );
        if verdict.is_accepted() {
            assert_eq!(status, "affirming", "{name}");
            assert_eq!((vector(&verdict, "hardware"), vector(&verdict, "runtime-opaque")), (2, 2), "{name}");
        }
        *seen.entry(status.to_owned()).or_default() += 1;
    }
    assert!(seen["affirming"] >= 10 && seen["contraindicated"] >= 5, "{seen:?}");
}

#[test]
fn a_guest_that_the_host_may_debug_is_never_opaque_whatever_the_policy_asks_for() {
    for debug in [Rule::Require(true), Rule::Require(false), ignore()] {
        let mut document = strict().into_document();
        document.platform.snp.debug = debug.clone();
        let Some(verdicts) = real_verdicts_under(&Policy::new(document).unwrap()) else { return };
        let mut debugged = 0;
        for (name, verdict) in verdicts {
            let seen = (vector(&verdict, "configuration"), vector(&verdict, "runtime-opaque"));
            if name.contains("debug") {
                assert_eq!(
                    (seen, &vm(&verdict)["ear.status"]),
                    ((96, 96), &"contraindicated".into()),
                    "{debug:?}"
                );
                debugged += 1;
            } else {
                assert_ne!(seen.1, 96, "{name} under {debug:?}");
            }
        }
        assert!(debugged >= 2, "one of each platform");
    }
}
