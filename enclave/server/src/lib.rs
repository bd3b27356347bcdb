//! The enclave program: TLS sessions, the OpenAI-compatible API, and the receipt issuer.
//!
//! A library, so that the production program and the simulated one are the same server with another
//! [`Attester`](vouchsafe_platform::Attester); the production program's dependency tree holds no
//! simulator. Bytes flow one way:
//!
//! ```text
//! link ─► session (TLS 1.3) ─► http (bounds) ─► api (parse, admit, execute) ─► engine
//!                                                      │
//!                                                      └─► issue (the receipt key) ─► control ─► host
//! ```
//!
//! Everything that arrives from the host or a client is hostile: it is bounded before it is parsed
//! and parsed before it is believed. A request that was parsed and admitted gets a receipt whatever
//! happens next. Nothing that is logged or counted derives from a prompt or an answer.
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

mod api;
mod attestation;
mod boot;
mod clock;
mod config;
mod control;
mod disk;
mod error;
mod gauges;
mod guest;
mod http;
mod issue;
mod models;
mod program;
mod random;
mod report;
mod server;
mod session;
mod settle;
mod stapled;

pub use config::{Config, EngineConfig, Limits};
pub use control::serve_control;
pub use disk::{DISK_DOCUMENT, Disk, DiskModel, ModelKind};
pub use error::ServeError;
pub use guest::{is_guest, print_disk, run_guest};
pub use models::{
    Cancel, EmbedModel, ModelSource, Models, Output, OutputSink, Progress, TextModel, load as load_models,
    manifests,
};
pub use program::{ModelOptions, Options, read_config, run};
pub use server::Server;
pub use settle::{LogConfig, SettlementConfig};
pub use vouchsafe_link::Endpoint;
