//! The enclave program: TLS sessions, the OpenAI-compatible API, and the receipt issuer.
