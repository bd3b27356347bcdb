//! The vouchsafe program: verify receipts and evidence, talk to enclaves.

fn main() {}
