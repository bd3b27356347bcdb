//! From logits to a token, in a fixed order and the same on every machine:
//!
//! 1. repetition penalty, for tokens of prompt and answer: positive logits are divided by it, negative
//!    ones multiplied (as `transformers` and vLLM do);
//! 2. presence and frequency penalties, for tokens of the answer (as OpenAI documents);
//! 3. logit bias;
//! 4. where the answer must have a form, tokens that would leave it are out;
//! 5. temperature 0 takes the greatest logit, the lowest id among equals, and is done;
//! 6. logits less the greatest, divided by the temperature, exponentiated in f32 by `libm`;
//! 7. top-k, then top-p over what is left, then min-p; among equals lower ids come first;
//! 8. one number u in [0, 1), and the first token, in order of id, at which the cumulated weight
//!    exceeds u times the total. Sums are in f64.
//!
//! The numbers are ChaCha20 with the seed, little-endian and padded with zeros, as the key, and zero as
//! nonce: the n-th token takes the n-th 64-bit word, whose upper 53 bits are the number.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::params::SamplingParams;

/// Chooses one sequence's tokens.
pub(crate) struct Sampler {
    params: SamplingParams,
    random: ChaCha20Rng,
    /// Tokens of prompt and answer, and how often each occurs in the answer.
    seen: BTreeMap<u32, u32>,
    top_logprobs: Option<usize>,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) token: u32,
    /// Of the raw distribution, where asked for.
    pub(crate) logprob: Option<f32>,
    /// The likeliest tokens and their log probabilities, where asked for.
    pub(crate) top: Vec<(u32, f32)>,
}

/// The logits hold something that is no number: the weights are corrupt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotANumber;

/// A token that may be chosen, and its logit or weight.
type Candidate = (u32, f32);

impl Sampler {
    pub(crate) fn new(
        params: SamplingParams,
        seed: u64,
        prompt: &[u32],
        top_logprobs: Option<usize>,
    ) -> Self {
        let mut key = [0; 32];
        for (byte, seed) in key.iter_mut().zip(seed.to_le_bytes()) {
            *byte = seed;
        }
        let seen = prompt.iter().map(|token| (*token, 0)).collect();
        Self { params, random: ChaCha20Rng::from_seed(key), seen, top_logprobs }
    }

    /// Chooses the next token. `logits` are changed.
    pub(crate) fn choose(&mut self, logits: &mut [f32]) -> Result<Choice, NotANumber> {
        self.choose_among(logits, |_| true)
    }

