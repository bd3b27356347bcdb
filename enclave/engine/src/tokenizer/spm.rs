//! SentencePiece tokenizers of the byte-pair kind, merged by score (`tokenizer.ggml.model` = `llama`).

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::SPACE_SCHEME;
use super::vocabulary::{Kind, Vocabulary, corrupt, index};
use crate::LoadError;
use crate::gguf::Metadata;

pub(super) struct Spm {
    scores: Vec<f32>,
    /// The token of each byte, for characters that have none.
    bytes: Vec<u32>,
    /// Whether text at the start, and after a control token, gets a space in front.
    pub(super) space_prefix: bool,
    /// Whether it gets none where it begins with one.
    one_space: bool,
    /// Whether it gets it at the start of a sequence alone.
    pub(super) first_alone: bool,
}

/// What SentencePiece writes for a space.
pub(super) const SPACE: char = '\u{2581}';

impl Spm {
    pub(super) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, LoadError> {
        let key = "tokenizer.ggml.scores";
        let scores = metadata
            .optional_floats(key)?
            .ok_or_else(|| LoadError::MetadataMissing { key: key.to_owned() })?;
        if scores.len() != vocabulary.texts.len() {
            return Err(corrupt(format!("{} tokens have {} scores", vocabulary.texts.len(), scores.len())));
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(corrupt("a score is not a number".to_owned()));
        }
        let bytes = (0..=u8::MAX)
            .map(|byte| {
                vocabulary
                    .id(&format!("<0x{byte:02X}>"))
                    .filter(|id| vocabulary.kind(*id) == Kind::Byte)
                    .or(vocabulary.unknown)
                    .ok_or_else(|| corrupt(format!("no token stands for the byte {byte:#04x}")))
            })
            .collect::<Result<_, _>>()?;
        let space_prefix = metadata.optional_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
        let scheme = metadata.optional_string(SPACE_SCHEME)?;
        let (one_space, first_alone) = (scheme.is_some(), scheme == Some("first"));
        Ok(Self { scores, bytes, space_prefix, one_space, first_alone })
    }

    /// Encodes a piece of text between control tokens.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, at_start: bool, out: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        let mut escaped = String::with_capacity(text.len().saturating_add(SPACE.len_utf8()));
        if at_start && self.space_prefix && !(self.one_space && text.starts_with([' ', SPACE])) {
            escaped.push(SPACE);
        }
        escaped.extend(text.chars().map(|character| if character == ' ' { SPACE } else { character }));
        for symbol in self.merge(vocabulary, &escaped) {
            match text_token(vocabulary, symbol) {
                Some(id) => out.push(id),
                None => {
                    out.extend(symbol.bytes().filter_map(|byte| self.bytes.get(usize::from(byte)).copied()));
                }
            }
        }
    }

    /// Joins neighbours, the best score first, until no two make a token.
    fn merge<'t>(&self, vocabulary: &Vocabulary, text: &'t str) -> Vec<&'t str> {
        let mut symbols = Symbols::new(text);
        let mut queue = BinaryHeap::new();
        for left in 0..symbols.0.len() {
            queue.extend(self.candidate(vocabulary, &symbols, text, left));
        }
        while let Some(candidate) = queue.pop() {
            let left = candidate.left;
            if symbols.pair(text, left).map(str::len) != Some(candidate.bytes) {
                continue; // one of the two has been joined meanwhile
            }
            symbols.join(left);
            if let Some(before) = symbols.0.get(left).and_then(|symbol| symbol.before) {
                queue.extend(self.candidate(vocabulary, &symbols, text, before));
            }
            queue.extend(self.candidate(vocabulary, &symbols, text, left));
        }
        symbols.0.iter().filter(|symbol| symbol.end > symbol.start).map(|symbol| symbol.of(text)).collect()
    }

    fn candidate(
        &self,
        vocabulary: &Vocabulary,
        symbols: &Symbols,
        text: &str,
        left: usize,
    ) -> Option<Candidate> {
        let joined = symbols.pair(text, left)?;
        let score = *self.scores.get(index(text_token(vocabulary, joined)?))?;
        // What no merge makes has the lowest score there is.
        if score == f32::NEG_INFINITY {
            return None;
        }
        Some(Candidate { score, left, bytes: joined.len() })
    }
}

/// The token with this text, if text may become it: like SentencePiece itself, unlike llama.cpp, no
/// merge makes `</s>`.
fn text_token(vocabulary: &Vocabulary, text: &str) -> Option<u32> {
    let id = vocabulary.id(text)?;
    match vocabulary.kind(id) {
        Kind::Normal | Kind::UserDefined | Kind::Unused => Some(id),
        Kind::Control | Kind::Unknown | Kind::Byte => None,
    }
}

/// Characters and what they were joined to: byte ranges of the text, linked.
struct Symbols(Vec<Symbol>);

struct Symbol {
    start: usize,
    /// Equal to `start` once joined to the one before.
    end: usize,
    before: Option<usize>,
    after: Option<usize>,
}

impl Symbol {
    fn of<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

impl Symbols {
    fn new(text: &str) -> Self {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(at, (start, character))| Symbol {
                start,
                end: start.saturating_add(character.len_utf8()),
                before: at.checked_sub(1),
                after: at.checked_add(1),
            })
            .collect();
        if let Some(last) = symbols.last_mut() {
            last.after = None;
        }
        Self(symbols)
    }

    /// The text of the symbol at `left` and the next one.
    fn pair<'t>(&self, text: &'t str, left: usize) -> Option<&'t str> {
        let symbol = self.0.get(left).filter(|symbol| symbol.end > symbol.start)?;
        text.get(symbol.start..self.0.get(symbol.after?)?.end)
    }

    fn join(&mut self, left: usize) {
        let Some(right) = self.0.get(left).and_then(|symbol| symbol.after) else { return };
        let Some((end, beyond)) = self.0.get_mut(right).map(|symbol| {
            let end = std::mem::replace(&mut symbol.end, symbol.start);
            (end, symbol.after)
        }) else {
            return;
        };
        if let Some(symbol) = self.0.get_mut(left) {
            symbol.end = end;
            symbol.after = beyond;
        }
        if let Some(symbol) = beyond.and_then(|beyond| self.0.get_mut(beyond)) {
            symbol.before = Some(left);
        }
    }
}

/// Two neighbours that make a token.
#[derive(Debug, PartialEq)]
struct Candidate {
    score: f32,
    left: usize,
    /// The length of the joined text, by which a stale entry is known.
    bytes: usize,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    /// The greatest is the best score, then the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
