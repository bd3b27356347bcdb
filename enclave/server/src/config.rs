//! The measured configuration: who operates the enclave and within which bounds it works.
//!
//! One JSON document, read once at start. Its canonical form (every field, defaults included) is what
//! the boot statement's `configuration` digest covers and what the simulated measurement includes;
//! in a confidential VM the document comes from measured storage.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vouchsafe_engine::EngineOptions;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::strict_json::{self, Limits as JsonLimits};

use crate::ServeError;
use crate::settle::SettlementConfig;

const VERSION: u64 = 1;
const JSON: JsonLimits = JsonLimits { bytes_max: 65_535, depth_max: 8 };

/// The configuration of an enclave. Fields that a document leaves out have their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Version of this format: 1.
    pub version: u64,
    /// The operator's identity, as the boot statement repeats it.
    pub operator: Option<String>,
    /// Whether receipts settle into a log. Without one production policies refuse the enclave.
    pub settlement: SettlementConfig,
    /// Seconds until an epoch ends. A new one begins when half of them are over.
    pub epoch_seconds: u64,
    /// Bounds on everything that comes from outside.
    pub limits: Limits,
    /// The engine's bounds.
    pub engine: EngineConfig,
}

/// Bounds on everything that comes from outside. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions at the same time; further ones are closed at once.
    pub sessions_max: usize,
    /// From a connection's first byte to the end of its TLS handshake.
    pub handshake_ms_max: u64,
    /// Bytes of a request's line and headers.
    pub header_bytes_max: usize,
    /// From the end of one request, or of the handshake, to the end of the next one's headers.
    pub header_ms_max: u64,
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Bytes of all request bodies that are being read or executed.
    pub bodies_bytes_max: usize,
    /// From a request's headers to the end of its body.
    pub body_ms_max: u64,
    /// How long a client may take nothing of what is sent to it.
    pub write_stall_ms_max: u64,
    /// From a request's admission to the end of its answer.
    pub request_ms_max: u64,
    /// Choices (`n`), and prompts times choices, of one request.
    pub choices_max: usize,
    /// Texts in one embeddings request.
    pub embedding_inputs_max: usize,
    /// Embedding requests at the same time; further ones are refused.
    pub embedding_requests_max: usize,
    /// Least time between two reports for clients' challenges.
    pub challenge_interval_ms_min: u64,
    /// Challenges that wait for the next report; as many are answered by one.
    pub challenges_max: usize,
    /// Longest time between an event of a stream and a signed head that covers it.
    pub stream_head_ms_max: u64,
    /// Receipts kept for retrieval by token.
    pub receipts_kept_max: usize,
    /// Bytes of receipts and openings kept for retrieval by token.
    pub receipts_kept_bytes_max: usize,
    /// Receipts kept for the host until it acknowledges them. Without settlement the oldest are
    /// dropped beyond this.
    pub receipts_unacknowledged_max: usize,
    /// How long requests in progress get when the enclave is told to end.
    pub drain_ms_max: u64,
}

/// The engine's bounds, as [`EngineOptions`] documents them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Sequences that run at the same time.
    pub sequences_max: usize,
    /// Sequences that wait for a place.
    pub queue_max: usize,
    /// Tokens in the key-value caches of all running sequences.
    pub kv_tokens_max: usize,
    /// Prompt tokens that are read in one step.
    pub prefill_chunk: usize,
    /// Threads that compute; 0 means one per core.
    pub threads: usize,
    /// Use at most this many tokens of a model's context.
    pub context_tokens_max: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: VERSION,
            operator: None,
            settlement: SettlementConfig::None,
            epoch_seconds: 3600,
            limits: Limits::default(),
            engine: EngineConfig::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 1024,
            handshake_ms_max: 10_000,
            header_bytes_max: 32 * 1024,
            header_ms_max: 30_000,
            body_bytes_max: 4 * 1024 * 1024,
            bodies_bytes_max: 128 * 1024 * 1024,
            body_ms_max: 30_000,
            write_stall_ms_max: 30_000,
            request_ms_max: 600_000,
            choices_max: 8,
            embedding_inputs_max: 2048,
            embedding_requests_max: 4,
            challenge_interval_ms_min: 100,
            challenges_max: 1024,
            stream_head_ms_max: 1000,
            receipts_kept_max: 4096,
            receipts_kept_bytes_max: 32 * 1024 * 1024,
            receipts_unacknowledged_max: 4096,
            drain_ms_max: 30_000,
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        let EngineOptions { max_sequences, max_queue, kv_tokens_max, prefill_chunk, threads } =
            EngineOptions::default();
        Self {
            sequences_max: max_sequences,
            queue_max: max_queue,
            kv_tokens_max,
            prefill_chunk,
            threads,
            context_tokens_max: None,
        }
    }
}

