//! What a boot signs besides answers, where receipts settle: that it exists, goes on, and ends.

use vouchsafe_receipt::records::{BLOB_BYTES_MAX, endorsements_blob, evidence_blob};
use vouchsafe_receipt::{
    AttestedStatement, BootRecord, Close, EpochRecord, Heartbeat, PayloadType, envelope_leaf,
};
use vouchsafe_verifier::Endorsements;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use super::{Chain, IssueError, Issuer};
use crate::boot::{Boot, Epoch};
use crate::clock;
use crate::settle::Record;

impl Issuer {
    /// Signs that this boot began. Comes first, and once.
    pub(crate) fn record_boot(&self, boot: &Boot) -> Result<(), IssueError> {
        let record = BootRecord::of(self.boot, &boot.attested, &Ring);
        let mut blobs = blobs(&boot.attested);
        // The record does not name them: they may be renewed. The host makes a leaf of them.
        blobs.extend(boot.endorsements.as_ref().map(endorsements_blob));
        self.keep(PayloadType::Boot, record.to_bytes(), blobs).map(drop)
    }

    /// Signs that an epoch began. `endorsements`: newer ones than the boot's, where the host has supplied
    /// any; without them the boot's have to endorse this epoch too.
    pub(crate) fn record_epoch(
        &self,
        epoch: &Epoch,
        endorsements: Option<&Endorsements>,
    ) -> Result<(), IssueError> {
        let record = EpochRecord::of(self.boot, epoch.number, &epoch.attested, &Ring);
        let mut blobs = blobs(&epoch.attested);
        // The host's word: what no log would take must not keep the record out.
        let blob = endorsements.map(endorsements_blob).filter(|blob| blob.len() <= BLOB_BYTES_MAX);
        blobs.extend(blob);
        self.keep(PayloadType::Epoch, record.to_bytes(), blobs).map(drop)
    }

    /// Signs how far the receipts have come, unless the heartbeat before is still unproven: then the
    /// log is late already, and another one would say nothing new.
    pub(crate) fn heartbeat(&self) -> Result<(), IssueError> {
        let Some(settlement) = &self.settlement else { return Ok(()) };
        let mut chain = self.chain();
        if chain.is_closed || chain.heartbeat.is_some_and(|number| settlement.holds_record(number)) {
            return Ok(());
        }
        let Some(heartbeat) = self.state_of(&chain) else { return Ok(()) };
        chain.heartbeat = self.keep(PayloadType::Heartbeat, heartbeat.to_bytes(), Vec::new())?;
        Ok(())
    }

    /// Signs the last word: no receipt comes after it.
    pub(crate) fn close(&self) -> Result<(), IssueError> {
        let mut chain = self.chain();
        if chain.is_closed {
            return Ok(());
        }
        chain.is_closed = true;
        let Some(last) = self.state_of(&chain) else { return Ok(()) };
        self.keep(PayloadType::Close, Close(last).to_bytes(), Vec::new()).map(drop)
    }

    /// Where the sequence stands; `None` before the log is known.
    fn state_of(&self, chain: &Chain) -> Option<Heartbeat> {
        let (checkpoint, _) = self.settlement.as_ref()?.now()?;
        Some(Heartbeat {
            version: 1,
            boot: Hex(self.boot),
            epoch: self.epochs.current().number,
            seq_next: chain.seq,
            head: chain.previous.map(Hex),
            checkpoint,
            unattested_time: clock::unix_seconds(),
        })
    }

    fn keep(
        &self,
        kind: PayloadType,
        payload: Vec<u8>,
        blobs: Vec<Vec<u8>>,
    ) -> Result<Option<u64>, IssueError> {
        let Some(settlement) = &self.settlement else { return Ok(None) };
        let envelope = self.signer.sign(kind, payload)?;
        let leaf = envelope_leaf(&envelope).ok_or_else(|| IssueError::Key("not a record".into()))?;
        Ok(Some(settlement.keep_record(Record { leaf, blobs })))
    }
}

fn blobs(attested: &AttestedStatement) -> Vec<Vec<u8>> {
    vec![attested.statement.0.clone(), evidence_blob(&attested.evidence)]
}
