//! The Attester seam and the hardware behind it.
