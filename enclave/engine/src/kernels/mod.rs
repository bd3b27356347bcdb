//! Arithmetic that gives the same bits on every processor.
//!
//! Everything a forward pass computes with is here: quantised and dense matrix products, norms,
//! activations, attention, and the threads that share the work. Three implementations of one small
//! instruction set ([`Simd`]: scalar, AVX2, AVX-512 with VNNI) run one source, and three rules make them,
//! any number of threads and any batch agree to the last bit:
//!
//! - **A lane is a result.** Sixteen rows of a matrix (or positions of a sequence, or dimensions of a
//!   head) stand side by side in a register, so each result is summed by itself, in ascending order.
//!   No sum is ever spread over lanes, threads or tokens in a way that depends on their number.
//! - **Integers are exact.** Activations are quantised to 8 bits in blocks of 32, always rounding to the
//!   nearest and ties to even; products within a block are summed as integers, where order means nothing.
//! - **Floats follow IEEE 754.** Only operations that round correctly are used: add, multiply, fused
//!   multiply-add, divide, square root, conversions. The exponential function is our own polynomial
//!   in these; rotary tables come from `libm`'s software functions.
//!
//! Products read weights in panels of sixteen rows (see [`pack`](self::pack)); the formats and the order
//! of operations are fixed by [`VERSION`], which changes with either.
//!
//! # Unsafe code
//! This module alone may contain it, for three things: instructions that were detected (a token that
//! only detection makes is the proof), columns of one output that threads write side by side, and the
//! lifetime of a closure that threads share while its owner waits for them.
#![allow(
    unsafe_code,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::needless_range_loop,
    reason = "shapes are checked where matrices and rows are made; a slip panics and ends the request; \
              registers side by side are counted"
)]

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dense;
#[cfg(test)]
mod emulated;
mod float;
mod level;
mod lines;
mod matrix;
mod pack;
mod panel;
mod pool;
mod product;
mod rows;
mod scalar;
mod simd;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86 {
    pub(super) use core::arch::x86_64::*;
}

pub(crate) use attention::{Heads, KvBlock, KvShape, POSITIONS_PER_BLOCK, attend};
pub(crate) use float::{Gate, add, add_scaled, exp, gated, rms_norm, rotate_halves, rotate_pairs};
pub(crate) use level::Level;
pub(crate) use matrix::Matrix;
pub(crate) use pool::Pool;
pub(crate) use product::{Product, products};
pub(crate) use rows::Rows;

/// Names the formats and the order of operations: the same version gives the same bits.
pub(crate) const VERSION: &str = "vouchsafe-1";

/// Rows in a panel, lanes in a register.
const LANES: usize = 16;
