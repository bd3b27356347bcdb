//! Reading the whole log when all is over, as anybody could: from its files, believing its keys alone.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use vouchsafe_receipt::Leaf;
use vouchsafe_receipt::ReceiptPayload;
use vouchsafe_translog::{Frontier, Tile, TrustedLog, merkle};
use vouchsafe_verifier::crypto::Ring;

use crate::account::Logged;

/// Where the log is, and who is believed.
pub(crate) struct LogFiles {
    /// The log's folder.
    pub(crate) folder: PathBuf,
    /// The log's and the witnesses' keys.
    pub(crate) trusted: TrustedLog,
}

/// Every leaf under the log's last checkpoint, whose root they have to give.
pub(crate) fn read(log: &LogFiles) -> Result<Logged> {
    let file = |name: &str| {
        let path = log.folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let checkpoint = log.trusted.verify(&file("checkpoint")?, &Ring).context("the log's checkpoint")?;
    let (size, mut frontier, mut logged) = (checkpoint.size(), Frontier::new(), Logged::default());
    for index in 0.. {
        let Some(tile) = Tile::in_tree(0, index, size) else { break };
        let bytes = file(&tile.entries_path())?;
        for leaf in tile.leaves(&bytes).with_context(|| tile.entries_path())? {
            let hash = merkle::leaf_hash(leaf, &Ring);
            frontier.push(hash, &Ring);
            let times = logged.leaves.entry(hash).or_default();
            *times = times.saturating_add(1);
            if let Leaf::Receipt(receipt) = Leaf::parse(leaf).context("a leaf of the log")? {
                let payload: ReceiptPayload = serde_json::from_slice(receipt.envelope().unverified_payload())
                    .context("a receipt in the log")?;
                logged.receipts.entry(receipt.boot()).or_default().insert(payload.seq);
            }
        }
    }
    ensure!(
        frontier.root(&Ring) == *checkpoint.root(),
        "the log's entries do not give its checkpoint's root"
    );
    println!("the log: {size} leaves, whose root a quorum of its witnesses cosigned");
    Ok(logged)
}
