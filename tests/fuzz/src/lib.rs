//! What the fuzz targets share: crypto that believes every signature, a TDX platform whose documents
//! an input takes the place of, what a log and its publishers sign, and planted faults.

pub mod careless;
pub mod checkpoints;
mod credulous;
mod platform;
pub mod revocations;

pub use careless::planted;
pub use credulous::Credulous;
pub use platform::{AT, Platform};
