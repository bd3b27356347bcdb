//! Asking an enclave that was verified first, and believing an answer that was verified after.
//!
//! [`Client`] keeps connections to one address. Each new connection's TLS key must belong to an
//! enclave that a policy accepted, for evidence over a nonce derived from that very connection;
//! nothing secret is sent before. Each answer's receipt is judged under the same policy, and what a
//! caller gets is an [`Answer`] with its verdict, from which a bundle can be made for others.
//!
//! [`proxy`] puts an OpenAI-compatible endpoint on loopback in front of a client, for programs that
//! know nothing of all this.
//!
//! What is judged, and how, is `vouchsafe-bundle`'s business; this crate does the talking. It has the
//! I/O, the clock and the randomness that the verifying crates do without. The clock is the relying
//! party's own.

mod answer;
mod attest;
mod client;
mod connection;
mod error;
mod kept;
pub mod proxy;
mod reply;
mod revocations;
mod tls;

pub use answer::{Answer, Timings};
pub use attest::Attested;
pub use client::{Client, Options};
pub use connection::Request;
pub use error::Error;
pub use kept::Kept;
pub use reply::Reply;
pub use revocations::check_issued;

use vouchsafe_verifier::UnixSeconds;

/// The moment by this machine's clock. A relying party's clock is its own to trust.
///
/// # Errors
/// [`Error::Clock`] when it stands before 1970.
pub fn now() -> Result<UnixSeconds, Error> {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_err(|_| Error::Clock)?;
    Ok(UnixSeconds(since.as_secs()))
}
