//! Transparency-log hashing and proofs: the verifying side.
