//! The log from outside: crashes, damage, witnesses, HTTP, admission, the program itself.

mod admission;
mod common;
mod crash;
mod damage;
mod http;
mod interop;
mod program;
mod witness;
mod witnesses;
