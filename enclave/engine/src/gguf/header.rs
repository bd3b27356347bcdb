//! The front of the file: metadata and the tensor directory.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};

use super::reader::{DigestingReader, digest};
use super::tensors::TensorInfo;
use super::value::{Value, ValueReader, decode};
use crate::LoadError;

/// What stands before the tensors' data.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: Metadata,
    /// In the directory's order.
    pub(crate) tensors: Vec<TensorInfo>,
    /// Where the tensors' data begins: the reader has just arrived there.
    pub(crate) data_offset: u64,
    /// See [`crate::ModelIdentity::tokenizer_sha256`].
    pub(crate) tokenizer_sha256: [u8; 32],
    /// See [`crate::ModelIdentity::chat_template_sha256`].
    pub(crate) chat_template_sha256: Option<[u8; 32]>,
}

impl Header {
    /// Reads the header and the padding after it.
    pub(crate) fn read(reader: &mut DigestingReader<'_>) -> Result<Self, LoadError> {
        let magic: [u8; 4] = match reader.read_array("the magic") {
            Err(LoadError::Truncated { .. }) => return Err(LoadError::NotGguf { found: [0; 4] }),
            other => other?,
        };
        if &magic != b"GGUF" {
            return Err(LoadError::NotGguf { found: magic });
        }
        let version = u32::from_le_bytes(reader.read_array("the version")?);
        if version != 2 && version != 3 {
            return Err(LoadError::UnsupportedVersion { version });
        }
        let tensor_count = count(reader, "the number of tensors", TENSORS_MAX)?;
        let entry_count = count(reader, "the number of metadata entries", ENTRIES_MAX)?;

        let mut entries = BTreeMap::new();
        let mut tokenizer = Context::new(&SHA256);
        let mut chat_template = None;
        for _ in 0..entry_count {
            let (key, value) = read_entry(reader, &mut tokenizer, &mut chat_template)?;
            if entries.contains_key(&key) {
                return Err(LoadError::DuplicateKey { key });
            }
            entries.insert(key, value);
        }
        let metadata = Metadata { entries };

        let alignment = metadata.optional_u32("general.alignment")?.unwrap_or(ALIGNMENT_DEFAULT);
        if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
            return Err(LoadError::MetadataValue {
                key: "general.alignment".to_owned(),
                value: alignment.to_string(),
                problem: "not a power of two up to 65536",
            });
        }
        let alignment = u64::from(alignment);

        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(TensorInfo::read(reader, alignment)?);
        }
        let data_offset = reader.position().next_multiple_of(alignment);
        if !tensors.is_empty() {
            reader.skip(data_offset.saturating_sub(reader.position()), "the padding after the header")?;
        }
        Ok(Self {
            metadata,
            tensors,
            data_offset,
            tokenizer_sha256: digest(tokenizer),
            chat_template_sha256: chat_template.map(digest),
        })
    }
}

fn count(reader: &mut DigestingReader<'_>, what: &str, max: u64) -> Result<u64, LoadError> {
    let value = u64::from_le_bytes(reader.read_array(what)?);
    if value > max {
        return Err(LoadError::TooLarge { what: what.to_owned(), value, max });
    }
    Ok(value)
}

fn read_entry(
    reader: &mut DigestingReader<'_>,
    tokenizer: &mut Context,
    chat_template: &mut Option<Context>,
) -> Result<(String, Value), LoadError> {
    let what = "a metadata key".to_owned();
    let length: [u8; 8] = reader.read_array(&what)?;
    let length_value = u64::from_le_bytes(length);
    if length_value > KEY_BYTES_MAX {
        return Err(LoadError::TooLarge { what, value: length_value, max: KEY_BYTES_MAX });
    }
    let bytes = reader.read_vec(length_value, &what)?;
    let key = String::from_utf8(bytes)
        .map_err(|_| LoadError::Malformed { what, problem: "text that is not UTF-8" })?;

    // The tap sees the entry from its first byte, so the key that was just read goes in first.
    let tap = if key.starts_with("tokenizer.ggml.") {
        Some(tokenizer)
    } else if key == "tokenizer.chat_template" {
        Some(chat_template.insert(Context::new(&SHA256)))
    } else {
        None
    };
    let mut values = ValueReader { reader, tap, what: format!("the value of {key}") };
    if let Some(tap) = &mut values.tap {
        tap.update(&length);
        tap.update(key.as_bytes());
    }
    let value = values.read_value()?;
    Ok((key, value))
}

