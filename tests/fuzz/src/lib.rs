//! What the fuzz targets share: crypto that believes every signature, a TDX platform whose documents
//! an input takes the place of, and the switch for planted faults.

mod credulous;
mod platform;

pub use credulous::Credulous;
pub use platform::{AT, Platform};

use std::sync::LazyLock;

/// Whether planted faults are armed: `VOUCHSAFE_FUZZ_PLANTED=1`.
static PLANTED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("VOUCHSAFE_FUZZ_PLANTED").is_some_and(|value| value == "1"));

/// A fault that every target carries so that the check can prove the fuzzer finds one: panics when
/// faults are armed and what the parser made of the input has the property `reached`. The properties
/// are such that none of our own seeds has them, and no input that the parser refuses.
pub fn planted_fault(reached: impl FnOnce() -> bool) {
    if *PLANTED && reached() {
        panic!("planted fault");
    }
}
