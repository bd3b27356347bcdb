//! What can go wrong while a model is loaded.

use thiserror::Error;

/// Why a model could not be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file could not be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Reading failed, or the file became shorter while it was read.
    #[error("cannot read the model: {source}")]
    Read {
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file does not begin with the GGUF magic.
    #[error("not a GGUF file: it begins with the bytes {found:02x?}")]
    NotGguf {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A GGUF version other than 2 and 3; big-endian files show as very large versions.
    #[error("GGUF version {version} is not supported, only 2 and 3 are")]
    UnsupportedVersion {
        /// The version in the file.
        version: u32,
    },
    /// The file ends too early.
    #[error("the file is truncated: {what} needs {needed} bytes and {available} are left")]
    Truncated {
        /// What was being read.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        available: u64,
    },
    /// A count or length beyond any real model.
    #[error("{what} is {value}, and at most {max} is accepted")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The value in the file.
        value: u64,
        /// The bound.
        max: u64,
    },
    /// The container's format is violated.
    #[error("malformed GGUF: {what}: {problem}")]
    Malformed {
        /// The part at fault.
        what: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A metadata key stands twice.
    #[error("the metadata key {key} stands twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A metadata entry is missing.
    #[error("the metadata lack {key}")]
    MetadataMissing {
        /// The key.
        key: String,
    },
    /// A metadata entry has the wrong type.
    #[error("the metadata entry {key} is {found}, not {expected}")]
    MetadataType {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A metadata entry has a value that cannot be.
    #[error("the metadata entry {key} is {value}: {problem}")]
    MetadataValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An architecture that this engine does not know.
    #[error("the architecture {name:?} is not supported; these are: {supported}")]
    UnsupportedArchitecture {
        /// `general.architecture`.
        name: String,
        /// The supported ones.
        supported: &'static str,
    },
    /// A feature of a known architecture that this engine lacks.
    #[error("the model needs {feature}, which is not supported")]
    UnsupportedFeature {
        /// The feature.
        feature: String,
    },
    /// A storage type that this engine does not compute with.
    #[error("the tensor {tensor} is stored as {found}, which is not supported")]
    UnsupportedQuantization {
        /// The tensor.
        tensor: String,
        /// The storage type.
        found: String,
    },
    /// Two tensors have one name.
    #[error("the tensor {name} stands twice")]
    DuplicateTensor {
        /// The tensor.
        name: String,
    },
    /// Two tensors share bytes.
    #[error("the tensor {name} overlaps another")]
    OverlappingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor is missing.
    #[error("the tensor {name} is missing")]
    TensorMissing {
        /// The tensor.
        name: String,
    },
    /// A tensor that the architecture does not have: ignoring it could change what the model computes.
    #[error("the tensor {name} is not part of this architecture")]
    TensorUnexpected {
        /// The tensor.
        name: String,
    },
    /// A tensor has the wrong shape.
    #[error("the tensor {name} has the shape {found:?}, not {expected:?}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// What the metadata imply, outermost dimension first.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// A tensor could not be prepared.
    #[error("the tensor {name} cannot be used: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What the tensor library said.
        problem: String,
    },
    /// The weights lead to numbers that are none.
    #[error("the weights are corrupt: {problem}")]
    Weights {
        /// What a trial computation came to.
        problem: String,
    },
    /// A tokenizer of an unknown kind.
    #[error("the tokenizer {found:?} is not supported ({key}); these are: {supported}")]
    UnsupportedTokenizer {
        /// `tokenizer.ggml.model` or `tokenizer.ggml.pre`.
        key: &'static str,
        /// Its value.
        found: String,
        /// The supported ones.
        supported: &'static str,
    },
    /// The tokenizer's tables contradict each other.
    #[error("the tokenizer is corrupt: {problem}")]
    Tokenizer {
        /// What is wrong.
        problem: String,
    },
    /// The chat template does not compile.
    #[error("the chat template does not compile: {problem}")]
    ChatTemplate {
        /// What the template engine said.
        problem: String,
    },
    /// A file of a checkpoint is not what it must be.
    #[error("the model's {file}: {problem}")]
    CheckpointFile {
        /// The file's name within the folder.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A file of an embedding model is not what it must be.
    #[error("the embedding model's {file}: {problem}")]
    EmbeddingFile {
        /// The file's name within the folder.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl LoadError {
    /// A stable word for logs and tests.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Read { .. } => "read",
            Self::NotGguf { .. } => "not-gguf",
            Self::UnsupportedVersion { .. } => "unsupported-version",
            Self::Truncated { .. } => "truncated",
            Self::TooLarge { .. } => "too-large",
            Self::Malformed { .. } => "malformed",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::MetadataMissing { .. } => "metadata-missing",
            Self::MetadataType { .. } => "metadata-type",
            Self::MetadataValue { .. } => "metadata-value",
            Self::UnsupportedArchitecture { .. } => "unsupported-architecture",
            Self::UnsupportedFeature { .. } => "unsupported-feature",
            Self::UnsupportedQuantization { .. } => "unsupported-quantization",
            Self::DuplicateTensor { .. } => "duplicate-tensor",
            Self::OverlappingTensor { .. } => "overlapping-tensor",
            Self::TensorMissing { .. } => "tensor-missing",
            Self::TensorUnexpected { .. } => "tensor-unexpected",
            Self::TensorShape { .. } => "tensor-shape",
            Self::Tensor { .. } => "tensor",
            Self::Weights { .. } => "weights",
            Self::UnsupportedTokenizer { .. } => "unsupported-tokenizer",
            Self::Tokenizer { .. } => "tokenizer",
            Self::ChatTemplate { .. } => "chat-template",
            Self::CheckpointFile { .. } => "checkpoint-file",
            Self::EmbeddingFile { .. } => "embedding-file",
        }
    }
}
