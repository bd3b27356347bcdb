//! Tests of the host: in this process with an enclave that the test plays, and as a program.

mod enclave;
mod killed;
mod log;
mod program;
mod receipts;
mod sessions;
mod settle;
