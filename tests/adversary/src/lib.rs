//! A cheating host: everything a malicious operator can put between client and enclave.
//!
//! [`Host`] forwards sessions like `vouchsafe-host` does, with a [`Meddler`] that sees and may change
//! every chunk of ciphertext, cut it, hold it back or send the session to another enclave.
//! [`middle`] ends TLS itself, with keys of its own, and so sees plaintext: the man in the middle that
//! attestation exists to expose. Each attack is a named test under `tests/`, which states the promise
//! it tries to break and how it is stopped.

mod host;
pub mod middle;

pub use host::{Action, Direction, Honest, Host, Meddler};
