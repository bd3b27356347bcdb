//! The monitor against logs that keep their word, and logs that do not.

mod catch_up;
mod enclave;
mod holding;
mod honest;
mod images;
mod log;
mod lying;
mod program;
mod revoked;
mod settling;
mod state;
mod watch;
mod webhook;
