//! `tokenizer.json`: byte-pair encoders, in the tables that a GGUF file has for them.
//!
//! Two kinds, as there: bytes written as letters (`ByteLevel`), and SentencePiece's with a token for each
//! byte that has no other (`byte_fallback`), whose merges' ranks become scores. Words are split by one of
//! the patterns that [`PreTokenizer`](crate::tokenizer) knows; another is refused. White space that a
//! control token would take from its surroundings (`lstrip`, `rstrip`) stays, as in GGUF files.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value as Json;

use super::figures::Entries;
use super::{CONFIG, Figures, JSON_BYTES_MAX, control, object, unsupported, wrong};
use crate::LoadError;
use crate::folder::Folder;
use crate::gguf::{Kind, Value};
use crate::tokenizer::{NORMALIZE_NFC, SPACE_SCHEME, pattern_name};

#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Json>,
    pre_tokenizer: Option<Json>,
    post_processor: Option<Json>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    special: bool,
    #[serde(default)]
    single_word: bool,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    dropout: Option<f64>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl Merge {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Line(line) => line.split_once(' '),
            Self::Pair(left, right) => Some((left, right)),
        }
    }
}

/// Reads the tokenizer's files and adds their tables.
pub(super) fn add(folder: &mut Folder, config: &Figures<'_>, entries: &mut Entries) -> Result<(), LoadError> {
    let bytes = folder.required(TOKENIZER, JSON_BYTES_MAX)?;
    let kind = object(TOKENIZER, &bytes)?;
    let kind = kind.get("model").and_then(|model| model.get("type")).and_then(Json::as_str);
    if kind.is_some_and(|kind| kind != "BPE") {
        let found = kind.unwrap_or_default().to_owned();
        return Err(LoadError::UnsupportedTokenizer {
            key: "tokenizer.json: model.type",
            found,
            supported: "BPE",
        });
    }
    let file: TokenizerFile =
        serde_json::from_slice(&bytes).map_err(|error| wrong(TOKENIZER, error.to_string()))?;
    refuse_unsupported(&file)?;
    if file.model.byte_fallback {
        sentence_piece(&file, entries)?;
    } else {
        byte_level(&file, entries)?;
    }
    let texts = texts(&file, config.integer("vocab_size")?, entries)?;
    control::add(folder, config, file.post_processor.as_ref(), &texts, entries)
}

fn refuse_unsupported(file: &TokenizerFile) -> Result<(), LoadError> {
    let model = &file.model;
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(unsupported("merges that are left out at random"));
    }
    for part in [&model.continuing_subword_prefix, &model.end_of_word_suffix] {
        if part.as_deref().is_some_and(|part| !part.is_empty()) {
            return Err(unsupported(format!("a tokenizer that marks parts of words with {part:?}")));
        }
    }
    match file.added_tokens.iter().find(|token| token.single_word) {
        Some(token) => {
            Err(unsupported(format!("the token {:?}, which is one as a word alone", token.content)))
        }
        None => Ok(()),
    }
}

/// Texts and kinds of all tokens; numbers that the tokenizer leaves free become unused tokens.
fn texts(file: &TokenizerFile, size: u64, entries: &mut Entries) -> Result<BTreeMap<String, u32>, LoadError> {
    let size = usize::try_from(size).ok().filter(|size| *size <= TOKENS_MAX);
    let size = size.ok_or_else(|| wrong(CONFIG, "vocab_size is out of range"))?;
    let mut texts: Vec<Option<(&str, i32)>> = vec![None; size];
    let mut put = |id: u32, text, kind| {
        let place = texts.get_mut(usize::try_from(id).unwrap_or(usize::MAX));
        let place = place.ok_or_else(|| wrong(TOKENIZER, format!("the token {id} is beyond vocab_size")))?;
        if place.is_some_and(|(other, _)| other != text) {
            return Err(wrong(TOKENIZER, format!("two tokens have the number {id}")));
        }
        *place = Some((text, kind));
        Ok(())
    };
    let is_byte = |text: &str| {
        let digits = text.strip_prefix("<0x").and_then(|text| text.strip_suffix('>'));
        digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
    };
    for (text, id) in &file.model.vocab {
        let kind = if file.model.byte_fallback && is_byte(text) { BYTE } else { NORMAL };
        put(*id, text, kind)?;
    }
    for token in &file.added_tokens {
        let unknown = file.model.unk_token.as_ref() == Some(&token.content);
        let kind = if unknown {
            UNKNOWN
        } else if token.special {
            CONTROL
        } else {
            USER_DEFINED
        };
        put(token.id, &token.content, kind)?;
    }
    let filled: Vec<(String, i32)> = (0..size)
        .zip(texts)
        .map(|(id, text)| {
            text.map_or_else(|| (format!("[PAD{id}]"), UNUSED), |(text, kind)| (text.to_owned(), kind))
        })
        .collect();
    let kinds = filled.iter().flat_map(|(_, kind)| kind.to_le_bytes()).collect();
    entries.set("tokenizer.ggml.token_type", Value::Numbers { kind: Kind::I32, bytes: kinds });
    let names: Vec<String> = filled.into_iter().map(|(text, _)| text).collect();
    let by_text: BTreeMap<String, u32> = (0..).zip(&names).map(|(id, text)| (text.clone(), id)).collect();
    if let Some(id) = file.model.unk_token.as_ref().and_then(|text| by_text.get(text)) {
        entries.set("tokenizer.ggml.unknown_token_id", Value::Integer((*id).into()));
    }
    if file.model.byte_fallback {
        let scores = scores(&file.model);
        let scores = names.iter().map(|text| scores.get(text).copied().unwrap_or(f32::NEG_INFINITY));
        let bytes = scores.flat_map(f32::to_le_bytes).collect();
        entries.set("tokenizer.ggml.scores", Value::Numbers { kind: Kind::F32, bytes });
    }
    entries.set("tokenizer.ggml.tokens", Value::Strings(names));
    Ok(by_text)
}

