//! An OpenAI-compatible endpoint on loopback, in front of a client.
