//! A monitor for transparency logs: re-verifies everything in a log and measures the trust gap.
//!
//! - [`Monitor`]: one look at the log after the other. It recomputes every root from the entries,
//!   verifies every leaf under its boot's key, judges each boot's evidence, follows `seq` and
//!   `previous`, and names what is wrong as a [`Violation`].
//! - [`Equivocation`]: two checkpoints that contradict each other, as a file that proves it to anyone.
//! - [`Breach`]: a receipt that the log owed and lacks, as a file whose signatures anyone can verify and whose
//!   scan anyone can repeat.
//! - [`State`], [`Store`]: what survives a restart.
//! - [`gap`]: how long after an answer everybody can see that it was given.
//! - [`status`], [`metrics`]: the same for people and for Prometheus.
//!
//! The formats of the log belong to `vouchsafe-translog`, those of its leaves to `vouchsafe-receipt`,
//! and what a boot must satisfy to `vouchsafe-bundle`'s policies. Time is an argument of each look.
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

mod appraise;
mod breach;
pub mod canary;
mod chain;
mod compare;
mod equivocation;
mod error;
mod files;
pub mod gap;
mod histogram;
mod images;
mod leaf;
mod ledger;
pub mod metrics;
mod mirror;
mod monitor;
mod revoked;
mod search;
mod source;
mod state;
pub mod status;
mod violation;
mod webhook;

pub use appraise::{Accepted, Appraise, Refused};
pub use breach::{Breach, BreachFile, NotBreached};
pub use chain::Chain;
pub use equivocation::{Equivocation, EquivocationFile, NotProved};
pub use error::Error;
pub use histogram::Histogram;
pub use mirror::Mirror;
pub use monitor::{Fate, Monitor, Parts, Report, SAVE_ENTRIES, Sought};
pub use source::{Fetch, FolderSource, HttpSource, Source, Submit};
pub use state::{Alarm, Appraisal, Boot, Image, Resubmission, Revocations, Seen, State, Store, Witness};
pub use violation::Violation;
pub use webhook::{Outcome, Patience, Webhook};
