//! Splitting text into words before byte-pair merges, by the file's `tokenizer.ggml.pre`.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: a run of white space leaves its last character to
//! the word that follows. The look-ahead would need a backtracking engine, whose time a hostile text
//! could drive up; so it is left out of the patterns, and [`Stage::split`] gives the character back.

use regex::Regex;

use crate::LoadError;

/// The stages that a tokenizer's words come from: each splits what the one before it left.
pub(super) struct PreTokenizer {
    stages: Vec<Stage>,
    /// A word that is a token is that token, whatever the merges say (Llama 3).
    pub(super) whole_words: bool,
    /// Whether a sequence begins with the beginning-of-sequence token where the file does not say.
    pub(super) add_bos: bool,
}

struct Stage {
    pattern: Regex,
    /// Whether a run of white space with a line break in it is a word of its own kind.
    line_breaks: bool,
}

impl PreTokenizer {
    /// The pre-tokenizer with this name.
    pub(super) fn named(name: &str) -> Result<Self, LoadError> {
        let known = KNOWN.iter().find(|known| known.names.contains(&name));
        let Some(Known { stages, whole_words, add_bos, .. }) = known else {
            return Err(LoadError::UnsupportedTokenizer {
                key: "tokenizer.ggml.pre",
                found: name.to_owned(),
                supported: SUPPORTED,
            });
        };
        let stages = stages
            .iter()
            .map(|pattern| {
                let line_breaks = pattern.contains(LINE_BREAKS);
                let pattern = Regex::new(pattern)
                    .map_err(|error| LoadError::Tokenizer { problem: format!("pattern: {error}") })?;
                Ok(Stage { pattern, line_breaks })
            })
            .collect::<Result<_, LoadError>>()?;
        Ok(Self { stages, whole_words: *whole_words, add_bos: *add_bos })
    }

    /// The words of `text`, whose concatenation it is.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = vec![text];
        for stage in &self.stages {
            let mut next = Vec::with_capacity(words.len());
            for word in words {
                stage.split(word, &mut next);
            }
            words = next;
        }
        words.retain(|word| !word.is_empty());
        words
    }
}

impl Stage {
    fn split<'t>(&self, text: &'t str, words: &mut Vec<&'t str>) {
        let mut start = 0;
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        while let Some(found) = self.pattern.find_at(text, start) {
            words.push(part(start, found.start()));
            let end = self.keep_back(found.as_str(), found.end(), text.len()).unwrap_or(found.end());
            words.push(part(found.start(), end));
            start = end;
        }
        words.push(part(start, text.len()));
    }

    /// Where the word ends if it is a run of white space that gives its last character away.
    fn keep_back(&self, word: &str, end: usize, text_end: usize) -> Option<usize> {
        let last = word.chars().next_back()?;
        if end == text_end || (self.line_breaks && matches!(last, '\r' | '\n')) {
            return None;
        }
        // What matched is white space to its end, so what follows is not.
        let shorter = end.checked_sub(last.len_utf8())?;
        (word.chars().all(char::is_whitespace) && word.len() > last.len_utf8()).then_some(shorter)
    }
}

/// The name of what splits by these published patterns, one behind the other.
pub(crate) fn pattern_name(patterns: &[&str], whole_words: bool) -> Option<&'static str> {
    let patterns: Vec<String> = patterns.iter().map(|pattern| pattern.replace(LOOK_AHEAD, "")).collect();
    let known = KNOWN.iter().find(|known| known.stages == patterns && known.whole_words == whole_words)?;
    known.names.first().copied()
}

struct Known {
    names: &'static [&'static str],
    stages: &'static [&'static str],
    whole_words: bool,
    add_bos: bool,
}

/// The names that llama.cpp gives them, and their patterns. Those of `gpt-4o` and `tekken` are the
/// published ones, which llama.cpp writes otherwise for want of some classes of characters.
const KNOWN: [Known; 8] = [
    Known { names: &["gpt-2", "gpt2"], stages: &[GPT_2], whole_words: false, add_bos: false },
    Known {
        names: &["default"],
        stages: &[PUNCTUATION, GPT_2, NUMBERS, THREE_DIGITS],
        whole_words: false,
        add_bos: false,
    },
    Known {
        names: &["smollm", "starcoder", "refact", "command-r"],
        stages: &[ONE_NUMERAL, GPT_2],
        whole_words: false,
        add_bos: false,
    },
    Known { names: &["qwen2", "deepseek-r1-qwen"], stages: &[QWEN_2], whole_words: false, add_bos: false },
    Known {
        names: &["llama-bpe", "llama3", "llama-v3"],
        stages: &[LLAMA_3],
        whole_words: true,
        add_bos: true,
    },
    Known { names: &["dbrx"], stages: &[LLAMA_3], whole_words: false, add_bos: false },
    Known { names: &["gpt-4o"], stages: &[GPT_4O], whole_words: false, add_bos: false },
    Known { names: &["tekken"], stages: &[TEKKEN], whole_words: true, add_bos: true },
];

const SUPPORTED: &str = "gpt-2, default, smollm, starcoder, refact, command-r, qwen2, deepseek-r1-qwen, llama-bpe, dbrx, gpt-4o, tekken";

/// What published patterns have and ours leave to [`Stage::keep_back`].
const LOOK_AHEAD: &str = r"\s+(?!\S)|";

/// Marks the patterns in which line breaks are words.
const LINE_BREAKS: &str = r"\s*[\r\n]+";

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
const ONE_NUMERAL: &str = r"\p{N}";
const NUMBERS: &str = r"\p{N}+";
const THREE_DIGITS: &str = r"[0-9][0-9][0-9]";
const PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|]+";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_leaves_its_last_character_to_the_next_word() {
        let gpt_2 = PreTokenizer::named("gpt-2").unwrap();
        assert_eq!(gpt_2.split("a   b"), ["a", "  ", " b"]);
        assert_eq!(gpt_2.split("a \n b  "), ["a", " \n", " b", "  "]);
        assert_eq!(gpt_2.split("a\nb"), ["a", "\n", "b"]);
        let qwen_2 = PreTokenizer::named("qwen2").unwrap();
        assert_eq!(qwen_2.split("a \n\n  b"), ["a", " \n\n", " ", " b"]);
        assert_eq!(qwen_2.split("12 I'M"), ["1", "2", " I", "'M"]);
    }

    #[test]
    fn later_stages_split_what_earlier_ones_left() {
        let smollm = PreTokenizer::named("smollm").unwrap();
        assert_eq!(smollm.split("in 1984  a"), ["in", " ", "1", "9", "8", "4", " ", " a"]);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = PreTokenizer::named("porcelain").err().unwrap();
        assert_eq!(error.code(), "unsupported-tokenizer");
    }

    proptest::proptest! {
        #[test]
        fn words_are_the_whole_text(text in "\\PC*|[ \n\ta-c1'.]*") {
            for name in ["gpt-2", "default", "smollm", "qwen2", "llama-bpe", "gpt-4o", "tekken"] {
                let words = PreTokenizer::named(name).unwrap().split(&text).concat();
                proptest::prop_assert_eq!(&words, &text);
            }
        }
    }
}
