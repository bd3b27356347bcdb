//! Attacks with genuine enclaves that are not what a client asked for.

use vouchsafe_bundle::policy::{PolicyDocument, Rule, SnpProduct};
use vouchsafe_bundle::{Inputs, Policy, appraise_document};
use vouchsafe_client::{Client, Options};
use vouchsafe_link::Endpoint;
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{SnpMachine, SnpMachineSpec};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::Hex;

use crate::enclave::{Boot, Enclave, client, client_of, not_proved, question, with_model};
use crate::fetch::document;
use crate::machine::{MEASUREMENT, MODEL, amd, days_ago, ignore, now, policy, policy_with, production, snp};

/// POLICY's bits in a report (AMD 56860, table "Guest Policy Structure").
const DEBUG: u64 = 1 << 19;
const MIGRATE_MA: u64 = 1 << 18;

/// Asks an enclave on this machine under a policy; the code it is refused with.
async fn refusal(machine: SnpMachine, policy: Policy) -> String {
    let enclave = Boot { machine, ..Boot::default() }.start().await;
    let host = enclave.host().await;
    let refused = client_of(host.address, policy).ask(&question("secret")).await.map(drop).unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
    refused.code().to_owned()
}

/// Promise: the host can't read the guest. One that was started with debugging allowed says so in its
/// report.
#[tokio::test]
async fn a_debug_machine_is_refused() {
    let mut machine = snp();
    machine.fields_mut().policy |= DEBUG;
    assert_eq!(refusal(machine, policy()).await, "snp_debug_mismatch");
    Enclave::honest().await.serves().await;
}

/// Promise: a guest with its keys can't be copied to another machine: one that a migration agent may
/// export says so in its report.
#[tokio::test]
async fn a_machine_that_can_be_migrated_is_refused() {
    let mut machine = snp();
    machine.fields_mut().policy |= MIGRATE_MA;
    assert_eq!(refusal(machine, policy()).await, "snp_migration_mismatch");
    Enclave::honest().await.serves().await;
}

/// Promise: the host can't pose as the guest from a lower privilege level of it.
#[tokio::test]
async fn a_report_from_a_lower_privilege_is_refused() {
    let mut machine = snp();
    machine.fields_mut().vmpl = 2;
    assert_eq!(refusal(machine, policy()).await, "snp_vmpl_above_policy");
    Enclave::honest().await.serves().await;
}

/// Promise: only code whose measurement the policy names answers.
#[tokio::test]
async fn other_measured_code_is_refused() {
    let mut machine = snp();
    machine.fields_mut().measurement = [0x66; 48];
    assert_eq!(refusal(machine, policy()).await, "measurement_mismatch");
    Enclave::honest().await.serves().await;
}

/// Promise: firmware with known holes is not believed. A host that rolls a chip back to an old TCB gets
/// reports of the key of that old TCB, which say so.
#[tokio::test]
async fn rolled_back_firmware_is_refused_where_the_policy_says_a_minimum() {
    let current = amd().product().typical_tcb();
    let demand = |document: &mut PolicyDocument| {
        let rule = serde_json::json!({"require": {"Genoa": {
            "bootloader": current.boot_loader, "tee": current.tee, "snp": current.snp,
            "microcode": current.microcode,
        }}});
        document.platform.snp.products = Rule::Require(vec![SnpProduct::Genoa]);
        document.platform.snp.minimum_tcb = serde_json::from_value(rule).unwrap();
    };
    let mut spec = SnpMachineSpec::typical(amd(), days_ago(2));
    spec.tcb.snp -= 1;
    let old = SnpMachine::new(amd(), &spec, MEASUREMENT, &mut OsRng).unwrap();
    assert_eq!(refusal(old.clone(), policy_with(demand)).await, "snp_tcb_below_minimum");
    // Controls: the current firmware under that policy, and the old one under a policy that ignores it
    // and says so.
    let enclave = Enclave::honest().await;
    let host = enclave.host().await;
    assert!(client_of(host.address, policy_with(demand)).attest().await.is_ok());
    let enclave = Boot { machine: old, ..Boot::default() }.start().await;
    let attested = client(enclave.host().await.address).attest().await.unwrap();
    assert!(not_proved(attested.boot.verdict()).contains(&"ignored:platform.snp.minimum_tcb"));
}

