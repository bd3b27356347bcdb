//! Stop strings, found across token boundaries: text that may become one is held back.

use crate::{StopStrings, TextDelta, TokenInfo};

/// Watches one answer's text.
pub(crate) struct StopMatcher {
    stops: StopStrings,
    /// Text that is not released yet.
    held: String,
    /// Bytes of text released before `held`.
    released: usize,
    /// Tokens not released yet, and the position in the text at which each ends, once known.
    tokens: Vec<(TokenInfo, Option<usize>)>,
}

impl StopMatcher {
    pub(crate) fn new(stops: StopStrings) -> Self {
        Self { stops, held: String::new(), released: 0, tokens: Vec::new() }
    }

    /// Takes a token and the text that became complete with it. `waiting` says that a part of the
    /// token's bytes is in no text yet.
    pub(crate) fn push(&mut self, token: TokenInfo, text: &str, waiting: bool) {
        self.held.push_str(text);
        self.tokens.push((token, None));
        if !waiting {
            self.settle_tokens();
        }
    }

    /// Takes the last text, which belongs to tokens pushed before.
    pub(crate) fn push_rest(&mut self, text: &str) {
        self.held.push_str(text);
        self.settle_tokens();
    }

    /// The text that can be released and, where a stop string has appeared, that string; the text
    /// ends in front of it.
    pub(crate) fn release(&mut self) -> (TextDelta, Option<String>) {
        if let Some((start, stop)) = self.find() {
            let delta = self.take(start);
            return (delta, Some(stop));
        }
        let keep = self.forming();
        (self.take(self.held.len().saturating_sub(keep)), None)
    }

    /// What is left when no more text comes.
    pub(crate) fn flush(&mut self) -> (TextDelta, Option<String>) {
        match self.find() {
            Some((start, stop)) => (self.take(start), Some(stop)),
            None => (self.take(self.held.len()), None),
        }
    }

    fn settle_tokens(&mut self) {
        let end = self.released.saturating_add(self.held.len());
        for (_, position) in self.tokens.iter_mut().rev() {
            if position.is_some() {
                break;
            }
            *position = Some(end);
        }
    }

    /// The stop string that is complete first, wherever the tokens' boundaries are; of several that end
    /// at one place, the longest.
    fn find(&self) -> Option<(usize, String)> {
        self.stops
            .as_slice()
            .iter()
            .filter_map(|stop| {
                let start = self.held.find(stop.as_str())?;
                Some((start.saturating_add(stop.len()), start, stop))
            })
            .min()
            .map(|(_, start, stop)| (start, stop.clone()))
    }

    /// How many bytes at the end may be the beginning of a stop string.
    fn forming(&self) -> usize {
        let longest = self.stops.as_slice().iter().map(String::len).max().unwrap_or(1);
        let earliest = self.held.len().saturating_sub(longest.saturating_sub(1));
        (earliest..self.held.len())
            .find(|at| {
                let tail = self.held.get(*at..).filter(|tail| !tail.is_empty());
                tail.is_some_and(|tail| self.stops.as_slice().iter().any(|stop| stop.starts_with(tail)))
            })
            .map_or(0, |at| self.held.len().saturating_sub(at))
    }

    fn take(&mut self, bytes: usize) -> TextDelta {
        let rest = self.held.split_off(bytes.min(self.held.len()));
        let text = std::mem::replace(&mut self.held, rest);
        self.released = self.released.saturating_add(text.len());
        let count =
            self.tokens.iter().take_while(|(_, end)| end.is_some_and(|end| end <= self.released)).count();
        let tokens = self.tokens.drain(..count).map(|(token, _)| token).collect();
        TextDelta { text, tokens }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(id: u32) -> TokenInfo {
        TokenInfo { id, bytes: Vec::new(), logprob: None, top: Vec::new() }
    }

    /// The released texts with their tokens, and the stop string.
    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<(String, Vec<u32>)>, Option<String>) {
        let stops = StopStrings::new(stops.iter().map(|stop| (*stop).to_owned()).collect()).unwrap();
        let mut matcher = StopMatcher::new(stops);
        let mut out = Vec::new();
        let ids = |delta: &TextDelta| delta.tokens.iter().map(|token| token.id).collect();
        for (id, piece) in (0..).zip(pieces) {
            matcher.push(token(id), piece, false);
            let (delta, stop) = matcher.release();
            out.push((delta.text.clone(), ids(&delta)));
            if stop.is_some() {
                return (out, stop);
            }
        }
        let (delta, stop) = matcher.flush();
        out.push((delta.text.clone(), ids(&delta)));
        (out, stop)
    }

    fn text(out: &[(String, Vec<u32>)]) -> String {
        out.iter().map(|(text, _)| text.as_str()).collect()
    }

    #[test]
    fn a_stop_string_over_three_tokens() {
        let (out, stop) = run(&["END"], &["a", "bE", "N", "Dx"]);
        assert_eq!(stop.as_deref(), Some("END"));
        assert_eq!(out[..3], [("a".into(), vec![0]), ("b".into(), vec![]), ("".into(), vec![])]);
        assert_eq!(text(&out), "ab");
    }

    #[test]
    fn what_looked_like_a_stop_string_is_released() {
        let (out, stop) = run(&["END"], &["aE", "N", "Eb", "EN"]);
        assert_eq!(stop, None);
        assert_eq!(out[2], ("ENEb".to_owned(), vec![0, 1, 2]));
        assert_eq!(out[4], ("EN".to_owned(), vec![3]));
    }

    #[test]
    fn characters_of_several_bytes() {
        let (out, stop) = run(&["é!"], &["caf", "é", "?é", "!"]);
        assert_eq!((text(&out).as_str(), stop.as_deref()), ("café?", Some("é!")));
    }

    #[test]
    fn tokens_wait_for_their_text() {
        let mut matcher = StopMatcher::new(StopStrings::default());
        matcher.push(token(1), "a", true);
        assert_eq!(matcher.release().0, TextDelta { text: "a".into(), tokens: vec![] });
        matcher.push(token(2), "é", false);
        let (delta, _) = matcher.release();
        assert_eq!((delta.text.as_str(), delta.tokens.len()), ("é", 2));
        matcher.push(token(3), "", true);
        assert_eq!(matcher.release().0, TextDelta::default());
        matcher.push_rest("\u{fffd}");
        assert_eq!(matcher.flush().0.tokens.len(), 1);
    }

    proptest! {
        #[test]
        fn boundaries_do_not_matter(text_in in "[ab]{0,24}", sizes in proptest::collection::vec(1_usize..5, 24)) {
            let stops = ["aab", "bb", "abab"];
            let mut pieces = Vec::new();
            let mut rest = text_in.as_str();
            for size in sizes {
                let (piece, next) = rest.split_at(size.min(rest.len()));
                pieces.push(piece);
                rest = next;
            }
            let single: Vec<&str> = text_in.split("").collect();
            let (by_pieces, stop) = run(&stops, &pieces);
            let (by_letters, stop_letters) = run(&stops, &single);
            prop_assert_eq!(text(&by_pieces), text(&by_letters));
            prop_assert_eq!(stop, stop_letters);
        }
    }
}
