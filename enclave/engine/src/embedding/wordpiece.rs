//! BERT's tokenizer, from `tokenizer.json` or, where that is absent, from `vocab.txt`.
//!
//! The pieces are the crate `tokenizers`'; the pipeline is ours, so that a file cannot bring in parts
//! that nobody looked at, and `[SEP]` in a text is text.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::tokenizer::{
    Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::settings::{JSON_BYTES_MAX, Settings, optional_json, parse, wrong};
use crate::folder::Folder;
use crate::{EmbedError, LoadError};

pub(super) struct WordPieceTokenizer {
    normalizer: BertNormalizer,
    model: WordPiece,
    first: u32,
    last: u32,
}

#[derive(Deserialize)]
struct TokenizerFile {
    normalizer: NormalizerPart,
    pre_tokenizer: Typed,
    model: ModelPart,
}

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

#[derive(Deserialize)]
struct NormalizerPart {
    r#type: String,
    clean_text: bool,
    handle_chinese_chars: bool,
    strip_accents: Option<bool>,
    lowercase: bool,
}

#[derive(Deserialize)]
struct ModelPart {
    r#type: Option<String>,
    vocab: BTreeMap<String, u32>,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
}

#[derive(Default, Deserialize)]
struct TokenizerConfigFile {
    do_lower_case: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
}

impl WordPieceTokenizer {
    pub(super) fn read(folder: &mut Folder, settings: &Settings) -> Result<Self, LoadError> {
        let (file, tokenizer) = match folder.optional(JSON, JSON_BYTES_MAX)? {
            Some(bytes) => (JSON, parse(JSON, &bytes)?),
            None => (VOCABULARY, from_vocabulary(folder)?),
        };
        Self::new(file, tokenizer, settings)
    }

    fn new(file: &'static str, parts: TokenizerFile, settings: &Settings) -> Result<Self, LoadError> {
        for (found, expected) in [
            (parts.normalizer.r#type.as_str(), "BertNormalizer"),
            (parts.pre_tokenizer.r#type.as_str(), "BertPreTokenizer"),
            (parts.model.r#type.as_deref().unwrap_or("WordPiece"), "WordPiece"),
        ] {
            if found != expected {
                return Err(wrong(file, format!("{found:?} is not supported, only {expected:?}")));
            }
        }
        let model = parts.model;
        let vocabulary = u32::try_from(settings.vocabulary).unwrap_or(u32::MAX);
        if let Some((text, id)) = model.vocab.iter().find(|(_, id)| **id >= vocabulary) {
            return Err(wrong(file, format!("the token {text:?} has the id {id}, beyond the vocabulary")));
        }
        let special = |text: &str| {
            let id = model.vocab.get(text).copied();
            id.ok_or_else(|| wrong(file, format!("the vocabulary lacks {text:?}")))
        };
        let (first, last) = (special("[CLS]")?, special("[SEP]")?);
        special(&model.unk_token)?;
        let lines = lines_by_id(&model.vocab).ok_or_else(|| wrong(file, "two tokens have one id"))?;
        let build = || {
            WordPiece::builder()
                .vocab(WordPiece::read_bytes(lines.as_bytes())?)
                .unk_token(model.unk_token.clone())
                .continuing_subword_prefix(model.continuing_subword_prefix.clone())
                .max_input_chars_per_word(model.max_input_chars_per_word.min(WORD_CHARS_MAX))
                .build()
        };
        let model = build().map_err(|error| wrong(file, error.to_string()))?;
        let normal = parts.normalizer;
        let normalizer = BertNormalizer::new(
            normal.clean_text,
            normal.handle_chinese_chars,
            normal.strip_accents,
            normal.lowercase,
        );
        Ok(Self { normalizer, model, first, last })
    }

    /// The text's tokens between `[CLS]` and `[SEP]`, cut to `tokens_max` in all.
    pub(super) fn encode(&self, text: &str, tokens_max: usize) -> Result<Vec<u32>, EmbedError> {
        let room = room(tokens_max);
        let body = self.body(text, room).map_err(|error| EmbedError::Computation(error.to_string()))?;
        Ok(self.enclose(body, tokens_max))
    }

    /// Tokens between `[CLS]` and `[SEP]`, cut to `tokens_max` in all.
    pub(super) fn enclose(&self, body: impl IntoIterator<Item = u32>, tokens_max: usize) -> Vec<u32> {
        let mut tokens = vec![self.first];
        tokens.extend(body.into_iter().take(room(tokens_max)));
        tokens.push(self.last);
        tokens
    }

    fn body(&self, text: &str, enough: usize) -> tokenizers::Result<Vec<u32>> {
        let mut normalized = NormalizedString::from(text);
        self.normalizer.normalize(&mut normalized)?;
        let mut words = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut words)?;
        let mut tokens = Vec::new();
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            if tokens.len() >= enough {
                break;
            }
            tokens.extend(self.model.tokenize(word)?.into_iter().map(|token| token.id));
        }
        Ok(tokens)
    }
}

/// How many tokens of a text there is room for.
fn room(tokens_max: usize) -> usize {
    tokens_max.saturating_sub(2)
}

fn from_vocabulary(folder: &mut Folder) -> Result<TokenizerFile, LoadError> {
    let bytes = folder.required(VOCABULARY, JSON_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(VOCABULARY, "text that is not UTF-8"))?;
    let config: TokenizerConfigFile = optional_json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let vocab = (0_u32..).zip(text.lines()).map(|(id, line)| (line.trim_end().to_owned(), id)).collect();
    Ok(TokenizerFile {
        normalizer: NormalizerPart {
            r#type: "BertNormalizer".to_owned(),
            clean_text: true,
            handle_chinese_chars: config.tokenize_chinese_chars.unwrap_or(true),
            strip_accents: config.strip_accents,
            lowercase: config.do_lower_case.unwrap_or(true),
        },
        pre_tokenizer: Typed { r#type: "BertPreTokenizer".to_owned() },
        model: ModelPart {
            r#type: None,
            vocab,
            unk_token: "[UNK]".to_owned(),
            continuing_subword_prefix: "##".to_owned(),
            max_input_chars_per_word: WORD_CHARS_MAX,
        },
    })
}

/// The vocabulary as a file of lines, which is the form that the model takes without naming its hash
/// map's type. Ids that no token has become lines that no word equals.
fn lines_by_id(vocabulary: &BTreeMap<String, u32>) -> Option<String> {
    let by_id: BTreeMap<u32, &str> = vocabulary.iter().map(|(text, id)| (*id, text.as_str())).collect();
    if by_id.len() != vocabulary.len() {
        return None;
    }
    let end = by_id.last_key_value().map_or(0, |(id, _)| id.saturating_add(1));
    let mut lines = String::new();
    for id in 0..end {
        match by_id.get(&id) {
            Some(text) => lines.push_str(text),
            None => lines.push_str(&format!("[no token {id}]")),
        }
        lines.push('\n');
    }
    Some(lines)
}

const JSON: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.txt";

/// BERT's own limit: longer words are unknown.
const WORD_CHARS_MAX: usize = 100;
