//! The measured configuration's section `settlement`.

use serde::{Deserialize, Serialize};
use vouchsafe_receipt::{LogSettlement, Settlement};
use vouchsafe_translog::TrustedLog;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::ServeError;

/// Whether receipts settle into a log: `"none"` or `{"log":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SettlementConfig {
    /// Receipts are kept for the host and promised to nobody.
    #[default]
    None,
    /// Receipts settle into this log.
    Log(LogConfig),
}

/// The log, its witnesses, and what the enclave promises. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The log's key, as a signed-note vkey.
    pub key: String,
    /// The witnesses' keys, as signed-note vkeys for cosignature/v1.
    pub witnesses: Vec<String>,
    /// How many distinct witnesses must have cosigned a checkpoint.
    pub quorum: u64,
    /// From a receipt's trusted time to its `settle_by`.
    #[serde(default = "bound")]
    pub bound_s: u64,
    /// Receipts that may be unproven at a time.
    #[serde(default = "unsettled_max")]
    pub unsettled_max: u64,
    /// By the monotonic clock: longest time without a newer checkpoint, and longest time that anything
    /// signed may stay unproven, before the enclave stops answering.
    #[serde(default = "checkpoint_age_max")]
    pub checkpoint_age_max_s: u64,
    /// Between two heartbeats.
    #[serde(default = "heartbeat")]
    pub heartbeat_s: u64,
}

fn bound() -> u64 {
    60
}
fn unsettled_max() -> u64 {
    256
}
fn checkpoint_age_max() -> u64 {
    30
}
fn heartbeat() -> u64 {
    10
}

impl SettlementConfig {
    /// Parses the section from a document of its own.
    ///
    /// # Errors
    /// [`ServeError::Config`].
    pub fn parse(json: &[u8]) -> Result<Self, ServeError> {
        let limits = Limits { bytes_max: 65_535, depth_max: 8 };
        let section: Self = strict_json::parse(json, limits)
            .map_err(|error| ServeError::Config(format!("settlement: {error}")))?;
        section.check()?;
        Ok(section)
    }

    /// What the boot statement says of it.
    pub fn statement(&self) -> Settlement {
        match self {
            Self::None => Settlement::None,
            Self::Log(log) => Settlement::Log(log.statement()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ServeError> {
        match self {
            Self::None => Ok(()),
            Self::Log(log) => log.trusted().map(drop),
        }
    }
}

impl LogConfig {
    fn statement(&self) -> LogSettlement {
        LogSettlement {
            key: self.key.clone(),
            witnesses: self.witnesses.clone(),
            quorum: self.quorum,
            bound_s: self.bound_s,
            unsettled_max: self.unsettled_max,
        }
    }

    /// The keys in usable form, if everything here can work.
    pub(crate) fn trusted(&self) -> Result<TrustedLog, ServeError> {
        let refused = |why: String| ServeError::Config(format!("settlement.log: {why}"));
        self.statement().check().map_err(|error| refused(error.to_string()))?;
        if self.heartbeat_s == 0 || self.heartbeat_s >= self.checkpoint_age_max_s {
            return Err(refused("heartbeat_s must be at least 1 and less than checkpoint_age_max_s".into()));
        }
        // A receipt's trusted time can be that old when it is signed; what is left is for settling.
        if self.checkpoint_age_max_s >= self.bound_s {
            return Err(refused("checkpoint_age_max_s must be less than bound_s".into()));
        }
        let quorum = usize::try_from(self.quorum).unwrap_or(usize::MAX);
        TrustedLog::parse(&self.key, &self.witnesses, quorum, &Ring)
            .map_err(|error| refused(error.to_string()))
    }
}
