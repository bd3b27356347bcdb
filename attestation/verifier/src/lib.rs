//! Verifies SEV-SNP and TDX attestation evidence: no I/O, no clock, no randomness.
