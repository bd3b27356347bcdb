//! The log from outside: crashes, damage, witnesses, HTTP, admission, the program itself.

mod admission;
mod admission_policy;
mod common;
mod crash;
mod damage;
mod full;
mod http;
mod interop;
mod program;
mod releases;
mod retire;
mod witness;
mod witnesses;
