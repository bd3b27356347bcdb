//! What is computed value by value, and the sums that go with it.
//!
//! The sources are plain loops over lanes: the compiler makes vector instructions of them and, as it
//! neither reorders nor contracts floating-point operations, the same bits on every level.

use super::LANES;
use super::simd::{Simd, dispatched};

/// The nearest integer, ties to even; for magnitudes below 2^22.
#[inline(always)]
pub(super) fn to_nearest(value: f32) -> i32 {
    (value + SHIFT).to_bits().cast_signed().wrapping_sub(SHIFT.to_bits().cast_signed())
}

/// eˣ, within two units in the last place; 0 below -87, and e⁸⁸ above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Comparisons are false for NaN, which goes through.
    let x = if x > 88.0 { 88.0 } else { x };
    let inside = if x < -87.0 { -87.0 } else { x };
    let shifted = inside.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let power = shifted - SHIFT;
    let bits = shifted.to_bits().wrapping_sub(SHIFT.to_bits());
    let rest = power.mul_add(-LN2_HIGH, inside);
    let rest = power.mul_add(-LN2_LOW, rest);
    // Taylor's coefficients, adjusted to the interval ±ln 2 / 2 (Cephes).
    let mut sum = 1.987_569_1e-4_f32;
    sum = sum.mul_add(rest, 1.398_199_9e-3);
    sum = sum.mul_add(rest, 8.333_452e-3);
    sum = sum.mul_add(rest, 4.166_579_6e-2);
    sum = sum.mul_add(rest, 1.666_666_5e-1);
    sum = sum.mul_add(rest, 0.5);
    sum = sum.mul_add(rest * rest, rest) + 1.0;
    let result = sum * f32::from_bits(bits.wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { result }
}

/// Sixteen sums to one, by halves.
#[inline(always)]
pub(super) fn sum_lanes(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

dispatched! {
    /// `to = from / rms(from) × weight`.
    pub(crate) fn rms_norm(level, from: &[f32], weight: &[f32], epsilon: f32, to: &mut [f32]) = rms_norm_generic
}

#[inline(always)]
fn rms_norm_generic<S: Simd>(_simd: S, from: &[f32], weight: &[f32], epsilon: f32, to: &mut [f32]) {
    let mut lanes = [0.0_f32; LANES];
    let (whole, rest) = from.as_chunks::<LANES>();
    for values in whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = value.mul_add(*value, *lane);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = value.mul_add(*value, *lane);
    }
    let mean = sum_lanes(lanes) / from.len() as f32;
    let scale = 1.0 / (mean + epsilon).sqrt();
    for ((to, from), weight) in to.iter_mut().zip(from).zip(weight) {
        *to = from * scale * weight;
    }
}

/// The gate of a feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// x / (1 + e⁻ˣ)
    Silu,
    /// GELU by way of the hyperbolic tangent.
    GeluTanh,
}

dispatched! {
    /// `to = gate(from) × to`.
    pub(crate) fn gated(level, gate: Gate, from: &[f32], to: &mut [f32]) = gated_generic
}

#[inline(always)]
fn gated_generic<S: Simd>(_simd: S, gate: Gate, from: &[f32], to: &mut [f32]) {
    match gate {
        Gate::Silu => {
            for (to, x) in to.iter_mut().zip(from) {
                *to *= x / (1.0 + exp(-x));
            }
        }
        Gate::GeluTanh => {
            for (to, x) in to.iter_mut().zip(from) {
                let inner = (x * x * x).mul_add(0.044_715, *x) * SQRT_2_OVER_PI;
                // (1 + tanh y) / 2 = 1 / (1 + e⁻²ʸ)
                *to *= x / (1.0 + exp(-2.0 * inner));
            }
        }
    }
}

dispatched! {
    /// `to += from`.
    pub(crate) fn add(level, from: &[f32], to: &mut [f32]) = add_generic
}

#[inline(always)]
fn add_generic<S: Simd>(_simd: S, from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

dispatched! {
    /// `to += scale × from`, rounded once.
    pub(crate) fn add_scaled(level, scale: f32, from: &[f32], to: &mut [f32]) = add_scaled_generic
}

#[inline(always)]
fn add_scaled_generic<S: Simd>(_simd: S, scale: f32, from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = scale.mul_add(*from, *to);
    }
}

dispatched! {
    /// Turns neighbouring values by the angles whose cosines and sines are given.
    pub(crate) fn rotate_pairs(level, cos: &[f32], sin: &[f32], values: &mut [f32]) = rotate_pairs_generic
}

#[inline(always)]
fn rotate_pairs_generic<S: Simd>(_simd: S, cos: &[f32], sin: &[f32], values: &mut [f32]) {
    for ((pair, cos), sin) in values.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
        let [a, b] = *pair;
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}

dispatched! {
    /// The same for pairs that lie half the width apart.
    pub(crate) fn rotate_halves(level, cos: &[f32], sin: &[f32], values: &mut [f32]) = rotate_halves_generic
}

#[inline(always)]
fn rotate_halves_generic<S: Simd>(_simd: S, cos: &[f32], sin: &[f32], values: &mut [f32]) {
    let (low, high) = values.split_at_mut(values.len() / 2);
    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
    }
}

#[cfg(test)]
dispatched! {
    /// Turns scores into weights: `e^(score - greatest)`; puts their sum into `total`. A score of -∞
    /// has the weight 0.
    pub(super) fn weigh(level, scores: &mut [f32], total: &mut f32) = weigh_generic
}

#[inline(always)]
pub(super) fn weigh_generic<S: Simd>(_simd: S, scores: &mut [f32], total: &mut f32) {
    let (whole, _) = scores.as_chunks_mut::<LANES>();
    let mut greatest = [f32::NEG_INFINITY; LANES];
    for scores in whole.iter() {
        for (greatest, score) in greatest.iter_mut().zip(scores) {
            *greatest = if *score > *greatest { *score } else { *greatest };
        }
    }
    let greatest =
        greatest.into_iter().fold(f32::NEG_INFINITY, |most, score| if score > most { score } else { most });
    let mut lanes = [0.0; LANES];
    for scores in whole {
        for (score, lane) in scores.iter_mut().zip(&mut lanes) {
            *score = exp(*score - greatest);
            *lane += *score;
        }
    }
    *total = sum_lanes(lanes);
}

/// 1.5 × 2²³: added to a small number it leaves the nearest integer in the low bits.
const SHIFT: f32 = 12_582_912.0;

/// ln 2 in two parts, the first of few bits, so that its multiples are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
