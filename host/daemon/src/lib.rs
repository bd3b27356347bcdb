//! The untrusted host: copies ciphertext, starts enclaves, keeps their receipts.
//!
//! Whatever this crate does wrong costs availability and nothing else: it sees opaque TLS bytes,
//! their sizes and their timing, and receipts, which are public. It knows no prompt, no completion
//! and no API type. [`run`] is the whole of it:
//!
//! - `forward` copies sessions between TCP clients and the enclave's session port;
//! - `control` holds the control connection: readiness, health, receipts;
//! - `outbox` and `storing` store receipts durably before they are acknowledged;
//! - `collateral` fetches what vouches for the enclave's processor;
//! - `settle` carries receipts and records to a log, and its proofs to the enclave;
//! - `enclave` starts and stops the enclave where this host is asked to;
//! - `metrics` counts, for Prometheus.
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

mod collateral;
mod control;
mod enclave;
mod endorsing;
mod error;
mod event;
mod forward;
mod metrics;
mod outbox;
mod run;
mod settle;
mod storing;

pub use collateral::CollateralConfig;
pub use enclave::{
    EnclaveSource, GuestEnclave, Machine, ProcessEnclave, SimulatedMachine, print_guest,
    tie_to_parent_and_exec,
};
pub use error::Error;
pub use event::{Event, Events};
pub(crate) use outbox::{FileOutbox, Outbox, Stored};

pub use outbox::Receipt;
pub use run::{Config, Limits, run};
pub use settle::{LogUrl, LogUrlError};
