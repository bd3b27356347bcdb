//! Rotary positions: cosines and sines for the positions of a step.

use super::config::{Config, Rope};

/// The angles' frequencies of one kind of layer.
pub(crate) struct Frequencies(Vec<f64>);

impl Frequencies {
    /// For heads of `config`, each frequency divided by its factor where there are factors.
    #[allow(clippy::as_conversions, reason = "exact: a head's width is small")]
    pub(crate) fn new(config: &Config, rope: Rope, factors: Option<&[f32]>) -> Self {
        let width = config.rotary_width;
        let frequency = |index: usize| {
            let exponent = -2.0 * index as f64 / width as f64;
            let factor = factors.and_then(|factors| factors.get(index)).copied().unwrap_or(1.0);
            // By software, not the processor: the same bits everywhere.
            libm::pow(rope.base.into(), exponent) / f64::from(factor) / f64::from(rope.divisor)
        };
        Self((0..width.div_euclid(2)).map(frequency).collect())
    }

    /// How many angles a position has.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Cosines and sines, a row of [`Frequencies::count`] for each position.
#[derive(Default)]
pub(crate) struct Angles {
    count: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// Computes the rows of these positions. `scale` multiplies cosines and sines.
    #[allow(clippy::as_conversions, reason = "positions are below 2^24, and tables are rounded to f32")]
    pub(crate) fn set(
        &mut self,
        frequencies: &Frequencies,
        positions: impl Iterator<Item = usize>,
        scale: f32,
    ) {
        self.count = frequencies.count();
        self.cos.clear();
        self.sin.clear();
        for position in positions {
            for frequency in &frequencies.0 {
                let angle = position as f64 * frequency;
                self.cos.push((libm::cos(angle) * f64::from(scale)) as f32);
                self.sin.push((libm::sin(angle) * f64::from(scale)) as f32);
            }
        }
    }

    /// A row's cosines and sines.
    pub(crate) fn row(&self, index: usize) -> (&[f32], &[f32]) {
        let range = index.saturating_mul(self.count)..index.saturating_add(1).saturating_mul(self.count);
        (self.cos.get(range.clone()).unwrap_or_default(), self.sin.get(range).unwrap_or_default())
    }
}