/// Promise: simulated evidence is never taken for a processor's. A policy for production can name no
/// simulated root, and refuses one even where the relying party brings it along by mistake.
#[tokio::test]
async fn a_simulated_machine_is_refused_by_production_policies() {
    let enclave = Enclave::honest().await;
    let host = enclave.host().await;
    let refused = client_of(host.address, production()).ask(&question("secret")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "snp_root_not_trusted");
    let options = Options {
        address: host.address.to_string(),
        policy: production(),
        extra_roots: vec![amd().ark_der().to_vec()],
        revocations: None,
        image: None,
    };
    let refused = Client::new(options).unwrap().ask(&question("secret")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "root_simulated");
    let root = Hex(Ring.sha256(amd().ark_der()));
    let mut named = production().into_document();
    named.trust.simulated_roots = Rule::Require(vec![root]);
    assert_eq!(Policy::new(named).unwrap_err().code(), "policy_contradiction");
    // The control: under a policy for simulation it is accepted, and called simulated.
    let attested = client(host.address).attest().await.unwrap();
    assert!(attested.boot.simulated());
    assert!(not_proved(attested.boot.verdict()).contains(&"simulated_root"));
}

/// Promise: evidence under a root of the attacker's own making is nobody's evidence.
#[tokio::test]
async fn a_machine_under_an_attackers_root_is_refused() {
    let enclave = Enclave::honest().await;
    let host = enclave.host().await;
    let other = policy_with(|document| {
        document.trust.simulated_roots = Rule::Require(vec![Hex([0xab; 32])]);
    });
    let refused = client_of(host.address, other).ask(&question("secret")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "snp_root_not_trusted");
    enclave.serves().await;
}

/// A middle's own enclave: the same measured program, another model.
async fn other_model() -> Enclave {
    Boot { model: "cheaper", ..Boot::default() }.start().await
}

/// Promise: the model that the policy names answers. A man in the middle with a genuine enclave of his
/// own, which runs the right code and a cheaper model, terminates TLS rightfully; the boot statement
/// names what it serves.
#[tokio::test]
async fn an_enclave_with_another_model_is_refused_where_the_policy_names_the_model() {
    let enclave = other_model().await;
    let host = enclave.host().await;
    let refused = client(host.address).ask(&question("secret")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "model_mismatch");
    Enclave::honest().await.serves().await;
}

/// Not stopped where the policy ignores the model, which the verdict then lists among what it did not
/// prove; the receipt says which model it was.
#[tokio::test]
async fn an_enclave_with_another_model_is_accepted_and_said_where_the_policy_does_not() {
    let enclave = other_model().await;
    let host = enclave.host().await;
    let client = client_of(host.address, policy_with(|document| document.models = ignore()));
    let mut request = question("secret");
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    request.body = with_model(&body.replacen(&format!(r#""model":"{MODEL}","#), "", 1), "cheaper").into();
    let (answer, boot) = client.ask(&request).await.unwrap();
    assert!(answer.is_accepted(), "{}", answer.verdict.unwrap().to_json());
    assert!(not_proved(&answer.verdict.unwrap()).contains(&"ignored:models"));
    assert_eq!(boot.boot_statement().models[0].name, "cheaper");
}

async fn code(endpoint: &Endpoint, policy: &Policy) -> Option<&'static str> {
    let nonce = [3; 32];
    let document = document(endpoint, &nonce).await;
    appraise_document(&document, policy, Some(&nonce), &Inputs::new(now()), &Ring)
        .err()
        .and_then(|verdict| verdict.code())
}

/// Promise: the operator that the policy names runs it. Anyone can start the same measured program on
/// his own machine; the measured configuration names whose it is. Without such a rule the verdict lists
/// `ignored:operator.identities`.
#[tokio::test]
async fn the_same_program_of_another_operator_is_refused_where_the_policy_names_one() {
    let mallory = Boot { config: r#"{"operator":"mallory.example"}"#, ..Boot::default() }.start().await;
    let alice = Boot { config: r#"{"operator":"alice.example"}"#, ..Boot::default() }.start().await;
    let nobody = Enclave::honest().await;
    let named = policy_with(|document| {
        document.operator.identities = Rule::Require(vec!["alice.example".into()]);
    });
    assert_eq!(code(&mallory.endpoint, &named).await, Some("operator_mismatch"));
    assert_eq!(code(&nobody.endpoint, &named).await, Some("operator_mismatch"));
    assert_eq!(code(&alice.endpoint, &named).await, None, "the control");
    let host = mallory.host().await;
    let attested = client(host.address).attest().await.unwrap();
    assert!(not_proved(attested.boot.verdict()).contains(&"ignored:operator.identities"));
}

/// Promise: where chips are named, a genuine enclave on somebody's own, compromised chip is refused.
#[tokio::test]
async fn a_genuine_enclave_on_another_chip_is_refused_where_the_policy_names_chips() {
    let enclave = Enclave::honest().await;
    let named = |number: u32| {
        policy_with(|document| {
            document.platform.snp.chip_ids = Rule::Require(vec![Hex(amd().chip_id(number))]);
        })
    };
    assert_eq!(code(&enclave.endpoint, &named(1)).await, Some("snp_chip_not_accepted"));
    assert_eq!(code(&enclave.endpoint, &named(0)).await, None, "the control");
}
