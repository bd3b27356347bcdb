//! A cheating host: everything a malicious operator can put between client and enclave.
//!
//! [`Host`] forwards sessions like `vouchsafe-host` does, with a [`Meddler`] that sees and may change
//! every chunk of ciphertext, cut it, hold it back or send the session to another enclave;
//! [`Records`] meddles with whole TLS records. [`middle`] ends TLS itself, with keys of its own, and so
//! sees plaintext: the man in the middle that attestation exists to expose; [`Impostor`] has no
//! enclave behind him and answers what he likes. Each attack is a named test under `tests/`, which
//! states the promise it tries to break and how it is stopped, or what a verdict says where it can't
//! be; SECURITY.md lists them all, and a test holds that list against the attacks.

mod host;
mod impostor;
pub mod middle;
mod records;

pub use host::{Action, Direction, Honest, Host, Meddler};
pub use impostor::Impostor;
pub use records::{Record, Records};
