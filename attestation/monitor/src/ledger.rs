//! What each entry of the log changes in what is known: boots, chains, epochs, trees that were named.

use std::collections::BTreeMap;

use vouchsafe_bundle::LoggedEpoch;
use vouchsafe_receipt::{
    AttestedStatement, BootRecord, BootStatement, CheckpointRef, EpochRecord, EpochStatement, Leaf, LeafType,
    ReceiptKey, Settlement, records,
};
use vouchsafe_translog::TrustedLog;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, to_hex};
use vouchsafe_verifier::{Endorsements, UnixSeconds};

use crate::appraise::{Appraise, Refused};
use crate::chain::Chain;
use crate::files;
use crate::images;
use crate::leaf::{Found, Keys, Known, Looked};
use crate::mirror::Mirror;
use crate::revoked;
use crate::source::Source;
use crate::state::{Appraisal, Boot, Image, Named, State};
use crate::{Error, Violation};

/// Trees that were named and wait to be looked up.
pub(crate) const NAMED_MAX: usize = 1 << 20;
/// The appraisal's code for a boot of no image that was released.
const IMAGE_NOT_RELEASED: &str = "image_not_released";
/// How long endorsements may come after their boot, in seconds of witness time.
const ENDORSEMENTS_SECONDS_MAX: u64 = 60;

/// Receipts of all boots that may wait for earlier ones before each boot has to do with less.
const WAITING_ALL_MAX: usize = 1 << 20;
/// What it then has to do with. An honest one has at most some hundreds.
const WAITING_LESS: usize = 1024;
/// A boot of which the log has had nothing for so long is over, closed or not, in seconds of witness time.
const SILENT_SECONDS_MAX: u64 = 86_400;
/// Endorsements of later epochs that are remembered of each boot.
const NEWER_MAX: usize = 8;

/// One reading of the log up to a checkpoint.
pub(crate) struct Ledger<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) appraise: &'a dyn Appraise,
    /// Witness time of the checkpoint that is being read; its own clock's where the quorum is missing.
    pub(crate) time: u64,
    /// Whether the log was up to date before, so that times of entries mean something.
    pub(crate) tailing: bool,
    /// Where a copy of the log goes.
    pub(crate) mirror: Option<&'a Mirror>,
    /// The log's key and witnesses.
    pub(crate) trusted: &'a TrustedLog,
    /// Witness times of trees by their size, from epoch statements.
    pub(crate) times: BTreeMap<u64, u64>,
    /// Sizes of trees that may wait to be looked up.
    pub(crate) named_max: usize,
    /// Receipts of all boots that wait for earlier ones.
    pub(crate) waiting: usize,
    /// Whether images before the boot that is being judged are not all known.
    pub(crate) is_unfollowed: bool,
    pub(crate) violations: Vec<Violation>,
}

