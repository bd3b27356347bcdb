//! Attested TLS, the local OpenAI proxy, and bundle assembly for relying parties.
