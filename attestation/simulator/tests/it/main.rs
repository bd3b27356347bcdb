//! Tests of the simulator from outside, in one program so that authorities are made once.

mod amd_layout;
mod amd_peers;
mod amd_store;
mod amd_verifier;
mod certificates;
mod common;
mod intel_layout;
mod intel_peers;
mod intel_store;
mod intel_verifier;
