//! The server over in-memory streams: a client's TLS and HTTP on one side, a scripted model on the
//! other, and every receipt checked with the receipt crate.

mod attestation;
mod bounds;
mod chat;
mod client;
mod model;
mod refusals;
mod responses;
mod settle;
mod streams;
mod tools;
