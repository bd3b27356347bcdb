//! What an enclave states of itself at boot and once per epoch, under its attestation reports.
//!
//! Statements travel as exact bytes: the report binds those bytes, so they are parsed, never
//! re-serialised before hashing.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{Base64, Hex, to_hex};
use vouchsafe_verifier::strict_json::{self, Fault, Fields, FromValue, Limits, Value};
use vouchsafe_verifier::{json_deserialize, json_record};

use crate::payload::check_integers;
use crate::{EngineIdentity, Error, ModelManifest, ReceiptKey};

const LIMITS: Limits = Limits { bytes_max: 65_535, depth_max: 8 };
const VERSION: u64 = 1;

/// The immutable statement of one boot: keys, models, engine, configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootStatement {
    /// Version of this format: 1.
    pub version: u64,
    /// SHA-256 of the receipt key's SPKI.
    pub boot: Hex<32>,
    /// The keys made at this boot, by role.
    pub keys: BootKeys,
    /// Every model this boot serves.
    pub models: Vec<ModelManifest>,
    /// The engine that computes the answers.
    pub engine: EngineIdentity,
    /// SHA-256 of the measured configuration.
    pub configuration: Hex<32>,
    /// The operator's identity as the measured configuration states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Whether and where receipts settle.
    pub settlement: Settlement,
}

json_record!(BootStatement { version, boot, keys, models, engine, configuration, operator, settlement });

/// Public keys by role, each the DER of a SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootKeys {
    /// ECDSA P-256, signs receipts and stream records.
    pub receipt: Base64,
    /// The TLS server key.
    pub tls: Base64,
}

json_record!(BootKeys { receipt, tls });

/// Whether receipts of this boot settle into a transparency log: `"none"` or `{"log":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Settlement {
    /// No log: receipts are never publicly auditable. Production policies refuse this.
    #[default]
    None,
    /// Into this log.
    Log(LogSettlement),
}

impl FromValue for Settlement {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match value {
            Value::String(word) if word == "none" => Ok(Self::None),
            Value::Object(_) => Fields::of(value, &["log"])?.take("log").map(Self::Log),
            _ => Err(Fault::new("expected \"none\" or {\"log\": …}")),
        }
    }
}

json_deserialize!(Settlement);

/// The log that receipts settle into and what the enclave promises. The keys are measured: other keys
/// make another boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSettlement {
    /// The log's key, as a signed-note vkey. Its name is the log's origin.
    pub key: String,
    /// The witnesses' keys, as signed-note vkeys for cosignature/v1.
    pub witnesses: Vec<String>,
    /// How many distinct witnesses must have cosigned a checkpoint; at least 1.
    pub quorum: u64,
    /// Seconds from a receipt's trusted time to its `settle_by`.
    pub bound_s: u64,
    /// Receipts that may be unproven at a time; the enclave stops answering rather than exceed it.
    pub unsettled_max: u64,
}

json_record!(LogSettlement { key, witnesses, quorum, bound_s, unsettled_max });

impl LogSettlement {
    /// Most witnesses of one boot.
    pub const WITNESSES_MAX: usize = 32;

    /// Refuses numbers that promise nothing. Whether keys are keys is for whoever verifies with them.
    ///
    /// # Errors
    /// [`Error::Settlement`] or, where a number is too large for JSON, [`Error::PayloadMalformed`].
    pub fn check(&self) -> Result<(), Error> {
        let witnesses = u64::try_from(self.witnesses.len()).unwrap_or(u64::MAX);
        if self.witnesses.len() > Self::WITNESSES_MAX {
            return Err(Error::Settlement("more than 32 witnesses"));
        }
        if self.quorum == 0 {
            return Err(Error::Settlement("a quorum of 0"));
        }
        if self.quorum > witnesses {
            return Err(Error::Settlement("a quorum of more witnesses than there are"));
        }
        if self.bound_s == 0 {
            return Err(Error::Settlement("a bound of 0 seconds"));
        }
        if self.unsettled_max == 0 {
            return Err(Error::Settlement("no receipt may be unsettled"));
        }
        check_integers("boot statement", [("bound_s", self.bound_s), ("unsettled_max", self.unsettled_max)])
    }
}

impl BootStatement {
    /// Parses the statement's exact bytes and checks that the boot id is its receipt key's digest.
    ///
    /// # Errors
    /// [`Error::PayloadMalformed`], [`Error::Version`], [`Error::Settlement`], [`Error::Key`] or
    /// [`Error::BootId`].
    pub fn parse(bytes: &[u8], crypto: &dyn Crypto) -> Result<Self, Error> {
        let statement: Self =
            strict_json::read(bytes, LIMITS).map_err(|error| Error::payload("boot statement", &error))?;
        if statement.version != VERSION {
            return Err(Error::Version { what: "boot statement", found: statement.version, known: VERSION });
        }
        if let Settlement::Log(log) = &statement.settlement {
            log.check()?;
        }
        let key = statement.receipt_key(crypto)?;
        if key.id() != statement.boot.0 {
            return Err(Error::BootId { stated: to_hex(&statement.boot.0), actual: to_hex(&key.id()) });
        }
        Ok(statement)
    }

    /// The key that signs this boot's receipts.
    ///
    /// # Errors
    /// [`Error::Key`] when it is not a P-256 key.
    pub fn receipt_key(&self, crypto: &dyn Crypto) -> Result<ReceiptKey, Error> {
        ReceiptKey::from_spki(&self.keys.receipt.0, crypto)
    }

    /// The bytes to attest and to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The renewable statement of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochStatement {
    /// Version of this format: 1.
    pub version: u64,
    /// SHA-256 of the boot statement's bytes.
    pub boot_statement: Hex<32>,
    /// Number of this epoch in its boot, from 0.
    pub epoch: u64,
    /// The newest quorum-cosigned checkpoint that the enclave verified, as its note text; null
    /// before the first one, and where receipts do not settle.
    pub checkpoint: Option<String>,
    /// The tenants file in force; null where nobody is named.
    pub tenants: Option<TenantsRef>,
    /// When this epoch ends, whole Unix seconds by the enclave's unattested clock.
    pub not_after: u64,
}

json_record!(EpochStatement { version, boot_statement, epoch, checkpoint, tenants, not_after });

/// Which tenants file is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantsRef {
    /// SHA-256 of the file.
    pub sha256: Hex<32>,
    /// Its version, which only grows.
    pub version: u64,
}

json_record!(TenantsRef { sha256, version });

impl EpochStatement {
    /// Parses the statement's exact bytes.
    ///
    /// # Errors
    /// [`Error::PayloadMalformed`] or [`Error::Version`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let statement: Self =
            strict_json::read(bytes, LIMITS).map_err(|error| Error::payload("epoch statement", &error))?;
        if statement.version != VERSION {
            return Err(Error::Version { what: "epoch statement", found: statement.version, known: VERSION });
        }
        let tenants = statement.tenants.as_ref().map_or(0, |tenants| tenants.version);
        check_integers(
            "epoch statement",
            [("epoch", statement.epoch), ("tenants.version", tenants), ("not_after", statement.not_after)],
        )?;
        Ok(statement)
    }

    /// The bytes to attest and to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
