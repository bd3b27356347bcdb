//! The policy of this installation: the shipped simulation policy, narrowed to what was started.
//!
//! The expected values are computed from the outside, by the enclave program's `measure` command, from
//! the bytes of the program and the model that are about to run; nothing is taken from the enclave's
//! own word.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{ModelReference, ReferenceDigests, ReferenceValue};
use vouchsafe_verifier::encoding::Hex;

use crate::settle::Keys;

const SIMULATED: &[u8] = include_bytes!("../../../policies/simulated.json");

/// Longest promise that is accepted, in seconds from a receipt's trusted time.
const BOUND_SECONDS_MAX: u64 = 60;

/// What `vouchsafe-enclave-sim measure` prints.
#[derive(Debug, Deserialize)]
pub struct Expected {
    /// The simulated launch digest.
    pub measurement: Hex<48>,
    /// SHA-256 of the simulated authority's root certificate.
    pub root_sha256: Hex<32>,
    /// Every model, with its manifest's digest.
    pub models: Vec<ExpectedModel>,
}

/// One model that will be served.
#[derive(Debug, Deserialize)]
pub struct ExpectedModel {
    /// The name in API requests.
    pub name: String,
    /// SHA-256 of its identity manifest.
    pub manifest: Hex<32>,
}

/// Asks the enclave program what it will measure to, without starting an enclave.
pub async fn measure(enclave: &Path, arguments: &[OsString]) -> Result<Expected> {
    let output = Command::new(enclave)
        .arg("measure")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {}", enclave.display()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("the enclave program refused to be measured ({}): {}", output.status, complaint.trim());
    }
    serde_json::from_slice(&output.stdout).context("the enclave program's measurements")
}

/// The simulation policy that accepts exactly this program, these models, this authority and this log.
pub fn policy(expected: &Expected, keys: Option<&Keys>) -> Result<Policy> {
    let mut document: Value = serde_json::from_slice(SIMULATED).context("the shipped policy")?;
    if let Some(keys) = keys {
        document["settlement"]["promised"] = json!({"require": true});
        document["settlement"]["bound"] = json!({"require": BOUND_SECONDS_MAX});
        document["log"]["inclusion"] = json!({"require": [{"key": keys.log}]});
        let quorum = json!({"keys": keys.witnesses, "threshold": Keys::QUORUM});
        document["witnesses"]["quorum"] = json!({"require": quorum});
    }
    let document = serde_json::to_vec(&document).context("the policy")?;
    let mut policy = Policy::parse(&document)?.with_simulated_root(expected.root_sha256.0)?;
    policy = policy.with_measurement(ReferenceValue {
        name: "the enclave program of this installation".into(),
        computed: "vouchsafe-enclave-sim measure".into(),
        digests: ReferenceDigests::SevSnp { measurement: expected.measurement },
        valid_from: None,
        valid_until: None,
        revoked: None,
    })?;
    for model in &expected.models {
        policy = policy.with_model(ModelReference {
            name: model.name.clone(),
            manifest: Some(model.manifest),
            weights: None,
        })?;
    }
    Ok(policy)
}

/// Where the simulated authority is unless told otherwise: one per user, since its RSA keys take seconds to make.
///
/// # Errors
/// Where the environment names no such folder.
pub fn default_authority() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    let base = base.context("neither XDG_STATE_HOME nor HOME is set: give --authority DIR")?;
    Ok(base.join("vouchsafe/simulated-authority"))
}
