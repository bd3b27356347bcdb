//! What is made once at start: keys, the boot statement, and the evidence that binds them.

mod epoch;
mod tls_key;

use std::sync::Arc;

use vouchsafe_platform::Attester;
use vouchsafe_receipt::{AttestedStatement, BootKeys, BootStatement, EngineIdentity, report_data};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, Evidence};

pub(crate) use epoch::{Epoch, Epochs};
pub(crate) use tls_key::TlsKey;

use crate::issue::ReceiptSigner;
use crate::models::Models;
use crate::{Config, ServeError};

/// The immutable facts of this boot.
pub(crate) struct Boot {
    /// SHA-256 of the receipt key's SPKI.
    pub(crate) id: [u8; 32],
    /// The boot statement's bytes and their evidence.
    pub(crate) attested: AttestedStatement,
    /// SHA-256 of the boot statement's bytes.
    pub(crate) statement_digest: [u8; 32],
    /// Endorsements that came with the boot evidence.
    pub(crate) endorsements: Option<Endorsements>,
    /// Digest of the engine's identity.
    pub(crate) engine_digest: [u8; 32],
}

impl Boot {
    /// States this boot and attests the statement. Blocks while the hardware works.
    pub(crate) fn attest(
        config: &Config,
        models: &Models,
        receipt: &ReceiptSigner,
        tls: &TlsKey,
        attester: &Arc<dyn Attester>,
    ) -> Result<Self, ServeError> {
        let engine = engine_identity();
        let statement = BootStatement {
            version: 1,
            boot: Hex(receipt.key_id()),
            keys: BootKeys { receipt: Base64(receipt.spki()), tls: Base64(tls.spki()) },
            models: models.manifests(),
            engine: engine.clone(),
            configuration: Hex(config.digest(&Ring)),
            operator: config.operator.clone(),
            settlement: config.settlement.statement(),
        };
        let bytes = statement.to_bytes();
        let attestation = attester.attest(&report_data::boot(&bytes, &Ring))?;
        Ok(Self {
            id: receipt.key_id(),
            statement_digest: Ring.sha256(&bytes),
            attested: AttestedStatement { statement: Base64(bytes), evidence: attestation.evidence },
            endorsements: attestation.endorsements,
            engine_digest: engine.digest(&Ring),
        })
    }

    /// The evidence as JSON, without an event log: what endorsements are about.
    pub(crate) fn evidence_json(&self) -> String {
        let mut evidence = self.attested.evidence.clone();
        if let Evidence::Tdx { event_log, .. } = &mut evidence {
            *event_log = None;
        }
        // Base64 and names only: serialisation has no failing case.
        serde_json::to_string(&evidence).unwrap_or_default()
    }
}

/// The engine that this program was built with.
fn engine_identity() -> EngineIdentity {
    let version = vouchsafe_engine::EngineVersion::CURRENT;
    EngineIdentity {
        name: version.name.into(),
        version: version.version.into(),
        kernel: version.kernels.into(),
    }
}
