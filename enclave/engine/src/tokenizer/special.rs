//! Control tokens in text: found in what a chat template wrote, never in what a user wrote.
//!
//! A template is given strings that users control and weaves its own control tokens around them. To
//! tell the two apart afterwards, [`Guard`] puts a mark in front of every character of a user's string
//! at which a control token could begin, and [`Specials::segments`] takes a marked character for text,
//! whatever follows it. The mark is U+FDD0, a noncharacter that no text contains; where a user's string
//! does contain it, U+FFFD takes its place, so no mark in the rendered prompt is a user's.
//!
//! Templates also compare strings: `'</think>' in message.content`. A character is therefore left
//! unmarked where the string goes on with a literal of the template that is no part of a control token.

use aho_corasick::{AhoCorasick, MatchKind};

use super::vocabulary::{Kind, Vocabulary, corrupt};
use crate::LoadError;

/// Marks the character behind it as text.
const MARK: char = '\u{fdd0}';

/// Tokens that are found in text as wholes, before anything is split or merged.
pub(super) struct Specials {
    /// User-defined tokens, which any text may contain.
    anywhere: Matcher,
    /// Those and the control tokens.
    trusted: Matcher,
    control_texts: Vec<String>,
}

/// A piece of text, or a token found in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    Token(u32),
}

struct Matcher {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl Specials {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<Self, LoadError> {
        let of = |wanted: &[Kind]| -> Vec<(u32, &str)> {
            vocabulary
                .ids()
                .filter(|(_, text, kind)| !text.is_empty() && wanted.contains(kind))
                .map(|(id, text, _)| (id, text))
                .collect()
        };
        let trusted = of(&[Kind::UserDefined, Kind::Control, Kind::Unknown]);
        let bytes: usize = trusted.iter().map(|(_, text)| text.len()).sum();
        if bytes > SPECIAL_BYTES_MAX {
            return Err(LoadError::TooLarge {
                what: "the text of all special tokens, in bytes,".to_owned(),
                value: u64::try_from(bytes).unwrap_or(u64::MAX),
                max: u64::try_from(SPECIAL_BYTES_MAX).unwrap_or(u64::MAX),
            });
        }
        if let Some((id, text)) = trusted.iter().find(|(_, text)| text.len() > SPECIAL_TEXT_MAX) {
            return Err(corrupt(format!("the special token {id} has a text of {} bytes", text.len())));
        }
        let control = of(&[Kind::Control, Kind::Unknown]);
        Ok(Self {
            anywhere: Matcher::new(&of(&[Kind::UserDefined]))?,
            trusted: Matcher::new(&trusted)?,
            control_texts: control.into_iter().map(|(_, text)| text.to_owned()).collect(),
        })
    }

    /// Splits a user's text.
    pub(super) fn segments_of_text(&self, text: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        self.anywhere.split(text, &mut segments);
        segments
    }

    /// Splits what a template rendered from guarded strings. A marked character ends a token that would
    /// reach over it and begins none.
    pub(super) fn segments_of_rendered(&self, rendered: &str) -> Vec<Segment> {
        let mut segments = Vec::new();
        for (number, part) in rendered.split(MARK).enumerate() {
            let marked = part.chars().next().filter(|_| number > 0).map_or(0, char::len_utf8);
            let (text, free) = part.split_at_checked(marked).unwrap_or((part, ""));
            push_text(&mut segments, text);
            self.trusted.split(free, &mut segments);
        }
        segments
    }

    /// What makes users' strings safe to give to `template`.
    pub(super) fn guard(&self, template: &str) -> Guard {
        let starts = self.control_texts.iter().filter_map(|text| text.chars().next()).collect();
        let literals = string_literals(template)
            .into_iter()
            .filter(|literal| {
                // With nothing in common with any control token beyond its own length, no control token
                // can begin where the literal stands.
                !self.control_texts.iter().any(|text| text.starts_with(literal) || literal.starts_with(text))
            })
            .collect();
        Guard { starts, literals, control_texts: self.control_texts.clone() }
    }
}

impl Matcher {
    fn new(tokens: &[(u32, &str)]) -> Result<Self, LoadError> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, text)| text))
            .map_err(|error| corrupt(format!("special tokens: {error}")))?;
        Ok(Self { automaton, ids: tokens.iter().map(|(id, _)| *id).collect() })
    }

    fn split(&self, text: &str, segments: &mut Vec<Segment>) {
        let mut start = 0;
        for found in self.automaton.find_iter(text) {
            push_text(segments, text.get(start..found.start()).unwrap_or_default());
            if let Some(id) = self.ids.get(found.pattern().as_usize()) {
                segments.push(Segment::Token(*id));
            }
            start = found.end();
        }
        push_text(segments, text.get(start..).unwrap_or_default());
    }
}

/// Text behind text is one piece: a mark must not change how the text is split into words.
fn push_text(segments: &mut Vec<Segment>, text: &str) {
    if text.is_empty() {
        return;
    }
    match segments.last_mut() {
        Some(Segment::Text(last)) => last.push_str(text),
        _ => segments.push(Segment::Text(text.to_owned())),
    }
}

/// Marks users' strings for one template.
pub(crate) struct Guard {
    /// The characters with which control tokens begin.
    starts: std::collections::BTreeSet<char>,
    /// Literals of the template that are harmless.
    literals: Vec<String>,
    control_texts: Vec<String>,
}

impl Guard {
    /// The string, marked.
    pub(crate) fn mark(&self, text: &str) -> String {
        let mut marked = String::with_capacity(text.len());
        let lead = text.len().saturating_sub(text.trim_start().len());
        let completes = self.may_complete_a_token(text.trim());
        for (at, character) in text.char_indices() {
            if character == MARK {
                marked.push(char::REPLACEMENT_CHARACTER);
                continue;
            }
            let begins = self.starts.contains(&character)
                && !self
                    .literals
                    .iter()
                    .any(|literal| text.get(at..).unwrap_or_default().starts_with(literal));
            if begins || (completes && at == lead) {
                marked.push(MARK);
            }
            marked.push(character);
        }
        marked
    }

    /// Whether the string, behind something that the template writes, could be the rest or the middle
    /// of a control token.
    fn may_complete_a_token(&self, text: &str) -> bool {
        !text.is_empty()
            && self.control_texts.iter().any(|control| {
                control.contains(text)
                    || control
                        .char_indices()
                        .skip(1)
                        .any(|(at, _)| text.starts_with(control.get(at..).unwrap_or_default()))
            })
    }
}

/// The string literals in a Jinja source: whatever stands in quotes. Prose between tags may yield false
/// ones, which do no harm: see [`Specials::guard`].
fn string_literals(source: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find(['\'', '"']) {
        let (quote, inner) = rest.split_at(start).1.split_at(1);
        let Some(end) = inner.find(quote) else { break };
        let (literal, after) = inner.split_at(end);
        if !literal.is_empty() && literal.len() <= LITERAL_BYTES_MAX && !literal.contains('\\') {
            literals.push(literal.to_owned());
        }
        rest = after.get(1..).unwrap_or_default();
    }
    literals.sort();
    literals.dedup();
    literals
}

/// Gemma's 6,000 special tokens have about 80 kB of text.
const SPECIAL_BYTES_MAX: usize = 512 * 1024;

/// The longest in use have some forty; the guard's work on a text grows with it.
const SPECIAL_TEXT_MAX: usize = 256;

/// Longer literals are prose, not markers.
const LITERAL_BYTES_MAX: usize = 64;
