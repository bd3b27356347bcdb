//! The sections of a policy document, version 1. Every section is there from the first version.

use std::collections::BTreeMap;

use serde::Serialize;
use vouchsafe_receipt::EngineIdentity;
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{json_record, json_words};

use super::log::{LogReference, QuorumReference};
use super::platform::PlatformRules;
use super::reference::ReferenceValue;
use super::rule::{Demanded, Rule, Unbuilt};

/// The decisions of a policy, as written. [`Policy`](super::Policy) is one that was checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyDocument {
    /// Version of this format: 1.
    pub version: u64,
    /// What people call this policy.
    pub name: String,
    /// What it may be used for.
    pub purpose: Purpose,
    /// Whose word is believed.
    pub trust: Trust,
    /// What a machine must be.
    pub platform: PlatformRules,
    /// Reference values: what the guest must measure to. Any one of them suffices.
    pub measurements: Rule<Vec<ReferenceValue>>,
    /// Who must run the enclave.
    pub operator: Operator,
    /// Which models may answer. Any one of them suffices.
    pub models: Rule<Vec<ModelReference>>,
    /// Which engine may compute.
    pub engine: Engine,
    /// Which generation parameters must have been in force.
    pub parameters: Parameters,
    /// What must be disclosed and match for a verdict.
    pub openings: Openings,
    /// What live sessions must show.
    pub sessions: Sessions,
    /// How old things may be.
    pub freshness: Freshness,
    /// Whether answers become publicly auditable.
    pub settlement: Settlement,
    /// Inclusion in the transparency log.
    pub log: Log,
    /// Who watches the log.
    pub witnesses: Witnesses,
    /// Anchors of the log's checkpoints on a chain.
    pub anchors: Anchors,
    /// Re-execution of answers.
    pub replay: Replay,
    /// Mathematical proofs of execution.
    pub proof: Proof,
    /// Evidence of accelerators.
    pub gpu: Gpu,
    /// Released images.
    pub images: Images,
    /// Urgent revocations.
    pub revocations: Revocations,
}

json_record!(PolicyDocument {
    version,
    name,
    purpose,
    trust,
    platform,
    measurements,
    operator,
    models,
    engine,
    parameters,
    openings,
    sessions,
    freshness,
    settlement,
    log,
    witnesses,
    anchors,
    replay,
    proof,
    gpu,
    images,
    revocations,
});

/// What a policy may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Judging real machines. No simulated root can be named, and some decisions cannot be waived.
    Production,
    /// Development and tests: may name simulated roots.
    Simulation,
    /// Judging a raw report or quote that comes without statements, receipt or model.
    Evidence,
}

json_words!(Purpose { "production" => Production, "simulation" => Simulation, "evidence" => Evidence });

/// Whose word is believed. These two can't be ignored: without a root nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Silicon vendors whose pinned roots are believed.
    pub vendors: Rule<Vec<Vendor>>,
    /// SHA-256 of simulated root certificates that are believed as well.
    pub simulated_roots: Rule<Vec<Hex<32>>>,
}

json_record!(Trust { vendors, simulated_roots });

/// A silicon vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vendor {
    /// AMD.
    Amd,
    /// Intel.
    Intel,
}

json_words!(Vendor { "amd" => Amd, "intel" => Intel });

/// Who must run the enclave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// Identities that the measured configuration may state.
    pub identities: Rule<Vec<String>>,
}

json_record!(Operator { identities });

/// A model that may answer, by the digest of its manifest, of its weights file, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelReference {
    /// What people call it.
    pub name: String,
    /// SHA-256 of its manifest: weights, tokenizer and chat template together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Hex<32>>,
    /// SHA-256 of its weights file, one of the manifest's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Hex<32>>,
}

json_record!(ModelReference { name, manifest, weights });

/// Which engine may compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Engine {
    /// Engines by exact name, version and kernel.
    pub identities: Rule<Vec<EngineIdentity>>,
}

json_record!(Engine { identities });

/// Which generation parameters must have been in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameters {
    /// Exact values by the names of the execution record.
    pub values: Rule<BTreeMap<String, serde_json::Value>>,
}

json_record!(Parameters { values });

/// What must be disclosed to the verifier, and match the receipt's commitments. What is disclosed
/// must match in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Openings {
    /// The request.
    pub request: Rule<Demanded>,
    /// The response.
    pub response: Rule<Demanded>,
    /// The execution record.
    pub execution: Rule<Demanded>,
}

json_record!(Openings { request, response, execution });

/// What live sessions must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sessions {
    /// A fresh report that covers the client's own nonce.
    pub challenge: Rule<Demanded>,
}

json_record!(Sessions { challenge });

/// How old things may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// Most seconds until the end of an epoch, which must not have passed: measured from the moment
    /// of judging for a live enclave, from the receipt's own (unattested) time for a bundle.
    pub epoch_seconds_max: Rule<u64>,
    /// Most seconds between the receipt's own (unattested) time and the moment of judging.
    pub receipt_age_seconds_max: Rule<u64>,
}

json_record!(Freshness { epoch_seconds_max, receipt_age_seconds_max });

/// Whether answers become publicly auditable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// The boot must promise that its receipts settle into a log.
    pub promised: Rule<Demanded>,
    /// Most seconds from a receipt's trusted time to the time by which it is promised to be in the log.
    pub bound: Rule<u64>,
}

json_record!(Settlement { promised, bound });

/// Inclusion in the transparency log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Proof that the receipt is in the log that its boot names, which is one of these.
    pub inclusion: Rule<Vec<LogReference>>,
}

json_record!(Log { inclusion });

/// Who watches the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Witnesses {
    /// So many of these witnesses cosigned the proof's checkpoint.
    pub quorum: Rule<QuorumReference>,
}

json_record!(Witnesses { quorum });

/// Anchors of the log's checkpoints on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anchors {
    /// A checkpoint that covers the receipt, on a named chain.
    pub anchored: Unbuilt,
}

json_record!(Anchors { anchored });

/// Re-execution of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The answer was computed again and came out the same.
    pub reproduced: Unbuilt,
}

json_record!(Replay { reproduced });

/// Mathematical proofs of execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// A proof that the model gave this output.
    pub execution: Unbuilt,
}

json_record!(Proof { execution });

/// Evidence of accelerators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// The accelerator's own evidence, bound to the machine's.
    pub evidence: Unbuilt,
}

json_record!(Gpu { evidence });

/// Released images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Images {
    /// The measurement is in the manifest of a released image, and that manifest in one of the policy's logs.
    pub released: Rule<ReleaseReference>,
}

json_record!(Images { released });

/// Who may release images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseReference {
    /// Public keys that may sign: P-256, the DER of their SubjectPublicKeyInfo.
    pub keys: Vec<Base64>,
    /// How many of them must have signed; at least one.
    pub threshold: u64,
}

json_record!(ReleaseReference { keys, threshold });

/// Urgent revocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revocations {
    /// A current list of revoked boots, keys, chips, images and processors is at hand, and names none of
    /// what is judged.
    pub list: Rule<RevocationReference>,
}

json_record!(Revocations { list });

/// Who may revoke, and how old their newest list may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevocationReference {
    /// Public keys that may sign: P-256, the DER of their SubjectPublicKeyInfo.
    pub keys: Vec<Base64>,
    /// How many of them must have signed; at least one.
    pub threshold: u64,
    /// Most seconds since the list was issued.
    pub age_seconds_max: u64,
}

json_record!(RevocationReference { keys, threshold, age_seconds_max });
