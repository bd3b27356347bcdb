//! Simulated processors for the attacks, and the policies that judge them.

use std::path::Path;
use std::sync::OnceLock;

use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{
    ModelReference, PolicyDocument, Reason, ReferenceDigests, ReferenceValue, Rule,
};
use vouchsafe_platform::{AttestError, Attestation, Attester, Platform, Tee};
use vouchsafe_receipt::{ModelFile, ModelManifest};
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::Hex;

pub(crate) const DAY: u64 = 86_400;
/// What honest guests measure to.
pub(crate) const MEASUREMENT: [u8; 48] = [0x5a; 48];
/// The model that honest enclaves serve.
pub(crate) const MODEL: &str = "honest";

pub(crate) fn now() -> UnixSeconds {
    vouchsafe_client::now().unwrap()
}

pub(crate) fn days_ago(days: u64) -> UnixSeconds {
    UnixSeconds(now().0 - days * DAY)
}

/// The simulated AMD. Its RSA keys take seconds to make, so they are kept between runs.
pub(crate) fn amd() -> &'static AmdAuthority {
    static AUTHORITY: OnceLock<AmdAuthority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adversary-amd-genoa");
        AmdAuthority::load_or_generate(&folder, Product::Genoa, days_ago(60)).unwrap()
    })
}

/// A guest that was endorsed by the simulated AMD on its first chip: its certificates are made once.
pub(crate) fn snp() -> SnpMachine {
    static MACHINE: OnceLock<SnpMachine> = OnceLock::new();
    let first = MACHINE.get_or_init(|| {
        let spec = SnpMachineSpec::typical(amd(), days_ago(2));
        SnpMachine::new(amd(), &spec, MEASUREMENT, &mut OsRng).unwrap()
    });
    let mut machine = first.clone();
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut machine.fields_mut().report_id)
        .unwrap();
    machine
}

/// A machine as the enclave library sees it.
pub(crate) struct Simulated(pub(crate) SnpMachine);

impl Attester for Simulated {
    fn platform(&self) -> Platform {
        Platform { tee: Tee::SevSnp, simulated: true, interface: "adversary".into() }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        let (evidence, endorsements) = (self.0.evidence(*report_data), Some(self.0.endorsements()));
        Ok(Attestation { evidence, endorsements })
    }
}

pub(crate) fn manifest(name: &str) -> ModelManifest {
    let file = ModelFile { name: format!("{name}.gguf"), sha256: Hex(Ring.sha256(name.as_bytes())) };
    ModelManifest { name: name.into(), files: vec![file], tokenizer: None, chat_template: None }
}

/// The shipped policy for simulation, which pins nothing.
pub(crate) fn shipped() -> PolicyDocument {
    let json = include_bytes!("../../../../policies/simulated.json");
    Policy::parse(json).unwrap().into_document()
}

/// The shipped policy for production on SEV-SNP.
pub(crate) fn production() -> Policy {
    Policy::parse(include_bytes!("../../../../policies/production-snp.json")).unwrap()
}

/// The shipped policy for simulation, pinned to the simulated AMD, the guest and the model.
pub(crate) fn policy() -> Policy {
    let digests = ReferenceDigests::SevSnp { measurement: Hex(MEASUREMENT) };
    let model = ModelReference {
        name: MODEL.into(),
        manifest: Some(Hex(manifest(MODEL).digest(&Ring))),
        weights: None,
    };
    Policy::new(shipped())
        .and_then(|policy| policy.with_simulated_root(Ring.sha256(amd().ark_der())))
        .and_then(|policy| policy.with_measurement(ReferenceValue::new("guest", "by hand", digests)))
        .and_then(|policy| policy.with_model(model))
        .unwrap()
}

/// That policy with some decisions changed.
pub(crate) fn policy_with(change: impl FnOnce(&mut PolicyDocument)) -> Policy {
    let mut document = policy().into_document();
    change(&mut document);
    Policy::new(document).unwrap()
}

pub(crate) fn ignore<T>() -> Rule<T> {
    Rule::Ignore(Reason::new("for the attack").unwrap())
}
