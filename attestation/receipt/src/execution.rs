//! What was actually executed: every parameter in force, and what came of it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::json_record;

/// The record behind a receipt's execution commitment. Its JSON text, written once by the enclave,
/// is what is committed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExecutionRecord {
    /// Version of this format: 1.
    pub version: u64,
    /// The operation, `chat.completions`, `completions` or `embeddings`.
    pub operation: String,
    /// The name of the model as the request gave it.
    pub model: String,
    /// Every generation parameter in force, those left to their default included; tools and schemas.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// The sampling seed, in decimal as text since it has 64 bits; null where nothing was sampled.
    pub seed: Option<String>,
    /// Tokens read and written; null where the request failed before they were counted.
    pub usage: Option<Usage>,
    /// Why each choice ended: `stop`, `length`, `cancelled`, `failed`.
    pub finish_reasons: Vec<String>,
    /// Code of the error that the client was told, where the request failed after admission.
    pub error: Option<String>,
}

json_record!(ExecutionRecord { version, operation, model, parameters, seed, usage, finish_reasons, error });

/// Token counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
}

json_record!(Usage { prompt_tokens, completion_tokens });
