//! Speculation: guessing tokens from an expected answer, or by prompt lookup from what followed the last
//! few tokens where they stood before.
//!
//! Guesses are read together with the newest token, in one step; the sampler then chooses from the same
//! logits, in the same order and with the same random numbers as without them, and the first choice that
//! is not what was guessed ends the matter. So a guess changes time and nothing else. It costs a row of
//! arithmetic for each token, and saves a reading of the weights for each that was right.

/// Guesses one sequence's tokens.
#[derive(Debug)]
pub(super) struct Guesser {
    /// What the answer may be.
    expected: Vec<u32>,
    /// Whether to look in prompt and answer too.
    lookup: bool,
    /// How many tokens to guess next.
    next: usize,
}

impl Guesser {
    pub(super) fn new(expected: Vec<u32>, lookup: bool) -> Self {
        Self { expected, lookup, next: 2 }
    }

    /// Appends up to `count_max` guesses to `to`. `history` is the prompt and what was generated.
    pub(super) fn guess(&self, history: &[u32], generated: usize, count_max: usize, to: &mut Vec<u32>) {
        let count = self.next.min(count_max);
        let expected = self.expected(history, generated);
        let found = expected.filter(|tokens| !tokens.is_empty()).or_else(|| {
            let earlier = history.len().checked_sub(1)?;
            if self.lookup { follow(history, history, earlier) } else { None }
        });
        to.extend(found.unwrap_or_default().iter().take(count));
    }

    /// What is expected next: what stands behind the newest token in its place or, where the answer
    /// was divided into tokens otherwise, behind the last few.
    fn expected(&self, history: &[u32], generated: usize) -> Option<&[u32]> {
        let (before, after) = self.expected.split_at_checked(generated)?;
        if before.last().is_some() && before.last() == history.last() {
            return Some(after);
        }
        follow(history, &self.expected, self.expected.len())
    }

    /// How many tokens to guess next.
    pub(super) fn count(&self) -> usize {
        self.next
    }

    /// Learns how many of the guesses were right.
    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        let most = if self.expected.is_empty() { GUESSES_MAX } else { EXPECTED_MAX };
        let next = if right == guessed { self.next.saturating_mul(2) } else { right.max(1) };
        self.next = next.clamp(1, most);
    }
}

/// What follows the last three tokens of `history`, or else its last two, at the last of the first
/// `places` places in `source`. Overlaps count: a run of one token continues itself.
fn follow<'s>(history: &[u32], source: &'s [u32], places: usize) -> Option<&'s [u32]> {
    [3, 2].into_iter().find_map(|length| {
        let last = history.get(history.len().checked_sub(length)?..)?;
        let windows = source.get(..places.min(source.len()))?.windows(length);
        let at = windows.into_iter().rposition(|window| window == last)?;
        source.get(at.saturating_add(length)..)
    })
}

/// More rows at a time cost more than they can save, unless nearly all are right.
const GUESSES_MAX: usize = 7;
const EXPECTED_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(history: &[u32], count_max: usize) -> Vec<u32> {
        let mut to = Vec::new();
        let mut guesser = Guesser::new(Vec::new(), true);
        guesser.next = 4;
        guesser.guess(history, 0, count_max, &mut to);
        to
    }

    #[test]
    fn what_followed_last_time_is_guessed() {
        assert_eq!(guess(&[1, 2, 3, 4, 5, 1, 2, 3], 9), [4, 5, 1, 2]);
        assert_eq!(guess(&[1, 2, 3, 4, 5, 1, 2, 3], 2), [4, 5]);
        // The latest place, and two tokens where three were never seen.
        assert_eq!(guess(&[2, 3, 7, 2, 3, 8, 9, 2, 3], 9), [8, 9, 2, 3]);
        assert_eq!(guess(&[6, 6, 6, 6], 9), [6]);
        for nothing in [&[][..], &[1], &[1, 2], &[1, 2, 3], &[1, 2, 3, 1]] {
            assert_eq!(guess(nothing, 9), [0; 0]);
        }
        assert_eq!(guess(&[1, 2, 3, 4, 1, 2, 3], 0), [0; 0]);
    }

    #[test]
    fn what_is_expected_is_guessed_first() {
        let guesser = Guesser::new(vec![5, 6, 7, 8, 9], false);
        let guess = |history: &[u32], generated| {
            let mut to = Vec::new();
            guesser.guess(history, generated, 9, &mut to);
            to
        };
        assert_eq!(guess(&[1, 2, 5], 1), [6, 7]);
        assert_eq!(guess(&[1, 2, 5, 6, 7, 8], 4), [9]);
        // A token more than expected: the last few are looked for.
        assert_eq!(guess(&[1, 2, 4, 5, 6, 7], 4), [8, 9]);
        assert_eq!(guess(&[1, 2, 3], 1), [0; 0]);
        assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1], 8), [0; 0]);
    }

    #[test]
    fn success_makes_bold() {
        let mut guesser = Guesser::new(Vec::new(), true);
        guesser.learn(2, 2);
        assert_eq!(guesser.next, 4);
        guesser.learn(4, 4);
        assert_eq!(guesser.next, GUESSES_MAX);
        guesser.learn(7, 3);
        assert_eq!(guesser.next, 3);
        guesser.learn(3, 0);
        assert_eq!(guesser.next, 1);
        guesser.learn(0, 0);
        assert_eq!(guesser.next, 1);
    }
}
