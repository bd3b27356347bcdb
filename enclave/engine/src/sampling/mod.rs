//! How the next token is chosen.

mod params;

pub use params::{SamplingOptions, SamplingParams};
