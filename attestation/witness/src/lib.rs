//! A witness for transparency logs: it cosigns a log's checkpoints and never a fork.
//!
//! Follows [c2sp.org/tlog-witness](https://c2sp.org/tlog-witness) with Ed25519 cosignatures of
//! [c2sp.org/tlog-cosignature](https://c2sp.org/tlog-cosignature). In scope: `add-checkpoint`, and the
//! retrieval of the latest cosigned checkpoint. Not in scope: `sign-subtree`, bastions, ML-DSA-44.
//!
//! - [`State`]: the key and the latest checkpoint of each log, on disk before a cosignature leaves.
//! - [`Witness`]: the protocol's decision, without any network and with time as an argument.
//! - `serve`: the same over HTTP, with limits and metrics.
//!
//! Proofs and notes are parsed and verified by `vouchsafe-translog`; this crate adds state and a key.
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

mod error;
mod metrics;
mod rate;
mod server;
mod signer;
mod state;
mod witness;

pub use error::{Error, Refusal};
pub use metrics::Metrics;
pub use rate::Rate;
pub use server::{Limits, Server};
pub use signer::Signer;
pub use state::{AdvanceError, FILE_NAME, Latest, State};
pub use witness::{Cosigned, Witness};
