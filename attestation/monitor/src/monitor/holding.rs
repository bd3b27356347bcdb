//! Receipts that somebody waits for: those that were handed in, and those of probes.

use std::collections::HashSet;
use std::path::Path;

use rayon::prelude::*;
use vouchsafe_receipt::{Envelope, ReceiptKey, VerifiedReceipt, receipt_leaf_hash};
use vouchsafe_translog::{Frontier, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex};

use super::{Held, Monitor, Report};
use crate::{Error, Violation, files};

impl Monitor {
    /// Holds the log to a receipt: it must be there by its `settle_by`. What was read before is read
    /// again, so that its absence means something.
    ///
    /// # Errors
    /// That the file is no receipt.
    pub fn hold(&mut self, path: &Path, json: &[u8]) -> Result<(), Error> {
        let envelope = Envelope::from_json(json)
            .map_err(|error| Error::Malformed { path: path.into(), problem: error.to_string() })?;
        let leaf = Hex(receipt_leaf_hash(&envelope, &Ring));
        self.held.push(Held { leaf, envelope, index: None });
        Ok(())
    }

    /// Reads again, for the receipts that were given, what was verified before.
    ///
    /// # Errors
    /// That the log cannot be read.
    pub fn scan(&mut self, now_s: u64) -> Result<Report, Error> {
        let mut report = Report::default();
        let Some(seen) = self.state.checkpoint.clone().filter(|_| !self.held.is_empty()) else {
            return Ok(report);
        };
        let mut frontier = Frontier::new();
        for bundle in files::bundles(0, seen.size) {
            let leaves = match files::leaves(&*self.parts.source, bundle, seen.size) {
                Ok(leaves) => leaves,
                Err(trouble) => {
                    let violation = Result::<_, Error>::from(trouble)?;
                    self.alarm(&mut report, violation, now_s);
                    return Ok(report);
                }
            };
            let hashes: Vec<_> = leaves.par_iter().map(|leaf| merkle::leaf_hash(leaf, &Ring)).collect();
            for hash in hashes {
                self.found(&hash, frontier.size());
                frontier.push(hash, &Ring);
            }
            (self.parts.progress)(frontier.size(), seen.size);
        }
        report.entries = frontier.size();
        if frontier.root(&Ring) != seen.root.0 {
            let (size, expected) = (seen.size, seen.root);
            self.alarm(&mut report, Violation::TilesMismatch { size, expected }, now_s);
        }
        Ok(report)
    }

    /// Receipts that somebody holds, that were due, and that a scan of everything did not find.
    pub(super) fn breaches(&mut self, size: u64, time: u64, report: &mut Report, now_s: u64) {
        let mut breaches = Vec::new();
        for held in self.held.iter().filter(|held| held.index.is_none()) {
            let keys = self.state.boots.values().filter_map(|boot| {
                let Base64(spki) = boot.receipt_key.as_ref()?;
                ReceiptKey::from_spki(spki, &Ring).ok()
            });
            // Only a boot of this log owes this log anything.
            let verified =
                keys.filter_map(|key| VerifiedReceipt::verify(&held.envelope, &key, &Ring).ok()).next();
            let Some(receipt) = verified.as_ref().map(VerifiedReceipt::payload) else { continue };
            if let Some(due) = receipt.settle_by.filter(|due| *due < time) {
                let (boot, seq, leaf) = (receipt.boot, receipt.seq, held.leaf);
                breaches.push(Violation::SettleByBreached { boot, seq, leaf, due, size, time });
            }
        }
        for violation in breaches {
            self.alarm(report, violation, now_s);
        }
    }

    /// The leaves that somebody waits for.
    pub(super) fn wanted(&self) -> HashSet<[u8; 32]> {
        let held = self.held.iter().map(|held| held.leaf.0);
        held.chain(self.parts.probes.leaves()).collect()
    }

    /// A leaf that somebody holds the receipt of.
    pub(super) fn found(&mut self, hash: &[u8; 32], index: u64) {
        for held in self.held.iter_mut().filter(|held| held.leaf.0 == *hash) {
            held.index = Some(index);
        }
    }

    /// A probe whose receipt has come: `now_ms` is when its checkpoint was fetched.
    pub(super) fn probe(&mut self, hash: &[u8; 32], now_ms: u64) {
        let Some(probe) = self.parts.probes.take(hash) else { return };
        let audited_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let slot = self.state.gap.slot(probe.answered_ms / 1000);
        slot.answered.add(probe.answered_ms.saturating_sub(probe.asked_ms));
        slot.witnessed.add(now_ms.saturating_sub(probe.answered_ms));
        slot.audited.add(audited_ms);
    }
}
