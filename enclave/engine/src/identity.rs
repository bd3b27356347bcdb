//! What a receipt says about the model and the engine.

use serde::Serialize;

use crate::FileDigest;

/// Which model runs: digests of the bytes that were loaded, and its main figures.
///
/// Made by loading a model, and only so. Digests serialise as lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelIdentity {
    pub(crate) name: String,
    pub(crate) architecture: String,
    pub(crate) quantization: String,
    pub(crate) parameters: u64,
    pub(crate) context_length: u32,
    pub(crate) vocabulary: u32,
    pub(crate) file_bytes: u64,
    pub(crate) files: Vec<FileDigest>,
    #[serde(serialize_with = "hex_option")]
    pub(crate) tokenizer_sha256: Option<[u8; 32]>,
    #[serde(serialize_with = "hex_option")]
    pub(crate) chat_template_sha256: Option<[u8; 32]>,
}

impl ModelIdentity {
    /// `general.name` of the file, or the name that the caller gave when loading.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `general.architecture`, such as `llama`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The storage type that holds most of the weights, such as `Q4_K`.
    #[must_use]
    pub fn quantization(&self) -> &str {
        &self.quantization
    }

    /// How many weights there are.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The longest sequence in tokens, prompt and answer together.
    #[must_use]
    pub fn context_length(&self) -> u32 {
        self.context_length
    }

    /// How many tokens the vocabulary has.
    #[must_use]
    pub fn vocabulary(&self) -> u32 {
        self.vocabulary
    }

    /// The length of the files with the weights, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Every file that was read, in ascending order of path: one, for GGUF.
    #[must_use]
    pub fn files(&self) -> &[FileDigest] {
        &self.files
    }

    /// SHA-256 of the GGUF metadata entries whose key starts with `tokenizer.ggml.`, concatenated in
    /// file order, each exactly as its bytes stand in the file: key length and key, value type, value.
    /// `None` where the tokenizer has files of its own.
    #[must_use]
    pub fn tokenizer_sha256(&self) -> Option<&[u8; 32]> {
        self.tokenizer_sha256.as_ref()
    }

    /// The same of the one entry `tokenizer.chat_template`; `None` where the file has none.
    #[must_use]
    pub fn chat_template_sha256(&self) -> Option<&[u8; 32]> {
        self.chat_template_sha256.as_ref()
    }
}

/// Which engine runs. Two runs with the same kernels on the same weights, prompt, parameters and seed
/// give the same tokens: see the crate's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EngineVersion {
    /// The engine's name.
    pub name: &'static str,
    /// The engine's version.
    pub version: &'static str,
    /// The arithmetic kernels and their version: changes whenever a result's bits may.
    pub kernels: &'static str,
}

impl EngineVersion {
    /// This build's version.
    pub const CURRENT: Self = Self {
        name: "vouchsafe-engine",
        version: env!("CARGO_PKG_VERSION"),
        kernels: crate::kernels::VERSION,
    };
}

impl std::fmt::Display for EngineVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{} ({})", self.name, self.version, self.kernels)
    }
}

pub(crate) fn hex<S: serde::Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_hex(digest))
}

fn hex_option<S: serde::Serializer>(digest: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => hex(digest, serializer),
        None => serializer.serialize_none(),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
