//! What alerts and figures call a violation.

use super::Violation;

impl Violation {
    /// What it is about, in a few words without anybody's own: a boot, an entry, a tree, a file.
    pub fn subject(&self) -> String {
        match self {
            Self::LeafSignature { boot, .. }
            | Self::BootUnknown { boot, .. }
            | Self::BootRepeated { boot, .. }
            | Self::BootRefused { boot, .. }
            | Self::ReceiptWithheld { boot, .. }
            | Self::ReceiptForked { boot, .. }
            | Self::ReceiptRepeated { boot, .. }
            | Self::ReceiptPositionReused { boot, .. }
            | Self::ReceiptsUnfollowed { boot, .. }
            | Self::ReceiptAbsent { boot, .. }
            | Self::ChainBroken { boot, .. }
            | Self::HeadMismatch { boot, .. }
            | Self::AfterClose { boot, .. }
            | Self::EpochMissing { boot, .. }
            | Self::SettleByBreached { boot, .. }
            | Self::EnclaveOtherView { boot, .. } => format!("boot {boot}"),
            Self::Equivocation { size, .. }
            | Self::HistoryRewritten { size, .. }
            | Self::ViewAhead { size, .. }
            | Self::QuorumMissing { size, .. }
            | Self::TilesMismatch { size, .. }
            | Self::CheckpointRolledBack { to: size, .. } => format!("tree of size {size}"),
            Self::CheckpointUnsigned { .. } | Self::CheckpointStale { .. } => "checkpoint".into(),
            Self::TreesUnjudged { .. } => "trees that enclaves named".into(),
            Self::FileMissing { path, .. } | Self::FileMalformed { path, .. } => format!("file {path}"),
            Self::EntryMismatch { index, .. }
            | Self::LeafMalformed { index, .. }
            | Self::Blob { index, .. }
            | Self::RevocationUnverified { index, .. }
            | Self::ImageUnverified { index, .. }
            | Self::ImageRenamed { index, .. }
            | Self::ImagesUnfollowed { index }
            | Self::TreesUnfollowed { index }
            | Self::RevocationForked { index, .. } => format!("entry {index}"),
            Self::Revoked { subject, .. } | Self::RevocationWithdrawn { subject, .. } => subject.clone(),
        }
    }

    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Equivocation { .. } => "equivocation",
            Self::HistoryRewritten { .. } => "history_rewritten",
            Self::CheckpointRolledBack { .. } => "checkpoint_rolled_back",
            Self::CheckpointUnsigned { .. } => "checkpoint_unsigned",
            Self::ViewAhead { .. } => "view_ahead",
            Self::QuorumMissing { .. } => "quorum_missing",
            Self::CheckpointStale { .. } => "checkpoint_stale",
            Self::FileMissing { .. } => "file_missing",
            Self::FileMalformed { .. } => "file_malformed",
            Self::EntryMismatch { .. } => "entry_mismatch",
            Self::TilesMismatch { .. } => "tiles_mismatch",
            Self::LeafMalformed { .. } => "leaf_malformed",
            Self::LeafSignature { .. } => "leaf_signature",
            Self::BootUnknown { .. } => "boot_unknown",
            Self::BootRepeated { .. } => "boot_repeated",
            Self::Blob { .. } => "blob",
            Self::BootRefused { .. } => "boot_refused",
            Self::ReceiptWithheld { .. } => "receipt_withheld",
            Self::ReceiptForked { .. } => "receipt_forked",
            Self::ReceiptRepeated { .. } => "receipt_repeated",
            Self::ReceiptPositionReused { .. } => "receipt_position_reused",
            Self::ReceiptsUnfollowed { .. } => "receipts_unfollowed",
            Self::ChainBroken { .. } => "chain_broken",
            Self::HeadMismatch { .. } => "head_mismatch",
            Self::AfterClose { .. } => "after_close",
            Self::EpochMissing { .. } => "epoch_missing",
            Self::SettleByBreached { .. } => "settle_by_breached",
            Self::ReceiptAbsent { .. } => "receipt_absent",
            Self::EnclaveOtherView { .. } => "enclave_other_view",
            Self::TreesUnjudged { .. } => "trees_unjudged",
            Self::TreesUnfollowed { .. } => "trees_unfollowed",
            Self::Revoked { .. } => "revoked",
            Self::RevocationWithdrawn { .. } => "revocation_withdrawn",
            Self::RevocationUnverified { .. } => "revocation_unverified",
            Self::RevocationForked { .. } => "revocation_forked",
            Self::ImageUnverified { .. } => "image_unverified",
            Self::ImageRenamed { .. } => "image_renamed",
            Self::ImagesUnfollowed { .. } => "images_unfollowed",
        }
    }
}
