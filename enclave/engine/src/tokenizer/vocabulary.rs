//! The tokens of a GGUF file: texts, kinds, and the ones with a meaning.

use std::collections::{BTreeSet, HashMap};

use crate::LoadError;
use crate::gguf::Metadata;

/// What a token is: `tokenizer.ggml.token_type`, enum `llama_token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The vocabulary. Every id that it yields is below its size.
pub(crate) struct Vocabulary {
    pub(super) texts: Vec<String>,
    pub(super) kinds: Vec<Kind>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unknown: Option<u32>,
    /// Tokens that end the answer.
    pub(super) ends: BTreeSet<u32>,
    pub(super) add_bos: Option<bool>,
    pub(super) add_eos: bool,
    by_text: HashMap<String, u32>,
}

impl Vocabulary {
    pub(super) fn read(metadata: &Metadata) -> Result<Self, LoadError> {
        let missing = |key: &str| LoadError::MetadataMissing { key: key.to_owned() };
        let key = "tokenizer.ggml.tokens";
        let texts = metadata.optional_strings(key)?.ok_or_else(|| missing(key))?.to_vec();
        let size = u32::try_from(texts.len()).ok().filter(|size| (1..=TOKENS_MAX).contains(size));
        let Some(size) = size else {
            let value = u64::try_from(texts.len()).unwrap_or(u64::MAX);
            return Err(LoadError::TooLarge { what: key.to_owned(), value, max: TOKENS_MAX.into() });
        };
        let kinds = read_kinds(metadata, texts.len())?;

        let mut by_text = HashMap::with_capacity(texts.len());
        for (id, text) in (0..size).zip(&texts) {
            if let Some(other) = by_text.insert(text.clone(), id)
                && !text.is_empty()
            {
                return Err(corrupt(format!("the tokens {other} and {id} are both {text:?}")));
            }
        }
        let special = |name: &str| -> Result<Option<u32>, LoadError> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            match metadata.optional_u32(&key)? {
                Some(id) if id >= size => Err(LoadError::MetadataValue {
                    key,
                    value: id.to_string(),
                    problem: "not a token of the vocabulary",
                }),
                other => Ok(other),
            }
        };
        let mut vocabulary = Self {
            bos: special("bos")?,
            eos: special("eos")?,
            unknown: special("unknown")?,
            ends: BTreeSet::new(),
            add_bos: metadata.optional_bool("tokenizer.ggml.add_bos_token")?,
            add_eos: metadata.optional_bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            texts,
            kinds,
            by_text,
        };
        let named = [vocabulary.eos, special("eot")?, special("eom")?];
        vocabulary.ends.extend(named.into_iter().flatten());
        for text in END_TEXTS {
            if let Some(id) = vocabulary.id(text)
                && matches!(vocabulary.kind(id), Kind::Control | Kind::UserDefined)
            {
                vocabulary.ends.insert(id);
            }
        }
        vocabulary
            .seal_control_tokens(metadata.optional_string("tokenizer.chat_template")?.unwrap_or_default());
        Ok(vocabulary)
    }

    /// Files exist in which `<|im_end|>` and the like are marked as ordinary or user-defined tokens.
    /// What begins or ends a sequence, and what the chat template divides its turns with, is control,
    /// whatever the file says, so that no user's text makes it.
    fn seal_control_tokens(&mut self, template: &str) {
        let divides = |text: &str| is_turn_mark(text) && template.contains(text);
        let marks = self.ids().filter(|(_, text, kind)| *kind == Kind::UserDefined && divides(text));
        let sealed: Vec<u32> =
            marks.map(|(id, _, _)| id).chain(self.ends.iter().copied()).chain(self.bos).collect();
        for id in sealed {
            if let Some(kind) = self.kinds.get_mut(index(id))
                && *kind != Kind::Unknown
            {
                *kind = Kind::Control;
            }
        }
    }

    pub(super) fn size(&self) -> u32 {
        u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = (u32, &str, Kind)> {
        (0..self.size())
            .zip(&self.texts)
            .zip(&self.kinds)
            .map(|((id, text), kind)| (id, text.as_str(), *kind))
    }

    /// The token with exactly this text.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    pub(super) fn text(&self, id: u32) -> &str {
        self.texts.get(index(id)).map_or("", String::as_str)
    }

    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(index(id)).copied().unwrap_or(Kind::Unused)
    }
}

/// Whether a token has one of the forms with which templates divide turns. Marks of another kind, such
/// as `<think>` or `<tool_call>`, are text that users and answers may contain.
fn is_turn_mark(text: &str) -> bool {
    let is_piped = text.len() > 4 && text.starts_with("<|") && text.ends_with("|>");
    is_piped || TURN_MARKS.contains(&text)
}

fn read_kinds(metadata: &Metadata, size: usize) -> Result<Vec<Kind>, LoadError> {
    let key = "tokenizer.ggml.token_type";
    let Some(numbers) = metadata.optional_integers(key)? else { return Ok(vec![Kind::Normal; size]) };
    if numbers.len() != size {
        return Err(corrupt(format!("{size} tokens have {} types", numbers.len())));
    }
    numbers
        .into_iter()
        .map(|number| match number {
            1 => Ok(Kind::Normal),
            2 => Ok(Kind::Unknown),
            3 => Ok(Kind::Control),
            4 => Ok(Kind::UserDefined),
            5 => Ok(Kind::Unused),
            6 => Ok(Kind::Byte),
            other => Err(corrupt(format!("{other} is not a token type"))),
        })
        .collect()
}

pub(super) fn corrupt(problem: String) -> LoadError {
    LoadError::Tokenizer { problem }
}

/// A token's id as an index.
pub(super) fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

/// The largest vocabularies in use have about 260,000.
const TOKENS_MAX: u32 = 2_000_000;

/// Tokens, other than those of the form `<|…|>`, that begin or end a turn in the templates of known
/// families.
const TURN_MARKS: [&str; 6] =
    ["<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"];

/// Texts of tokens that end an answer in the families we run, beside the one that the file names: chat
/// models often have two and name one.
const END_TEXTS: [&str; 8] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<EOT>",
];
