//! Byte-level byte-pair encoding (`tokenizer.ggml.model` = `gpt2`).
//!
//! The crate `tokenizers` has this too, but it keeps the words of past prompts in a per-thread cache,
//! and building it from hostile merges can panic.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::pretokenize::PreTokenizer;
use super::vocabulary::{Kind, Vocabulary, corrupt};
use crate::LoadError;
use crate::gguf::Metadata;

pub(super) struct Bpe {
    pub(super) words: PreTokenizer,
    /// The token of each byte.
    bytes: Vec<u32>,
    /// The rank of a pair, and what it becomes.
    merges: HashMap<(u32, u32), (u32, u32)>,
}

impl Bpe {
    pub(super) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, LoadError> {
        let words = PreTokenizer::named(metadata.string("tokenizer.ggml.pre")?)?;
        let text_token = |text: &str| {
            let id = vocabulary.id(text)?;
            // Text never becomes a control token, not by merges either.
            (!matches!(vocabulary.kind(id), Kind::Control | Kind::Unknown)).then_some(id)
        };
        let bytes = (0..=u8::MAX)
            .map(|byte| {
                text_token(&byte_char(byte).to_string())
                    .ok_or_else(|| corrupt(format!("no token stands for the byte {byte:#04x}")))
            })
            .collect::<Result<_, _>>()?;

        let key = "tokenizer.ggml.merges";
        let lines = metadata
            .optional_strings(key)?
            .ok_or_else(|| LoadError::MetadataMissing { key: key.to_owned() })?;
        let mut merges = HashMap::with_capacity(lines.len());
        for (rank, line) in (0_u32..).zip(lines) {
            let merge = split_merge(line).and_then(|(left, right)| {
                let merged = text_token(&format!("{left}{right}"))?;
                Some(((text_token(left)?, text_token(right)?), merged))
            });
            let Some((pair, merged)) = merge else {
                return Err(corrupt(format!("the merge {line:?} is not of two tokens into a third")));
            };
            // The first of two equal merges is the one with the better rank.
            merges.entry(pair).or_insert((rank, merged));
        }
        Ok(Self { words, bytes, merges })
    }

    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<u32>) {
        for word in self.words.split(text) {
            match self.whole_word(vocabulary, word) {
                Some(id) => out.push(id),
                None => self.merge(word.as_bytes(), out),
            }
        }
    }

    fn whole_word(&self, vocabulary: &Vocabulary, word: &str) -> Option<u32> {
        if !self.words.whole_words {
            return None;
        }
        let text: String = word.bytes().map(byte_char).collect();
        vocabulary.id(&text).filter(|id| vocabulary.kind(*id) == Kind::Normal)
    }

    fn merge(&self, word: &[u8], out: &mut Vec<u32>) {
        let bytes = word.iter().filter_map(|byte| self.bytes.get(usize::from(*byte)).copied());
        let mut chain = Chain::new(bytes);
        let mut queue = BinaryHeap::new();
        let offer = |queue: &mut BinaryHeap<_>, chain: &Chain, left: usize| {
            if let Some(pair) = chain.pair(left)
                && let Some((rank, merged)) = self.merges.get(&pair)
            {
                // Lowest rank first, then leftmost.
                queue.push(Reverse((*rank, left, pair, *merged)));
            }
        };
        for left in 0..word.len() {
            offer(&mut queue, &chain, left);
        }
        while let Some(Reverse((_, left, pair, merged))) = queue.pop() {
            if chain.pair(left) != Some(pair) {
                continue; // one of the two has been merged meanwhile
            }
            chain.join(left, merged);
            if let Some(before) = chain.before(left) {
                offer(&mut queue, &chain, before);
            }
            offer(&mut queue, &chain, left);
        }
        out.extend(chain.tokens());
    }
}

/// The symbols of a word, as a linked list in an array: joining two costs the same anywhere.
struct Chain(Vec<Link>);