    /// Chooses the next token among those that are `allowed`, of which there must be one.
    pub(crate) fn choose_among(
        &mut self,
        logits: &mut [f32],
        allowed: impl Fn(u32) -> bool,
    ) -> Result<Choice, NotANumber> {
        if logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return Err(NotANumber);
        }
        let raw = self.top_logprobs.map(|count| LogProbs::of(logits, count));
        self.adjust(logits);
        for (token, logit) in (0_u32..).zip(logits.iter_mut()) {
            if !allowed(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let token = self.draw(logits)?;
        let count = self.seen.entry(token).or_insert(0);
        *count = count.saturating_add(1);
        Ok(match raw {
            None => Choice { token, logprob: None, top: Vec::new() },
            Some(raw) => Choice { token, logprob: Some(raw.at(token)), top: raw.top },
        })
    }

    fn adjust(&self, logits: &mut [f32]) {
        let options = self.params.options();
        let neutral = options.repetition_penalty == 1.0
            && options.presence_penalty == 0.0
            && options.frequency_penalty == 0.0;
        for (token, count) in self.seen.iter().filter(|_| !neutral) {
            let Some(logit) = logits.get_mut(index(*token)) else { continue };
            if *logit > 0.0 {
                *logit /= options.repetition_penalty;
            } else {
                *logit *= options.repetition_penalty;
            }
            if *count > 0 {
                #[allow(clippy::as_conversions, reason = "exact below 2^24, more than any context")]
                let times = *count as f32;
                *logit -= options.presence_penalty + options.frequency_penalty * times;
            }
        }
        for (token, bias) in &options.logit_bias {
            if let Some(logit) = logits.get_mut(index(*token)) {
                *logit += bias;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> Result<u32, NotANumber> {
        let options = self.params.options();
        let candidates = || (0_u32..).zip(logits.iter().copied());
        // The lowest id among equals, since only a greater one replaces it.
        let best =
            candidates().fold(
                (0, f32::NEG_INFINITY),
                |best, candidate| {
                    if candidate.1 > best.1 { candidate } else { best }
                },
            );
        if !best.1.is_finite() {
            return Err(NotANumber);
        }
        if options.temperature == 0.0 {
            return Ok(best.0);
        }
        let weight = |logit: f32| libm::expf((logit - best.1) / options.temperature);
        let mut kept: Vec<Candidate> =
            candidates().map(|(id, logit)| (id, weight(logit))).filter(|(_, weight)| *weight > 0.0).collect();
        keep_top_k(&mut kept, index(options.top_k));
        keep_top_p(&mut kept, options.top_p);
        kept.retain(|(_, weight)| *weight >= options.min_p);
        kept.sort_unstable_by_key(|(id, _)| *id);

        let total: f64 = kept.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let target = unit(self.random.next_u64()) * total;
        let mut sum = 0.0;
        for (id, weight) in &kept {
            sum += f64::from(*weight);
            if sum > target {
                return Ok(*id);
            }
        }
        // Rounding can leave the target at the total.
        Ok(kept.last().map_or(best.0, |(id, _)| *id))
    }
}

/// The upper 53 bits as a number in [0, 1).
#[allow(clippy::as_conversions, reason = "53 bits are exact in an f64")]
fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * 2.0_f64.powi(-53)
}

fn keep_top_k(kept: &mut Vec<Candidate>, count: usize) {
    if count > 0 && count < kept.len() {
        kept.select_nth_unstable_by(count, likelier);
        kept.truncate(count);
    }
}

/// Keeps the fewest likeliest tokens whose weights reach the fraction, one at least.
fn keep_top_p(kept: &mut Vec<Candidate>, fraction: f32) {
    if fraction >= 1.0 {
        return;
    }
    // Summed in order of id, so that the sum does not depend on how the candidates were selected.
    kept.sort_unstable_by_key(|(id, _)| *id);
    let total: f64 = kept.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let target = total * f64::from(fraction);
    // The vocabulary is large and what is kept is small: sort only as much as is needed.
    let mut sorted = SORT_FIRST.min(kept.len());
    loop {
        if sorted < kept.len() {
            kept.select_nth_unstable_by(sorted, likelier);
        }
        let (head, _) = kept.split_at_mut(sorted);
        head.sort_unstable_by(likelier);
        let mut sum = 0.0;
        let reached = head.iter().position(|(_, weight)| {
            sum += f64::from(*weight);
            sum >= target
        });
        match reached {
            Some(last) => return kept.truncate(last.saturating_add(1)),
            None if sorted == kept.len() => return,
            None => sorted = sorted.saturating_mul(8).min(kept.len()),
        }
    }
}

/// Descending weight, then ascending id: a total order, as weights are numbers.
fn likelier(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Log probabilities of the raw distribution.
struct LogProbs {
    logits: Vec<f32>,
    /// What is subtracted from a logit: the logarithm of the sum of all exponentials.
    normalizer: f64,
    top: Vec<(u32, f32)>,
}

impl LogProbs {
    fn of(logits: &[f32], count: usize) -> Self {
        let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(libm::expf(logit - greatest))).sum();
        let normalizer = f64::from(greatest) + libm::log(sum);
        let mut top: Vec<Candidate> = (0_u32..).zip(logits.iter().copied()).collect();
        keep_top_k(&mut top, count.max(1));
        top.sort_unstable_by(likelier);
        top.truncate(count);
        let mut this = Self { logits: logits.to_vec(), normalizer, top: Vec::new() };
        this.top = top.into_iter().map(|(id, _)| (id, this.at(id))).collect();
        this
    }

    #[allow(clippy::as_conversions, reason = "rounds, as a reported figure may")]
    fn at(&self, token: u32) -> f32 {
        let logit = self.logits.get(index(token)).copied().unwrap_or(f32::NEG_INFINITY);
        (f64::from(logit) - self.normalizer) as f32
    }
}

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

/// Candidates that are sorted at first.
const SORT_FIRST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SamplingOptions;

    fn sampler(options: SamplingOptions, seed: u64) -> Sampler {
        Sampler::new(SamplingParams::new(options).unwrap(), seed, &[], None)
    }

    fn draws(options: SamplingOptions, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = sampler(options, 7);
        (0..count).map(|_| sampler.choose(&mut logits.to_vec()).unwrap().token).collect()
    }

    #[test]
    fn random_numbers_are_chacha20() {
        // RFC 8439 keystream for the zero key and nonce: 76b8e0ada0f13d90 405d6ae55386bd28.
        let mut sampler = sampler(SamplingOptions::default(), 0);
        assert_eq!(sampler.random.next_u64(), u64::from_le_bytes(*b"\x76\xb8\xe0\xad\xa0\xf1\x3d\x90"));
        assert_eq!(sampler.random.next_u64(), u64::from_le_bytes(*b"\x40\x5d\x6a\xe5\x53\x86\xbd\x28"));
        assert_eq!(unit(0), 0.0);
        assert!(unit(u64::MAX) < 1.0);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let logits = [0.0, libm::logf(2.0), f32::NEG_INFINITY, libm::logf(5.0)];
        let tokens = draws(SamplingOptions::default(), &logits, 8000);
        let share = |id| tokens.iter().filter(|token| **token == id).count() as f64 / 8000.0;
        for (id, expected) in [(0, 0.125), (1, 0.25), (2, 0.0), (3, 0.625)] {
            assert!((share(id) - expected).abs() < 0.02, "{id}: {}", share(id));
        }
    }

    #[test]
    fn the_seed_decides() {
        let logits: Vec<f32> = (0..1000).map(|id| (id % 17) as f32 / 4.0).collect();
        let run = |seed| {
            let mut sampler = sampler(SamplingOptions::default(), seed);
            (0..50).map(|_| sampler.choose(&mut logits.clone()).unwrap().token).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn truncation_keeps_the_likeliest() {
        let logits: Vec<f32> = [0.4_f32, 0.1, 0.3, 0.2].iter().map(|share| share.ln()).collect();
        let set =
            |options| draws(options, &logits, 400).into_iter().collect::<std::collections::BTreeSet<_>>();
        let options = SamplingOptions::default;
        assert_eq!(set(SamplingOptions { top_k: 2, ..options() }), [0, 2].into());
        assert_eq!(set(SamplingOptions { top_p: 0.65, ..options() }), [0, 2].into());
        assert_eq!(set(SamplingOptions { top_p: 0.75, ..options() }), [0, 2, 3].into());
        assert_eq!(set(SamplingOptions { top_p: 0.0, ..options() }), [0].into());
        assert_eq!(set(SamplingOptions { min_p: 0.6, ..options() }), [0, 2].into());
        // Top-p counts within what top-k left: 0.4 / 0.7 is more than half.
        assert_eq!(set(SamplingOptions { top_k: 2, top_p: 0.5, ..options() }), [0].into());
        assert_eq!(set(SamplingOptions { temperature: 0.01, ..options() }), [0].into());
    }

    #[test]
    fn top_p_reaches_far_down_flat_distributions() {
        let logits = vec![0.0; 5000];
        let mut kept: Vec<Candidate> = (0..5000).map(|id| (id, 1.0)).collect();
        keep_top_p(&mut kept, 0.9);
        assert_eq!(kept.len(), 4500);
        assert_eq!(kept.iter().map(|(id, _)| *id).max(), Some(4499));
        draws(SamplingOptions { top_p: 0.9, ..Default::default() }, &logits, 3);
    }

    #[test]
    fn ties_go_to_the_lowest_id() {
        let greedy = SamplingOptions { temperature: 0.0, ..Default::default() };
        assert_eq!(draws(greedy, &[1.0, 3.0, 3.0], 1), [1]);
        assert_eq!(draws(SamplingOptions { top_k: 1, ..Default::default() }, &[1.0, 3.0, 3.0], 1), [1]);
    }

    #[test]
    fn penalties_and_bias() {
        let greedy = || SamplingOptions { temperature: 0.0, ..Default::default() };
        let frequency = SamplingOptions { frequency_penalty: 1.0, ..greedy() };
        // Each occurrence in the answer costs one: 3.0, then 2.0 against 1.5, then 1.0.
        assert_eq!(draws(frequency, &[0.0, 3.0, 1.5], 4), [1, 1, 2, 1]);
        let presence = SamplingOptions { presence_penalty: 2.0, ..greedy() };
        assert_eq!(draws(presence, &[0.0, 3.0, 1.5], 4), [1, 2, 1, 1]);
        let biased = SamplingOptions { logit_bias: vec![(0, 100.0)], ..greedy() };
        assert_eq!(draws(biased, &[0.0, 3.0, 1.5], 1), [0]);

        // Repetition counts the prompt as well, and makes negative logits more so.
        let params = SamplingParams::new(SamplingOptions { repetition_penalty: 2.0, ..greedy() }).unwrap();
        let mut sampler = Sampler::new(params, 0, &[0, 2], None);
        let mut logits = [4.0, 1.9, -1.0];
        assert_eq!(sampler.choose(&mut logits).unwrap().token, 0);
        assert_eq!(logits, [2.0, 1.9, -2.0]);
    }

    #[test]
    fn log_probabilities_are_of_the_raw_distribution() {
        let params = SamplingParams::new(SamplingOptions {
            temperature: 0.0,
            logit_bias: vec![(1, 50.0)],
            ..Default::default()
        });
        let mut sampler = Sampler::new(params.unwrap(), 0, &[], Some(2));
        let mut logits: Vec<f32> = [0.5_f32, 0.2, 0.3].iter().map(|share| share.ln()).collect();
        let choice = sampler.choose(&mut logits).unwrap();
        assert_eq!(choice.token, 1);
        assert!((choice.logprob.unwrap() - 0.2_f32.ln()).abs() < 1e-6);
        assert_eq!(choice.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 2]);
        assert!((choice.top[1].1 - 0.3_f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused() {
        for logits in [[0.0, f32::NAN], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            let mut sampler = sampler(SamplingOptions::default(), 0);
            assert_eq!(sampler.choose(&mut logits.to_vec()), Err(NotANumber));
        }
    }
}
