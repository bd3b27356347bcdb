//! The witness: its protocol, its state, its program.

mod common;
mod model;
mod program;
mod protocol;
mod recorded;
mod state;
