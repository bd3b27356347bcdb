//! Byte streams between host and enclave over vsock, Unix sockets or TCP.
//!
//! The host dials, the enclave listens ([`dial`], [`Listener`]). Where the transport is a single
//! address (Unix and TCP), the port is named in a first line as user-space vsock backends do it:
//! `CONNECT <port>\n`, answered by `OK <n>\n`. [`SESSION_PORT`] carries one client connection each,
//! opaque TLS bytes in a [`FramedStream`]; [`CONTROL_PORT`] carries [`control`] messages.
//!
//! What crosses here is untrusted in both directions: every length is bounded, parsers are total,
//! and a stream that stops without its end frame is an error, never an end. No message names a
//! prompt, a completion or an API type. Encryption and trust are others' business: TLS inside the
//! enclave and attestation above it.
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

pub mod control;
mod dial;
mod endpoint;
mod error;
mod framed;
mod listen;
mod preamble;
mod stream;

pub use dial::{Backoff, dial, dial_retrying};
pub use endpoint::{Endpoint, Port};
pub use error::Error;
pub use framed::{FramedStream, PAYLOAD_BYTES_MAX};
pub use listen::Listener;
pub use stream::RawStream;

/// The port that carries client sessions: one connection per client, opaque TLS records, framed.
pub const SESSION_PORT: Port = Port(5000);
/// The port that carries [`control`] messages. One connection at a time is served.
pub const CONTROL_PORT: Port = Port(5001);

/// Largest single write to a transport, in bytes. Guest kernels from 6.12 on lose vsock writes above
/// 32 KiB when the backend is a user-space program.
pub(crate) const WRITE_BYTES_MAX: usize = 16 * 1024;
