//! The untrusted host program: forwards ciphertext, launches enclaves, keeps receipts.

fn main() {}
