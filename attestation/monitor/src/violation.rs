//! What a log, a witness or an enclave did that it must not do, and what was declared not to be believed.

mod words;

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::Hex;

/// One violation, with everything that names it. [`Violation::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Violation {
    /// Two signed checkpoints of one size with different roots.
    #[error("the log signed two trees of size {size}: {first} and {second}; proof in {file}")]
    Equivocation {
        /// The size of both.
        size: u64,
        /// One root.
        first: Hex<32>,
        /// The other root.
        second: Hex<32>,
        /// Where the proof is, within the state folder.
        file: String,
    },
    /// A signed checkpoint whose tree does not begin with an earlier signed one.
    #[error(
        "the log rewrote its history: its tree of size {size} begins with {found} and not with {signed}, which it signed for size {prefix}; proof in {file}"
    )]
    HistoryRewritten {
        /// The earlier size.
        prefix: u64,
        /// The root signed for it.
        signed: Hex<32>,
        /// The root of the same number of leaves in the later tree.
        found: Hex<32>,
        /// The later size.
        size: u64,
        /// Where the proof is, within the state folder.
        file: String,
    },
    /// The log publishes a smaller checkpoint than before.
    #[error("the log's checkpoint went back from size {from} to {to}")]
    CheckpointRolledBack {
        /// What it published before.
        from: u64,
        /// What it publishes now.
        to: u64,
    },
    /// What the log publishes as its checkpoint is not signed by it.
    #[error("the published checkpoint is not the log's: {why}")]
    CheckpointUnsigned {
        /// Why not.
        why: String,
    },
    /// Another view has had a larger checkpoint of the log for too long.
    #[error(
        "{view} had a checkpoint of size {theirs} at {since}, and the log has not come further than {size} here"
    )]
    ViewAhead {
        /// The view's URL or folder.
        view: String,
        /// The size here.
        size: u64,
        /// The size there.
        theirs: u64,
        /// When it was seen, Unix seconds by the monitor's clock.
        since: u64,
    },
    /// A checkpoint without cosignatures of enough trusted witnesses.
    #[error("the checkpoint of size {size} lacks its quorum: {why}")]
    QuorumMissing {
        /// The checkpoint's size.
        size: u64,
        /// What is missing.
        why: String,
    },
    /// The log has published nothing newer for too long.
    #[error("the newest checkpoint's witness time is {time}, more than {max_s} s ago")]
    CheckpointStale {
        /// Its witness time, Unix seconds.
        time: u64,
        /// The longest time without a newer one, in seconds.
        max_s: u64,
    },
    /// A file that a signed checkpoint promises is not served.
    #[error("{path} is not served, which the tree of size {size} needs")]
    FileMissing {
        /// The file's path below the log's URL.
        path: String,
        /// The tree's size.
        size: u64,
    },
    /// A tile or entry bundle is truncated, too long or malformed.
    #[error("{path} is unusable: {why}")]
    FileMalformed {
        /// The file's path below the log's URL.
        path: String,
        /// How.
        why: String,
    },
    /// An entry is not the one that the tree commits to.
    #[error("entry {index} has the leaf hash {found}, where the tree has {expected}")]
    EntryMismatch {
        /// The entry's index.
        index: u64,
        /// The leaf hash in the tree.
        expected: Hex<32>,
        /// The hash of what is served.
        found: Hex<32>,
    },
    /// The hash tiles do not lead to the signed root.
    #[error("the hash tiles of the tree of size {size} do not lead to its signed root {expected}")]
    TilesMismatch {
        /// The tree's size.
        size: u64,
        /// The signed root.
        expected: Hex<32>,
    },
    /// An entry that is no leaf of any kind.
    #[error("entry {index} is no leaf: {why}")]
    LeafMalformed {
        /// The entry's index.
        index: u64,
        /// Why not.
        why: String,
    },
    /// A leaf that is not signed by the boot it names.
    #[error("entry {index} is not signed by boot {boot}: {why}")]
    LeafSignature {
        /// The entry's index.
        index: u64,
        /// The boot it names.
        boot: Hex<32>,
        /// What is wrong.
        why: String,
    },
    /// A leaf of a boot that is not in the log before it.
    #[error("entry {index} is of boot {boot}, of which no boot record precedes it")]
    BootUnknown {
        /// The entry's index.
        index: u64,
        /// The boot it names.
        boot: Hex<32>,
    },
    /// A second record of a boot: whatever it says, the boot began with the first.
    #[error("entry {index} is another record of boot {boot}, which began with entry {first}")]
    BootRepeated {
        /// The entry's index.
        index: u64,
        /// The boot.
        boot: Hex<32>,
        /// The index of its first record.
        first: u64,
    },
    /// A blob that a record names is not served, or is another one.
    #[error("entry {index} names the blob {digest}, which is {problem}")]
    Blob {
        /// The entry's index.
        index: u64,
        /// The digest it names.
        digest: Hex<32>,
        /// `missing`, `another one`, or how it is malformed.
        problem: String,
    },
    /// A boot whose evidence does not satisfy the policy.
    #[error("boot {boot} at entry {index} is refused ({why_code}): {why}")]
    BootRefused {
        /// The entry's index.
        index: u64,
        /// The boot.
        boot: Hex<32>,
        /// The appraisal's code.
        why_code: String,
        /// The appraisal's words.
        why: String,
    },
    /// A receipt that was signed, as later ones prove, and is not in the log in time.
    #[error(
        "receipt {seq}{to} of boot {boot} is withheld{hash}: it was due at {due} and is not in the tree of size {size} at {time}",
        to = if last > seq { format!(" and all up to {last}") } else { String::new() },
        hash = leaf.map(|leaf| format!(" (leaf {leaf})")).unwrap_or_default()
    )]
    ReceiptWithheld {
        /// The boot.
        boot: Hex<32>,
        /// Its position; of several in a row, the first one's.
        seq: u64,
        /// The last one's position.
        #[serde(default)]
        last: u64,
        /// The last one's leaf hash, where a later record names it.
        leaf: Option<Hex<32>>,
        /// When it was due, Unix seconds of witness time.
        due: u64,
        /// The tree that lacks it.
        size: u64,
        /// The witness time of that tree.
        time: u64,
    },
    /// Two different receipts with one position.
    #[error("boot {boot} signed two receipts with seq {seq}: {first} and {second} (entry {index})")]
    ReceiptForked {
        /// The boot.
        boot: Hex<32>,
        /// Their position.
        seq: u64,
        /// The leaf hash that the chain holds.
        first: Hex<32>,
        /// The other one's.
        second: Hex<32>,
        /// The other one's index.
        index: u64,
    },
    /// The same receipt is in the log again.
    #[error("entry {index} is a receipt {seq} of boot {boot}, which is in the log already")]
    ReceiptRepeated {
        /// The boot.
        boot: Hex<32>,
        /// Its position.
        seq: u64,
        /// The index of the repetition.
        index: u64,
    },
    /// A position of so long ago that its receipt is not remembered: the same receipt again, or a fork.
    #[error(
        "entry {index} (leaf {leaf}) is a receipt {seq} of boot {boot}, and the log has one of long ago: the same again, or a fork"
    )]
    ReceiptPositionReused {
        /// The boot.
        boot: Hex<32>,
        /// The position.
        seq: u64,
        /// The leaf hash of what came now.
        leaf: Hex<32>,
        /// Its index.
        index: u64,
    },
    /// More receipts wait for an earlier one than are remembered.
    #[error(
        "from receipt {seq} on, boot {boot} has more receipts that wait for an earlier one than are followed (entry {index})"
    )]
    ReceiptsUnfollowed {
        /// The boot.
        boot: Hex<32>,
        /// The first position that is not followed.
        seq: u64,
        /// The entry at which there were too many.
        index: u64,
    },
    /// A receipt names another predecessor than the one in the log.
    #[error("receipt {seq} of boot {boot} names {named} as the one before it, which is {found}")]
    ChainBroken {
        /// The boot.
        boot: Hex<32>,
        /// The position of the receipt that names it.
        seq: u64,
        /// What it names.
        named: Hex<32>,
        /// What is in the log.
        found: Hex<32>,
    },
    /// A heartbeat or close record contradicts the receipts in the log.
    #[error(
        "entry {index} says that boot {boot} had {seq_next} receipts up to {said}, where the log has {found}"
    )]
    HeadMismatch {
        /// The record's index.
        index: u64,
        /// The boot.
        boot: Hex<32>,
        /// Its count.
        seq_next: u64,
        /// The head it states.
        said: Hex<32>,
        /// The receipt's leaf hash in the log.
        found: Hex<32>,
    },
    /// A receipt beyond the boot's last word.
    #[error(
        "receipt {seq} of boot {boot} at entry {index} is beyond its close record of {seq_next} receipts"
    )]
    AfterClose {
        /// The boot.
        boot: Hex<32>,
        /// The receipt's position.
        seq: u64,
        /// Its index.
        index: u64,
        /// What the close record says.
        seq_next: u64,
    },
    /// A receipt or record of an epoch that the log does not have.
    #[error("entry {index} of boot {boot} is of epoch {epoch}, whose record the log lacks at {time}")]
    EpochMissing {
        /// The entry's index.
        index: u64,
        /// The boot.
        boot: Hex<32>,
        /// The epoch.
        epoch: u64,
        /// Witness time by which it was due.
        time: u64,
    },
    /// A receipt that somebody holds, that was due, and that the log lacks.
    #[error(
        "breach of settle_by: receipt {seq} of boot {boot} (leaf {leaf}) was due at {due} and offered again at {resubmitted}; a full scan of the tree of size {size}, cosigned by the quorum at {time}, lacks it; account in {file}"
    )]
    SettleByBreached {
        /// The boot.
        boot: Hex<32>,
        /// Its position.
        seq: u64,
        /// Its leaf hash.
        leaf: Hex<32>,
        /// Its `settle_by`.
        due: u64,
        /// The tree that was scanned.
        size: u64,
        /// That tree's witness time.
        time: u64,
        /// When it was offered to the log again, Unix seconds.
        #[serde(default)]
        resubmitted: u64,
        /// Where the account of it is, within the state folder.
        #[serde(default)]
        file: String,
    },
    /// A receipt that somebody holds and the log lacks, where a breach cannot be shown.
    #[error(
        "receipt {seq} of boot {boot} (leaf {leaf}) was due at {due} and a full scan of the tree of size {size} at {time} lacks it; this is no breach yet: {why}"
    )]
    ReceiptAbsent {
        /// The boot.
        boot: Hex<32>,
        /// Its position.
        seq: u64,
        /// Its leaf hash.
        leaf: Hex<32>,
        /// Its `settle_by`.
        due: u64,
        /// The tree that was scanned.
        size: u64,
        /// That tree's witness time.
        time: u64,
        /// Why a breach cannot be shown.
        why: String,
    },
    /// An enclave was shown a tree that is not this log's: a split view.
    #[error(
        "entry {index} of boot {boot} names the tree of size {size} with root {named}, which is {found} here: the enclave was shown another view"
    )]
    EnclaveOtherView {
        /// The entry's index.
        index: u64,
        /// The boot.
        boot: Hex<32>,
        /// The size it names.
        size: u64,
        /// The root it names.
        named: Hex<32>,
        /// The root in this view.
        found: Hex<32>,
    },
    /// The log has not let anybody look up the trees that enclaves named.
    #[error(
        "since {since}, trees that enclaves named cannot be looked up: the log does not serve the tiles for it"
    )]
    TreesUnjudged {
        /// Since when, Unix seconds by the monitor's clock.
        since: u64,
    },
    /// Enclaves named more trees than are remembered until they can be looked up.
    #[error("from entry {index} on, enclaves name more trees than are followed")]
    TreesUnfollowed {
        /// The first entry whose tree is not followed.
        index: u64,
    },
    /// Those who may have revoked something.
    #[error(
        "entry {index} revokes {subject} from {from} on, in list {serial} ({name}): {reason}",
        from = UnixSeconds(*at)
    )]
    Revoked {
        /// The list's entry.
        index: u64,
        /// The list's serial.
        serial: u64,
        /// What people call the matter.
        name: String,
        /// What is revoked: its kind and value.
        subject: String,
        /// From when on, Unix seconds.
        at: u64,
        /// Why.
        reason: String,
    },
    /// A later list leaves out what an earlier one revoked.
    #[error("entry {index} no longer revokes {subject}, in list {serial}")]
    RevocationWithdrawn {
        /// The list's entry.
        index: u64,
        /// The list's serial.
        serial: u64,
        /// What was revoked.
        subject: String,
    },
    /// A list of revocations that too few of those signed who may, or nobody is known who may.
    #[error("entry {index} is a list of revocations that is not to be believed: {why}")]
    RevocationUnverified {
        /// The list's entry.
        index: u64,
        /// Why not.
        why: String,
    },
    /// An image that too few of those released who may, or nobody is known who may.
    #[error("entry {index} releases an image and is not to be believed: {why}")]
    ImageUnverified {
        /// The image's entry.
        index: u64,
        /// Why not.
        why: String,
    },
    /// Two images under one name.
    #[error("entry {index} releases another image as {release:?}, which entry {first} released")]
    ImageRenamed {
        /// The later one's entry.
        index: u64,
        /// The earlier one's.
        first: u64,
        /// The name of both.
        release: String,
    },
    /// More images were released than are remembered.
    #[error(
        "from entry {index} on, more images are released than are followed: of boots behind it that are of no image before it, nothing is said"
    )]
    ImagesUnfollowed {
        /// The first one's entry that is not followed.
        index: u64,
    },
    /// Two lists of revocations with one serial.
    #[error("entry {index} is another list of revocations with serial {serial}: {first} and {second}")]
    RevocationForked {
        /// The later one's entry.
        index: u64,
        /// The serial of both.
        serial: u64,
        /// SHA-256 of the first.
        first: Hex<32>,
        /// SHA-256 of the other.
        second: Hex<32>,
    },
}
