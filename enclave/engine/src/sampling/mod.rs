//! How the next token is chosen, and where the text ends.

mod params;
mod sampler;
mod stop;

pub use params::{SamplingOptions, SamplingParams};
pub(crate) use sampler::{Choice, Sampler};
pub(crate) use stop::StopMatcher;
