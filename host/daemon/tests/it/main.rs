//! Tests of the host: in this process with an enclave that the test plays, and as a program.

mod enclave;
mod ended;
mod endorsed;
mod killed;
mod log;
mod program;
mod receipts;
#[path = "../../../collateral/tests/it/service.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod service;
mod sessions;
mod settle;
