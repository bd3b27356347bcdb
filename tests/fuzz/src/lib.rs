//! What the fuzz targets share: crypto that believes every signature, a TDX platform whose documents
//! an input takes the place of, and planted faults.

pub mod careless;
mod credulous;
mod platform;

pub use careless::planted;
pub use credulous::Credulous;
pub use platform::{AT, Platform};
