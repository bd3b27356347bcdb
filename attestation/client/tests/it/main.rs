//! The client against an enclave that the tests play, honest and not, and against liars in between.

mod answers;
mod attestation;
mod enclave;
mod proxy;
mod revocations;
mod signer;