impl Config {
    /// Parses a configuration document.
    ///
    /// # Errors
    /// [`ServeError::Config`]: malformed, an unknown field, or a value that cannot work.
    pub fn parse(json: &[u8]) -> Result<Self, ServeError> {
        let config: Self =
            strict_json::parse(json, JSON).map_err(|error| ServeError::Config(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// The canonical text: every field in order, defaults included.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Numbers, strings and options only: serialisation has no failing case.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of the canonical text: what the boot statement names.
    pub fn digest(&self, crypto: &dyn Crypto) -> [u8; 32] {
        crypto.sha256(&self.to_bytes())
    }

    /// Refuses values that would make the enclave useless or unbounded.
    ///
    /// # Errors
    /// [`ServeError::Config`], naming the field.
    pub fn check(&self) -> Result<(), ServeError> {
        if self.version != VERSION {
            return Err(ServeError::Config(format!("version {} is not known, {VERSION} is", self.version)));
        }
        self.settlement.check()?;
        let limits = &self.limits;
        let positive = [
            ("epoch_seconds", usize::try_from(self.epoch_seconds).unwrap_or(usize::MAX)),
            ("limits.sessions_max", limits.sessions_max),
            ("limits.body_bytes_max", limits.body_bytes_max),
            ("limits.choices_max", limits.choices_max),
            ("limits.embedding_inputs_max", limits.embedding_inputs_max),
            ("limits.embedding_requests_max", limits.embedding_requests_max),
            ("limits.challenges_max", limits.challenges_max),
            ("limits.receipts_kept_max", limits.receipts_kept_max),
            ("limits.receipts_unacknowledged_max", limits.receipts_unacknowledged_max),
            ("engine.sequences_max", self.engine.sequences_max),
        ];
        if let Some((name, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ServeError::Config(format!("{name} must not be 0")));
        }
        if limits.header_bytes_max < 8192 {
            // hyper's smallest buffer.
            return Err(ServeError::Config("limits.header_bytes_max must be at least 8192".into()));
        }
        if limits.bodies_bytes_max < limits.body_bytes_max {
            return Err(ServeError::Config("limits.bodies_bytes_max is less than body_bytes_max".into()));
        }
        Ok(())
    }
}

impl EngineConfig {
    /// The same in the engine's own type.
    pub fn options(&self) -> EngineOptions {
        EngineOptions {
            max_sequences: self.sequences_max,
            max_queue: self.queue_max,
            kv_tokens_max: self.kv_tokens_max,
            prefill_chunk: self.prefill_chunk,
            threads: self.threads,
        }
    }
}

/// A configured number of milliseconds.
pub(crate) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_verifier::crypto::Ring;

    #[test]
    fn an_empty_document_is_the_default_and_its_canonical_text_reads_back() {
        let config = Config::parse(b"{}").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(Config::parse(&config.to_bytes()).unwrap(), config);
    }

    #[test]
    fn every_change_changes_the_digest() {
        let base = Config::default().digest(&Ring);
        let changed = Config::parse(br#"{"limits":{"choices_max":3}}"#).unwrap();
        assert_ne!(changed.digest(&Ring), base);
        let spelled_out = Config::parse(br#"{"limits":{"choices_max":8},"version":1}"#).unwrap();
        assert_eq!(spelled_out.digest(&Ring), base, "a default spelled out is the same configuration");
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let table: [(&[u8], &str); 7] = [
            (br#"{"version":2}"#, "version 2"),
            (br#"{"limits":{"choice_max":3}}"#, "choice_max"),
            (br#"{"limits":{"sessions_max":0}}"#, "limits.sessions_max"),
            (br#"{"limits":{"header_bytes_max":100}}"#, "header_bytes_max"),
            (br#"{"limits":{"bodies_bytes_max":1}}"#, "bodies_bytes_max"),
            (br#"{"engine":{"sequences_max":0}}"#, "engine.sequences_max"),
            (br#"{"operator":"a","operator":"b"}"#, "duplicate key"),
        ];
        for (text, expected) in table {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
