//! Sampling parameters, validated.

use std::ops::RangeInclusive;

use crate::ParamError;

/// Parameters as a client states them.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// 0 chooses the likeliest token always; 0 to 2.
    pub temperature: f32,
    /// Keep the likeliest tokens whose probabilities sum to this; 0 to 1, and 1 keeps all.
    pub top_p: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep tokens at least this fraction as probable as the likeliest one; 0 to 1.
    pub min_p: f32,
    /// Divide the positive logits, and multiply the negative ones, of tokens that occur in prompt or
    /// answer; 0.01 to 10; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtract from the logits of tokens that occur in the answer; -2 to 2.
    pub presence_penalty: f32,
    /// Subtract from a token's logit for each time it occurs in the answer; -2 to 2.
    pub frequency_penalty: f32,
    /// Add to the logits of these tokens; -100 to 100 each.
    pub logit_bias: Vec<(u32, f32)>,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
        }
    }
}

/// Parameters within their ranges: finite, and each token biased at most once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplingParams(SamplingOptions);

impl SamplingParams {
    /// The most tokens that may be biased.
    pub const LOGIT_BIAS_MAX: usize = 1024;

    /// Checks every parameter's range.
    ///
    /// # Errors
    /// The first parameter out of its range, by its name in the API.
    pub fn new(mut options: SamplingOptions) -> Result<Self, ParamError> {
        within("temperature", options.temperature, 0.0..=2.0)?;
        within("top_p", options.top_p, 0.0..=1.0)?;
        within("min_p", options.min_p, 0.0..=1.0)?;
        within("repetition_penalty", options.repetition_penalty, REPETITION_PENALTY_MIN..=10.0)?;
        within("presence_penalty", options.presence_penalty, -2.0..=2.0)?;
        within("frequency_penalty", options.frequency_penalty, -2.0..=2.0)?;
        let count = options.logit_bias.len();
        if count > Self::LOGIT_BIAS_MAX {
            return Err(ParamError::TooMany { name: "logit_bias", count, max: Self::LOGIT_BIAS_MAX });
        }
        for (_, bias) in &options.logit_bias {
            within("logit_bias", *bias, -100.0..=100.0)?;
        }
        options.logit_bias.sort_by_key(|(token, _)| *token);
        let mut previous = None;
        for (token, _) in &options.logit_bias {
            if previous == Some(*token) {
                return Err(ParamError::Duplicate { name: "logit_bias", token: *token });
            }
            previous = Some(*token);
        }
        Ok(Self(options))
    }

    /// Temperature 0: always the likeliest token.
    #[must_use]
    pub fn greedy() -> Self {
        Self(SamplingOptions { temperature: 0.0, ..SamplingOptions::default() })
    }

    /// The parameters, with the biases in ascending order of token.
    #[must_use]
    pub fn options(&self) -> &SamplingOptions {
        &self.0
    }
}

/// Smaller ones would carry finite logits out of the range of finite numbers.
const REPETITION_PENALTY_MIN: f32 = 0.01;

fn within(name: &'static str, value: f32, range: RangeInclusive<f32>) -> Result<(), ParamError> {
    // A NaN is in no range.
    if range.contains(&value) {
        return Ok(());
    }
    Err(ParamError::OutOfRange { name, value, min: *range.start(), max: *range.end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_out_of_range_is_named() {
        type Set = fn(&mut SamplingOptions, f32);
        let table: [(&str, Set, &[f32]); 6] = [
            ("temperature", |o, v| o.temperature = v, &[-0.1, 2.1, f32::NAN, f32::INFINITY]),
            ("top_p", |o, v| o.top_p = v, &[-0.1, 1.1, f32::NAN]),
            ("min_p", |o, v| o.min_p = v, &[-0.1, 1.1, f32::NAN]),
            ("repetition_penalty", |o, v| o.repetition_penalty = v, &[0.0, 0.009, -1.0, 10.1, f32::NAN]),
            ("presence_penalty", |o, v| o.presence_penalty = v, &[-2.1, 2.1, f32::NAN]),
            ("frequency_penalty", |o, v| o.frequency_penalty = v, &[-2.1, 2.1, f32::NAN]),
        ];
        for (name, set, values) in table {
            for value in values {
                let mut options = SamplingOptions::default();
                set(&mut options, *value);
                let error = SamplingParams::new(options).unwrap_err();
                assert_eq!(error.parameter(), name, "{value}");
            }
        }
    }

    #[test]
    fn a_token_biased_twice_is_refused() {
        let options =
            SamplingOptions { logit_bias: vec![(5, 1.0), (3, 0.0), (5, 1.0)], ..Default::default() };
        assert_eq!(SamplingParams::new(options), Err(ParamError::Duplicate { name: "logit_bias", token: 5 }));
    }
}