/// SentencePiece merges into the token with the best score: that of the earliest merge that makes it.
/// What no merge makes has none.
fn scores(model: &Model) -> HashMap<String, f32> {
    let mut scores = HashMap::new();
    let mut rank = 0.0_f32;
    for merge in &model.merges {
        if let Some((left, right)) = merge.parts() {
            // Exact up to 2^24: several times the largest vocabularies.
            scores.entry(format!("{left}{right}")).or_insert_with(|| {
                rank += 1.0;
                -rank
            });
        }
    }
    scores
}

fn byte_level(file: &TokenizerFile, entries: &mut Entries) -> Result<(), LoadError> {
    match type_of(file.normalizer.as_ref()) {
        None => {}
        Some("NFC") => entries.set(NORMALIZE_NFC, Value::Bool(true)),
        Some(other) => return Err(unsupported(format!("the normaliser {other:?}"))),
    }
    let steps = sequence(file.pre_tokenizer.as_ref(), "pretokenizers");
    let plain = |step: &Json| {
        type_of(Some(step)) == Some("ByteLevel") && step.get("add_prefix_space") == Some(&Json::Bool(false))
    };
    let Some((_, before)) = steps.split_last().filter(|(last, _)| plain(last)) else {
        return Err(unsupported("a tokenizer whose last step is not plain ByteLevel"));
    };
    let own_pattern =
        steps.last().and_then(|last| last.get("use_regex")).and_then(Json::as_bool).unwrap_or(true);
    let mut patterns = Vec::new();
    for step in before {
        match type_of(Some(step)) {
            Some("Split") if step.get("behavior").and_then(Json::as_str) == Some("Isolated") => {
                let pattern =
                    step.get("pattern").and_then(|pattern| pattern.get("Regex")).and_then(Json::as_str);
                patterns.push(pattern.ok_or_else(|| unsupported(format!("splitting by {step}")))?);
            }
            Some("Digits") if step.get("individual_digits") == Some(&Json::Bool(true)) => {
                patterns.push(DIGITS)
            }
            _ => return Err(unsupported(format!("the splitting step {step}"))),
        }
    }
    if own_pattern {
        patterns.push(BYTE_LEVEL);
    }
    let name = pattern_name(&patterns, file.model.ignore_merges)
        .ok_or_else(|| unsupported(format!("splitting words by {patterns:?}")))?;
    entries.set("tokenizer.ggml.model", Value::String("gpt2".to_owned()));
    entries.set("tokenizer.ggml.pre", Value::String(name.to_owned()));
    let lines = file.model.merges.iter().map(|merge| {
        let (left, right) = merge.parts().ok_or_else(|| wrong(TOKENIZER, "a merge is not of two tokens"))?;
        Ok(format!("{left} {right}"))
    });
    entries.set("tokenizer.ggml.merges", Value::Strings(lines.collect::<Result<_, LoadError>>()?));
    Ok(())
}

fn sentence_piece(file: &TokenizerFile, entries: &mut Entries) -> Result<(), LoadError> {
    let mut prefix = false;
    for step in sequence(file.normalizer.as_ref(), "normalizers") {
        let content = step.get("content").or_else(|| step.get("prepend")).and_then(Json::as_str);
        match type_of(Some(step)) {
            Some("Prepend") if content == Some(SPACE) => prefix = true,
            Some("Replace") if content == Some(SPACE) => {}
            _ => return Err(unsupported(format!("the normaliser {step}"))),
        }
    }
    for step in sequence(file.pre_tokenizer.as_ref(), "pretokenizers") {
        let scheme = step.get("prepend_scheme").and_then(Json::as_str);
        match (type_of(Some(step)), scheme) {
            (Some("Metaspace"), Some("never")) if is_whole(step) => {}
            (Some("Metaspace"), Some(scheme @ ("always" | "first"))) if is_whole(step) => {
                prefix = true;
                entries.set(SPACE_SCHEME, Value::String(scheme.to_owned()));
            }
            // Gemma's, which finds nothing: spaces have been replaced before.
            (Some("Split"), _) if step.pointer("/pattern/String").and_then(Json::as_str) == Some(" ") => {}
            _ => return Err(unsupported(format!("the splitting step {step}"))),
        }
    }
    entries.set("tokenizer.ggml.model", Value::String("llama".to_owned()));
    entries.set("tokenizer.ggml.add_space_prefix", Value::Bool(prefix));
    Ok(())
}

/// Whether a step leaves text in one piece.
fn is_whole(step: &Json) -> bool {
    step.get("split") == Some(&Json::Bool(false))
}

/// The `type` of a step; `None` where there is none.
pub(super) fn type_of(step: Option<&Json>) -> Option<&str> {
    step?.get("type")?.as_str()
}

/// The steps of a sequence, or the one step itself.
pub(super) fn sequence<'a>(step: Option<&'a Json>, member: &str) -> &'a [Json] {
    match step {
        None | Some(Json::Null) => &[],
        Some(step) if type_of(Some(step)) == Some("Sequence") => {
            step.get(member).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
        }
        Some(step) => std::slice::from_ref(step),
    }
}

const TOKENIZER: &str = "tokenizer.json";

/// What SentencePiece writes for a space.
const SPACE: &str = "\u{2581}";

/// A step without a pattern of its own, and the pattern that `ByteLevel` has.
const DIGITS: &str = r"\p{N}";
const BYTE_LEVEL: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The largest vocabularies in use have about 260,000.
const TOKENS_MAX: usize = 2_000_000;

// Kinds of tokens: enum `llama_token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;
