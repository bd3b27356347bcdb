//! Policies themselves: findings, differences, explanations, cases, the program.

mod cases;
mod cbor;
mod common;
mod compare;
mod corim;
mod differences;
mod findings;
mod golden;
mod images;
mod monotone;
mod mutations;
mod program;
mod revocations;
mod schemas;
mod signatures;
mod submit;