/// The metadata, by key.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    entries: BTreeMap<String, Value>,
}

impl Metadata {
    /// Of a model that has the same to say in another format.
    pub(crate) fn new(entries: BTreeMap<String, Value>) -> Self {
        Self { entries }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(crate) fn string(&self, key: &str) -> Result<&str, LoadError> {
        self.optional_string(key)?.ok_or_else(|| missing(key))
    }

    pub(crate) fn optional_string(&self, key: &str) -> Result<Option<&str>, LoadError> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(key, "a string", other)),
        }
    }

    pub(crate) fn optional_u32(&self, key: &str) -> Result<Option<u32>, LoadError> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) => {
                u32::try_from(*value).map(Some).map_err(|_| LoadError::MetadataValue {
                    key: key.to_owned(),
                    value: value.to_string(),
                    problem: "not a number of 32 bits",
                })
            }
            Some(other) => Err(wrong_type(key, "an integer", other)),
        }
    }

    pub(crate) fn optional_f32(&self, key: &str) -> Result<Option<f32>, LoadError> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Float(value)) if value.is_finite() =>
            {
                #[allow(clippy::as_conversions, reason = "rounds, as a float parameter may")]
                Ok(Some(*value as f32))
            }
            Some(Value::Float(value)) => Err(LoadError::MetadataValue {
                key: key.to_owned(),
                value: value.to_string(),
                problem: "not finite",
            }),
            Some(other) => Err(wrong_type(key, "a float", other)),
        }
    }

    pub(crate) fn optional_bool(&self, key: &str) -> Result<Option<bool>, LoadError> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong_type(key, "a boolean", other)),
        }
    }

    pub(crate) fn optional_strings(&self, key: &str) -> Result<Option<&[String]>, LoadError> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(Value::Strings(strings)) => Ok(Some(strings)),
            // An empty array may be declared with any type.
            Some(Value::Numbers { bytes, .. }) if bytes.is_empty() => Ok(Some(&[])),
            Some(other) => Err(wrong_type(key, "an array of strings", other)),
        }
    }

    pub(crate) fn optional_integers(&self, key: &str) -> Result<Option<Vec<i64>>, LoadError> {
        self.optional_numbers(key, "an array of integers", |value| match value {
            Value::Integer(value) => i64::try_from(value).ok(),
            _ => None,
        })
    }

    pub(crate) fn optional_floats(&self, key: &str) -> Result<Option<Vec<f32>>, LoadError> {
        self.optional_numbers(key, "an array of floats", |value| match value {
            #[allow(clippy::as_conversions, reason = "rounds, as a float parameter may")]
            Value::Float(value) => Some(value as f32),
            _ => None,
        })
    }

    fn optional_numbers<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, LoadError> {
        let (kind, bytes) = match self.entries.get(key) {
            None => return Ok(None),
            Some(Value::Numbers { kind, bytes }) => (*kind, bytes),
            Some(other) => return Err(wrong_type(key, expected, other)),
        };
        let numbers: Option<Vec<T>> =
            bytes.chunks_exact(kind.width()).map(|bytes| decode(kind, bytes).and_then(&convert)).collect();
        match numbers {
            Some(numbers) => Ok(Some(numbers)),
            None => Err(LoadError::MetadataType {
                key: key.to_owned(),
                expected,
                found: "an array of other numbers",
            }),
        }
    }
}

fn missing(key: &str) -> LoadError {
    LoadError::MetadataMissing { key: key.to_owned() }
}

fn wrong_type(key: &str, expected: &'static str, found: &Value) -> LoadError {
    LoadError::MetadataType { key: key.to_owned(), expected, found: found.kind_name() }
}

/// The specification's limit on keys.
const KEY_BYTES_MAX: u64 = 65_535;

/// Files in use have about fifty.
const ENTRIES_MAX: u64 = 4096;

/// A dense model of 100 layers has about 1200.
const TENSORS_MAX: u64 = 65_536;

/// The specification's default.
const ALIGNMENT_DEFAULT: u32 = 32;

/// More would only waste space.
const ALIGNMENT_MAX: u32 = 65_536;