struct Link {
    /// `None` once joined to the one before.
    token: Option<u32>,
    before: Option<usize>,
    after: Option<usize>,
}

impl Chain {
    fn new(tokens: impl Iterator<Item = u32>) -> Self {
        let mut links: Vec<Link> = tokens
            .enumerate()
            .map(|(at, token)| Link {
                token: Some(token),
                before: at.checked_sub(1),
                after: at.checked_add(1),
            })
            .collect();
        if let Some(last) = links.last_mut() {
            last.after = None;
        }
        Self(links)
    }

    fn token(&self, at: usize) -> Option<u32> {
        self.0.get(at)?.token
    }

    fn before(&self, at: usize) -> Option<usize> {
        self.0.get(at)?.before
    }

    fn pair(&self, left: usize) -> Option<(u32, u32)> {
        let link = self.0.get(left)?;
        Some((link.token?, self.token(link.after?)?))
    }

    /// Joins the symbol at `left` and the next one into `merged`.
    fn join(&mut self, left: usize, merged: u32) {
        let Some(right) = self.0.get(left).and_then(|link| link.after) else { return };
        let Some(beyond) = self.0.get_mut(right).map(|link| {
            link.token = None;
            link.after
        }) else {
            return;
        };
        if let Some(link) = self.0.get_mut(left) {
            link.token = Some(merged);
            link.after = beyond;
        }
        if let Some(link) = beyond.and_then(|beyond| self.0.get_mut(beyond)) {
            link.before = Some(left);
        }
    }

    fn tokens(self) -> impl Iterator<Item = u32> {
        self.0.into_iter().filter_map(|link| link.token)
    }
}

/// `"a b"` into `a` and `b`; the space is not the first character, as `a` may begin with one in files
/// that do not use the byte alphabet strictly.
fn split_merge(line: &str) -> Option<(&str, &str)> {
    let first = line.chars().next()?.len_utf8();
    let space = line.get(first..)?.find(' ')?.checked_add(first)?;
    let (left, right) = (line.get(..space)?, line.get(space.checked_add(1)?..)?);
    (!right.is_empty()).then_some((left, right))
}

/// The character that stands for a byte in the vocabulary: GPT-2's `bytes_to_unicode`. Printable
/// Latin-1 stands for itself, the rest follows from U+0100 in order.
pub(super) fn byte_char(byte: u8) -> char {
    let offset = match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => return char::from(byte),
        0x00..=0x20 => byte,
        0x7f..=0xa0 => byte.saturating_sub(0x7f - 0x21),
        0xad => 0x43,
    };
    char::from_u32(0x100_u32.saturating_add(offset.into())).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes that a token's text stands for. A character outside the alphabet stands for itself.
pub(super) fn text_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match char_byte(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn char_byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code.saturating_sub(0x100)).ok(),
        0x121..=0x142 => u8::try_from(code.saturating_sub(0x100 + 0x21 - 0x7f)).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_is_the_one_of_gpt_2() {
        assert_eq!(byte_char(b' '), 'Ġ');
        assert_eq!(byte_char(b'\n'), 'Ċ');
        let all: std::collections::BTreeSet<char> = (0..=255).map(byte_char).collect();
        assert_eq!(all.len(), 256);
        // The alphabet ends at U+0143, the stand-in for the soft hyphen.
        assert_eq!(all.last(), Some(&'\u{143}'));
        for byte in 0..=255 {
            assert_eq!(text_bytes(&byte_char(byte).to_string()), [byte]);
        }
    }

    #[test]
    fn merge_lines() {
        assert_eq!(split_merge("Ġ t"), Some(("Ġ", "t")));
        assert_eq!(split_merge("  a"), Some((" ", "a")));
        assert_eq!(split_merge("ab"), None);
        assert_eq!(split_merge("a "), None);
        assert_eq!(split_merge(""), None);
    }
}
