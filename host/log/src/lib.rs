//! The transparency log: sequences, stores, publishes and has witnessed what settles.
//!
//! The files are those of c2sp.org/tlog-tiles, the checkpoints those of c2sp.org/tlog-checkpoint, and
//! witnesses are asked as c2sp.org/tlog-witness has it; the formats themselves are `vouchsafe-translog`'s,
//! what leaves say is `vouchsafe-receipt`'s, and what evidence is worth is `vouchsafe-bundle`'s.
//!
//! - [`storage`]: what is kept, behind traits, and how on files and SQLite.
//! - [`log`]: the committed log; the order of its durable writes is the design.
//! - [`intake`], then the sequencer: from submissions to batches.
//! - [`admission`]: who gets in.
//! - [`serve`]: all of it running, with HTTP, witnesses, metrics and the alarm.
//! - [`check`], [`repair`]: finding damage and undoing it.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod admission;
mod alarm;
pub mod blobs;
pub mod check;
pub mod edge;
mod error;
mod folder;
pub mod intake;
mod key;
pub mod log;
pub mod metrics;
mod publish;
pub mod repair;
pub mod retire;
mod sequencer;
mod serve;
mod server;
mod service;
mod staged;
pub mod storage;
mod witness;

pub use error::Error;
pub use folder::Folder;
pub use key::LogKey;
pub use log::{Log, NewLeaf};
pub use publish::WitnessSettings;
pub use sequencer::{Batch, sequence};
pub use serve::{Listening, ServeConfig, serve};
pub use witness::WitnessConfig;
