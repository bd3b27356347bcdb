//! The verifier as WebAssembly, for browsers and Node.
//!
//! What `vouchsafe verify` and `vouchsafe evidence verify` judge, with the same code and the same words:
//! bytes go in, a verdict's JSON comes out. There is no I/O here; the page and the package around it
//! load the module and nothing else.
//!
//! - `kind` tells files apart by their content, so that people can drop whatever they were handed;
//! - `judge` assembles evidence from loose files and has it appraised;
//! - `exports` is the boundary to JavaScript.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

#[cfg(target_arch = "wasm32")]
pub mod exports;
pub mod judge;
pub mod kind;
