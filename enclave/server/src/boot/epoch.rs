//! Epochs: what renews the boot's word every hour.
//!
//! Epoch 0 is there before the first answer. The next one is attested when half of an epoch is over,
//! so that whoever fetches evidence always gets some that is valid for a while.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use vouchsafe_platform::Attester;
use vouchsafe_receipt::{AttestedStatement, EpochStatement, report_data};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};

use crate::clock;

/// One attested epoch.
#[derive(Debug)]
pub(crate) struct Epoch {
    /// Its number, from 0.
    pub(crate) number: u64,
    /// The statement's bytes and their evidence.
    pub(crate) attested: AttestedStatement,
}

/// The current epoch.
#[derive(Debug)]
pub(crate) struct Epochs {
    boot_statement: [u8; 32],
    seconds: u64,
    current: RwLock<Arc<Epoch>>,
}

impl Epochs {
    /// Attests epoch 0. Blocks while the hardware works.
    pub(crate) fn begin(
        boot_statement: [u8; 32],
        seconds: u64,
        attester: &dyn Attester,
    ) -> Result<Self, vouchsafe_platform::AttestError> {
        let first = attest(boot_statement, 0, seconds, None, attester)?;
        Ok(Self { boot_statement, seconds, current: RwLock::new(Arc::new(first)) })
    }

    /// The epoch in force.
    pub(crate) fn current(&self) -> Arc<Epoch> {
        // The lock holds a pointer that is only ever replaced whole: nothing to be poisoned.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long an epoch is in force before the next one takes its place.
    pub(crate) fn renewal_interval(&self) -> Duration {
        Duration::from_secs(self.seconds.div_ceil(2))
    }

    /// Attests the next epoch and puts it in force. `checkpoint` is the note of the one that gives the
    /// trusted time. Blocks while the hardware works.
    pub(crate) fn renew(
        &self,
        checkpoint: Option<String>,
        attester: &dyn Attester,
    ) -> Result<Arc<Epoch>, vouchsafe_platform::AttestError> {
        let number = self.current().number.saturating_add(1);
        let next = attest(self.boot_statement, number, self.seconds, checkpoint, attester).map(Arc::new)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok(next)
    }
}

fn attest(
    boot_statement: [u8; 32],
    number: u64,
    seconds: u64,
    checkpoint: Option<String>,
    attester: &dyn Attester,
) -> Result<Epoch, vouchsafe_platform::AttestError> {
    let statement = EpochStatement {
        version: 1,
        boot_statement: Hex(boot_statement),
        epoch: number,
        checkpoint,
        tenants: None,
        not_after: clock::unix_seconds().saturating_add(seconds),
    }
    .to_bytes();
    let evidence = attester.attest(&report_data::epoch(&statement, &Ring))?.evidence;
    Ok(Epoch { number, attested: AttestedStatement { statement: Base64(statement), evidence } })
}
