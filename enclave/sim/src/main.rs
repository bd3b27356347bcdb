//! The enclave program with a simulated attester, for development and CI.

fn main() {}
