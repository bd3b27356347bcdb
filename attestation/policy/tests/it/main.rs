//! Policies themselves: findings, differences, explanations, cases, the program.

mod cases;
mod common;
mod compare;
mod differences;
mod findings;
mod monotone;
mod program;
mod revocations;
mod signatures;
