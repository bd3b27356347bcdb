//! Throwaway AMD- and Intel-shaped authorities that mint bit-exact evidence.
//!
//! # Simulated. Not for production.
//!
//! **What this crate signs proves nothing about any machine.** It makes the same bytes that a
//! processor and its vendor make, layout for layout and name for name, but under a root key that
//! anybody can generate on a laptop. The root is what differs: a verifier that trusts the vendors'
//! pinned roots refuses all of it, and one that was told to trust a simulated root says so in its
//! verdict. The production enclave program must never depend on this crate; a check of its
//! dependency tree holds that.
//!
//! # Use
//!
//! An authority is made once ([`amd::AmdAuthority::load_or_generate`]); it endorses machines
//! ([`amd::SnpMachine`]), and machines attest:
//!
//! ```no_run
//! use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};
//! use vouchsafe_simulator::OsRng;
//! use vouchsafe_verifier::UnixSeconds;
//!
//! # fn main() -> Result<(), vouchsafe_simulator::Error> {
//! let now = UnixSeconds(1_795_262_400);
//! let authority = AmdAuthority::load_or_generate("simulated-amd".as_ref(), Product::Genoa, now)?;
//! let spec = SnpMachineSpec::typical(&authority, now);
//! let machine = SnpMachine::new(&authority, &spec, [0x4d; 48], &mut OsRng)?;
//! let (evidence, endorsements) = (machine.evidence([7; 64]), machine.endorsements());
//! # let _ = (evidence, endorsements);
//! # Ok(())
//! # }
//! ```
//!
//! [`intel::IntelAuthority`] and [`intel::TdxMachine`] do the same for TDX quotes and their collateral.
//!
//! For tests of a verifier every part can be made wrong alone: report and quote fields, raw bytes
//! ([`amd::SnpMachine::sign_raw`], [`intel::QuoteParts`]), each field of each certificate and list
//! ([`x509::CertificateSpec`], [`x509::CrlSpec`]), signed documents as text, sizes, and which key signs
//! what. The README lists how each wrong thing is made.
//!
//! Moments are arguments, never read from a clock. Randomness is an argument too, except where a
//! function says that it uses the operating system's.

pub mod amd;
pub mod der;
mod error;
pub mod intel;
pub mod pem;
mod store;
pub mod x509;

pub use error::Error;
pub use rand_core::OsRng;
