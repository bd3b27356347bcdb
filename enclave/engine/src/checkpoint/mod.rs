//! Models as their authors publish them: a folder with `config.json`, `tokenizer.json` and the weights in
//! `model.safetensors`, or in several files that `model.safetensors.index.json` lists.
//!
//! The folder is read as if it were the GGUF file that llama.cpp's converter would make of it: this module
//! gives figures, tokenizer and tensors the names that they have there, and everything behind it is one code.
//! Weights are F32, F16 or BF16 and stay so; quantised checkpoints are refused. Every file is read once,
//! whole, into private memory, and digested on the way.
//!
//! Read are also, where they are there: `generation_config.json`, `tokenizer_config.json`,
//! `chat_template.jinja`. What a configuration asks for and this engine does not do is refused by name.
//!
//! Formats: the `safetensors` crate's for weights, Hugging Face `transformers` 4 and 5 for configurations,
//! `tokenizers` for tokenizers.

mod control;
mod figures;
mod rope;
mod shards;
mod tensors;
mod tokenizer;

use std::path::Path;

use serde_json::{Map, Value};

pub(crate) use self::shards::Shards;
pub(crate) use self::tensors::Arrangement;
use crate::LoadError;
use crate::folder::Folder;
use crate::gguf::Metadata;

/// A folder whose small files have been read.
pub(crate) struct Checkpoint {
    /// What a GGUF file's metadata would say.
    pub(crate) metadata: Metadata,
    pub(crate) shards: Shards,
    /// How the tensors become a GGUF file's.
    pub(crate) arrangement: Arrangement,
}

impl Checkpoint {
    /// Reads the configuration and the tokenizer, and the directories of the weights.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let mut folder = Folder::open(path);
        let config = object(CONFIG, &folder.required(CONFIG, JSON_BYTES_MAX)?)?;
        let name = path.file_name().map_or_else(|| "unnamed".into(), |name| name.to_string_lossy());
        let mut entries = figures::entries(&Figures::new(&config), &name)?;
        tokenizer::add(&mut folder, &Figures::new(&config), &mut entries)?;
        let metadata = Metadata::new(entries.into_map());
        let arrangement = Arrangement::of(&Figures::new(&config), &metadata)?;
        let shards = Shards::open(folder)?;
        Ok(Self { metadata, shards, arrangement })
    }
}

/// A JSON object's members, each asked for by the type that it must have.
#[derive(Clone, Copy)]
struct Figures<'a> {
    object: &'a Map<String, Value>,
}

impl<'a> Figures<'a> {
    fn new(object: &'a Map<String, Value>) -> Self {
        Self { object }
    }

    /// The member, where it is there and not `null`.
    fn get(self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn optional<T>(
        self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, LoadError> {
        self.get(name)
            .map(|value| read(value).ok_or_else(|| wrong(CONFIG, format!("{name} is not {kind}"))))
            .transpose()
    }

    fn optional_integer(self, name: &str) -> Result<Option<u64>, LoadError> {
        self.optional(name, "a whole number", Value::as_u64)
    }

    fn integer(self, name: &str) -> Result<u64, LoadError> {
        self.optional_integer(name)?.ok_or_else(|| missing(name))
    }

    fn optional_float(self, name: &str) -> Result<Option<f64>, LoadError> {
        self.optional(name, "a number", Value::as_f64)
    }

    fn float(self, name: &str) -> Result<f64, LoadError> {
        self.optional_float(name)?.ok_or_else(|| missing(name))
    }

    fn optional_string(self, name: &str) -> Result<Option<&'a str>, LoadError> {
        self.optional(name, "a string", Value::as_str)
    }

    fn optional_bool(self, name: &str) -> Result<Option<bool>, LoadError> {
        self.optional(name, "a boolean", Value::as_bool)
    }

    fn optional_object(self, name: &str) -> Result<Option<Figures<'a>>, LoadError> {
        self.optional(name, "an object", |value| value.as_object().map(Figures::new))
    }

    fn optional_array(self, name: &str) -> Result<Option<&'a [Value]>, LoadError> {
        self.optional(name, "an array", |value| value.as_array().map(Vec::as_slice))
    }
}

fn object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>, LoadError> {
    serde_json::from_slice(bytes).map_err(|error| wrong(file, error.to_string()))
}

fn wrong(file: &str, problem: impl Into<String>) -> LoadError {
    LoadError::CheckpointFile { file: file.to_owned(), problem: problem.into() }
}

fn missing(name: &str) -> LoadError {
    wrong(CONFIG, format!("it lacks {name}"))
}

fn unsupported(feature: impl Into<String>) -> LoadError {
    LoadError::UnsupportedFeature { feature: feature.into() }
}

const CONFIG: &str = "config.json";

/// The largest is a tokenizer's, with a few tens of megabytes.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