impl Ledger<'_> {
    /// The keys of all boots known so far.
    pub(crate) fn keys(state: &State) -> Keys {
        let key = |boot: &Boot| ReceiptKey::from_spki(&boot.receipt_key.as_ref()?.0, &Ring).ok();
        let known = |boot: &Boot| Known { index: boot.index, key: key(boot) };
        state.boots.values().map(|boot| (boot.chain.boot().0, known(boot))).collect()
    }

    /// Makes the boots of a batch known before its other leaves are verified.
    pub(crate) fn boots(
        &mut self,
        state: &mut State,
        keys: &mut Keys,
        start: u64,
        leaves: &[Vec<u8>],
    ) -> Result<(), Error> {
        for (index, bytes) in (start..).zip(leaves) {
            if bytes.first() != Some(&LeafType::Boot.byte()) {
                continue;
            }
            // What is malformed is named when all leaves are looked at.
            let Ok(Leaf::Boot(signed)) = Leaf::parse(bytes) else { continue };
            let Ok(record) = serde_json::from_slice::<BootRecord>(signed.envelope().unverified_payload())
            else {
                continue;
            };
            if state.boots.contains_key(&record.boot.to_string()) {
                continue;
            }
            let statement = self.blob(index, &record.statement)?.and_then(|bytes| {
                BootStatement::parse(&bytes, &Ring)
                    .map_err(|error| self.wrong_blob(index, record.statement, error.to_string()))
                    .ok()
            });
            let key = statement.as_ref().and_then(|statement| statement.receipt_key(&Ring).ok());
            if let Some(key) = &key
                && let Err(error) = BootRecord::verify(signed.envelope(), key, &Ring)
            {
                let why = error.to_string();
                self.violations.push(Violation::LeafSignature { index, boot: record.boot, why });
                continue;
            }
            keys.insert(record.boot.0, Known { index, key });
            state.boots.insert(record.boot.to_string(), self.boot(index, &record, statement));
        }
        Ok(())
    }

    /// Takes one looked-at leaf into account.
    pub(crate) fn apply(&mut self, state: &mut State, looked: Looked) -> Result<(), Error> {
        let Looked { index, hash, kind, boot: id, found } = looked;
        let name = kind.map_or("malformed", LeafType::as_str);
        let count = state.leaves.entry(name.into()).or_default();
        *count = count.saturating_add(1);
        if let Found::Wrong(violation) = found {
            self.violations.push(violation);
            return Ok(());
        }
        if let Found::Revocations(signed) = found {
            self.violations.extend(revoked::look(state, index, &signed, self.appraise));
            return Ok(());
        }
        if let Found::Image(signed) = found {
            self.violations.extend(images::look(state, index, &signed, self.appraise));
            return Ok(());
        }
        let Some(boot) = state.boots.get_mut(&id.to_string()) else { return Ok(()) };
        boot.last_time = boot.last_time.max(self.time);
        let mut named = None;
        match found {
            Found::Receipt(receipt) => {
                let others = self.waiting.saturating_sub(boot.chain.waiting());
                self.violations.extend(boot.chain.receipt(index, Hex(hash), &receipt));
                if others.saturating_add(boot.chain.waiting()) > WAITING_ALL_MAX {
                    self.violations.extend(boot.chain.trim(WAITING_LESS, index));
                }
                self.waiting = others.saturating_add(boot.chain.waiting());
                let due = receipt.settle_by.unwrap_or(self.time.saturating_add(ENDORSEMENTS_SECONDS_MAX));
                Self::of_epoch(boot, index, receipt.epoch, due);
                named = receipt.checkpoint;
                if self.tailing {
                    let seconds = self.time.saturating_sub(receipt.unattested_time);
                    state.gap.slot(self.time).log.add(seconds.saturating_mul(1000));
                }
            }
            Found::Word(word, closing) => {
                let bound = boot.bound_s;
                self.violations.extend(boot.chain.word(index, &word, closing, bound));
                let due = word.checkpoint.time.saturating_add(bound.unwrap_or(ENDORSEMENTS_SECONDS_MAX));
                Self::of_epoch(boot, index, word.epoch, due);
                named = Some(word.checkpoint);
            }
            Found::Epoch(record) => {
                boot.epoch = boot.epoch.max(Some(record.epoch));
                boot.epochs_missing.remove(&record.epoch);
                let statement = record.statement;
                boot.epochs_unjudged.push((index, record));
                named = self.time_proof(index, &statement)?;
            }
            // Later ones are of later epochs: what the boot was admitted with judges it.
            Found::Endorsements(record) => {
                let first = *boot.endorsements.get_or_insert(record.endorsements);
                // Those that judge the boot are fetched when it is judged; what is named must be there in any case.
                let is_known = boot.newer_endorsements.values().any(|known| *known == record.endorsements);
                if !is_known && (record.endorsements != first || boot.appraisal.is_some()) {
                    self.blob(index, &record.endorsements)?;
                }
                if record.endorsements != first {
                    boot.newer_endorsements.insert(index, record.endorsements);
                    while boot.newer_endorsements.len() > NEWER_MAX {
                        boot.newer_endorsements.pop_first();
                    }
                }
            }
            Found::Boot | Found::Unverifiable | Found::Wrong(_) | Found::Revocations(_) | Found::Image(_) => {
            }
        }
        if let Some(checkpoint) = named {
            // A boot is at least as old as the trees its entries name.
            boot.first_time = boot.first_time.min(checkpoint.time);
            self.named(state, index, id, checkpoint);
        }
        Ok(())
    }

    /// Judges the boots and epochs whose endorsements have come, or have had their time: for the moment
    /// by which the boot was in the log, as far as witnesses say.
    pub(crate) fn appraise(&mut self, state: &mut State) -> Result<(), Error> {
        let State { boots, images, images_unfollowed, .. } = state;
        for boot in boots.values_mut() {
            if boot.appraisal.is_some() && boot.epochs_unjudged.is_empty() {
                continue;
            }
            let at = self.logged_by(boot.index);
            let images = images::before(images, boot.index);
            self.is_unfollowed = images_unfollowed.is_some_and(|from| from < boot.index);
            let overdue = boot.first_time.saturating_add(ENDORSEMENTS_SECONDS_MAX) < self.time;
            let may_wait = boot.endorsements.is_none() && !overdue;
            let endorsements = self.endorsements(boot.index, boot.endorsements)?;
            if boot.appraisal.is_none() {
                boot.appraisal = self.boot_appraisal(boot, endorsements.as_ref(), &images, at, may_wait)?;
            }
            for (index, record) in std::mem::take(&mut boot.epochs_unjudged) {
                if !self.epoch(boot, index, &record, (endorsements.as_ref(), &images, at), may_wait)? {
                    boot.epochs_unjudged.push((index, record));
                }
            }
        }
        Ok(())
    }

    /// An epoch statement carries a checkpoint with its quorum: everything in that tree was in the log when
    /// they had seen it. This tells when old entries were logged; an entry's own word would not do.
    /// The tree has yet to be shown to be this log's.
    fn time_proof(&mut self, index: u64, statement: &Hex<32>) -> Result<Option<CheckpointRef>, Error> {
        let Some(bytes) = self.blob(index, statement)? else { return Ok(None) };
        let note = EpochStatement::parse(&bytes).ok().and_then(|statement| statement.checkpoint);
        let verified = note.and_then(|note| self.trusted.verify(note.as_bytes(), &Ring).ok());
        let Some(verified) = verified else { return Ok(None) };
        let seen_by = verified.seen_by().0;
        let time = self.times.entry(verified.size()).or_insert(seen_by);
        *time = seen_by.min(*time);
        let (size, root, time) = (verified.size(), Hex(*verified.root()), verified.time().0);
        Ok(Some(CheckpointRef { size, root, time }))
    }

    /// Witness time by which the entry at `index` was in the log.
    fn logged_by(&self, index: u64) -> UnixSeconds {
        let proved = self.times.range(index.saturating_add(1)..).map(|(_, time)| *time).min();
        UnixSeconds(proved.unwrap_or(self.time).min(self.time))
    }

    /// What the policy says of a boot; `None` where it may wait for endorsements.
    fn boot_appraisal(
        &mut self,
        boot: &Boot,
        endorsements: Option<&Endorsements>,
        images: &[Image],
        at: UnixSeconds,
        may_wait: bool,
    ) -> Result<Option<Appraisal>, Error> {
        let (index, (statement, evidence)) = (boot.index, boot.blobs);
        let Some(attested) = self.attested(index, &statement, &evidence)? else {
            return Ok(Some(Appraisal::Refused("blob_missing".into())));
        };
        match self.appraise.boot(&attested, endorsements, images, at) {
            Ok(accepted) => Ok(Some(Appraisal::Accepted(accepted))),
            Err(_) if may_wait => Ok(None),
            Err(refused) if self.may_be_unfollowed(&refused) => Ok(Some(Appraisal::Refused(refused.code))),
            Err(refused) => {
                let (boot, why_code) = (boot.chain.boot(), refused.code.clone());
                self.violations.push(Violation::BootRefused { index, boot, why_code, why: refused.why });
                Ok(Some(Appraisal::Refused(refused.code)))
            }
        }
    }

    /// Whether it is refused for an image that may be one of those that are not followed, for which there is an alarm.
    fn may_be_unfollowed(&self, refused: &Refused) -> bool {
        self.is_unfollowed && refused.code == IMAGE_NOT_RELEASED
    }

    fn boot(&self, index: u64, record: &BootRecord, statement: Option<BootStatement>) -> Boot {
        let bound_s = statement.as_ref().and_then(|statement| match &statement.settlement {
            Settlement::Log(log) => Some(log.bound_s),
            _ => None,
        });
        let models = statement.iter().flat_map(|statement| &statement.models);
        Boot {
            index,
            blobs: (record.statement, record.evidence),
            endorsements: None,
            newer_endorsements: BTreeMap::new(),
            appraisal: None,
            models: models.map(|model| model.name.clone()).collect(),
            operator: statement.as_ref().and_then(|statement| statement.operator.clone()),
            receipt_key: statement.map(|statement| Base64(statement.keys.receipt.0)),
            bound_s,
            chain: Chain::new(record.boot),
            epoch: None,
            epochs_missing: BTreeMap::new(),
            epochs_unjudged: Vec::new(),
            first_time: self.time,
            last_time: self.time,
        }
    }

    /// Notes an epoch whose record has not come.
    fn of_epoch(boot: &mut Boot, index: u64, epoch: u64, due: u64) {
        if boot.epoch.is_none_or(|newest| newest < epoch) {
            boot.epochs_missing.entry(epoch).or_insert((index, due));
        }
    }

    /// Judges an epoch's evidence; false where it may wait for endorsements. With those of its boot, for the
    /// moment of its boot; where that will not do, since the platform changed under it, with those that
    /// came with a later epoch, for this one's own moment.
    fn epoch(
        &mut self,
        boot: &Boot,
        index: u64,
        record: &EpochRecord,
        (endorsements, images, at): (Option<&Endorsements>, &[Image], UnixSeconds),
        may_wait: bool,
    ) -> Result<bool, Error> {
        let Some(attested) = self.attested(index, &record.statement, &record.evidence)? else {
            return Ok(true);
        };
        if let Err(error) = EpochStatement::parse(&attested.statement.0) {
            self.wrong_blob(index, record.statement, error.to_string());
            return Ok(true);
        }
        let (statement, evidence) = boot.blobs;
        let Some(of_boot) = self.attested(boot.index, &statement, &evidence)? else { return Ok(true) };
        let judge = |appraise: &dyn Appraise, endorsements: Option<&Endorsements>, at| {
            let logged = LoggedEpoch { boot: &of_boot, epoch: &attested, number: record.epoch };
            appraise.epoch(logged, endorsements, images, at)
        };
        let refused = match judge(self.appraise, endorsements, at) {
            Ok(()) => return Ok(true),
            Err(_) if may_wait => return Ok(false),
            Err(refused) => refused,
        };
        for newer in boot.newer_endorsements.values() {
            let newer = self.endorsements(index, Some(*newer))?;
            if judge(self.appraise, newer.as_ref(), self.logged_by(index)).is_ok() {
                return Ok(true);
            }
        }
        if self.may_be_unfollowed(&refused) {
            return Ok(true);
        }
        let why = format!("epoch {}: {}", record.epoch, refused.why);
        let (boot, why_code) = (record.boot, refused.code);
        self.violations.push(Violation::BootRefused { index, boot, why_code, why });
        Ok(true)
    }

    fn named(&mut self, state: &mut State, index: u64, boot: Hex<32>, checkpoint: CheckpointRef) {
        let CheckpointRef { size, root, .. } = checkpoint;
        if state.trees.get(&size) == Some(&root) {
            return;
        }
        if state.named.len() >= self.named_max && !state.named.contains_key(&size) {
            // Once, until all that wait were looked up.
            if state.unfollowed_tree.is_none() {
                state.unfollowed_tree = Some(index);
                self.violations.push(Violation::TreesUnfollowed { index });
            }
            return;
        }
        let others = state.named.entry(size).or_default();
        // One root is right at most: two of a size show whatever is wrong.
        if others.len() < 2 && others.iter().all(|named| named.root != root) {
            others.push(Named { root, index, boot });
        }
    }

    fn attested(
        &mut self,
        index: u64,
        statement: &Hex<32>,
        evidence: &Hex<32>,
    ) -> Result<Option<AttestedStatement>, Error> {
        let (Some(statement), Some(bytes)) = (self.blob(index, statement)?, self.blob(index, evidence)?)
        else {
            return Ok(None);
        };
        match records::parse_evidence_blob(&bytes) {
            Ok(evidence) => Ok(Some(AttestedStatement { statement: Base64(statement), evidence })),
            Err(error) => {
                self.wrong_blob(index, *evidence, error.to_string());
                Ok(None)
            }
        }
    }

    fn endorsements(&mut self, index: u64, digest: Option<Hex<32>>) -> Result<Option<Endorsements>, Error> {
        let Some(digest) = digest else { return Ok(None) };
        let Some(bytes) = self.blob(index, &digest)? else { return Ok(None) };
        match records::parse_endorsements_blob(&bytes) {
            Ok(endorsements) => Ok(Some(endorsements)),
            Err(error) => {
                self.wrong_blob(index, digest, error.to_string());
                Ok(None)
            }
        }
    }

    /// A blob that a record names, if the log serves it and it is that one.
    fn blob(&mut self, index: u64, digest: &Hex<32>) -> Result<Option<Vec<u8>>, Error> {
        match files::blob(self.source, &digest.0)? {
            None => self.wrong_blob(index, *digest, "missing".into()),
            Some(bytes) if Ring.sha256(&bytes) != digest.0 => {
                self.wrong_blob(index, *digest, format!("another one: {}", to_hex(&Ring.sha256(&bytes))));
            }
            Some(bytes) => {
                if let Some(mirror) = self.mirror {
                    mirror.blob(&digest.0, &bytes)?;
                }
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn wrong_blob(&mut self, index: u64, digest: Hex<32>, problem: String) {
        self.violations.push(Violation::Blob { index, digest, problem });
    }
}

/// What was due before the witness time of a checkpoint whose tree was read whole, and is not there.
pub(crate) fn settle(state: &mut State, size: u64, time: u64) -> Vec<Violation> {
    let mut violations = Vec::new();
    for boot in state.boots.values_mut() {
        violations.extend(boot.chain.settle(size, time));
        let is_over = boot.chain.is_closed() || boot.last_time.saturating_add(SILENT_SECONDS_MAX) < time;
        if is_over && boot.chain.is_whole() {
            boot.chain.retire();
        }
        let id = boot.chain.boot();
        boot.epochs_missing.retain(|epoch, (index, due)| {
            let late = *due < time;
            if late {
                violations.push(Violation::EpochMissing { index: *index, boot: id, epoch: *epoch, time });
            }
            !late
        });
    }
    violations
}

#[cfg(test)]
mod tests;
