//! The program from outside: exit status, JSON, tables.

mod common;
mod evidence;
mod external;
mod settlement;
mod usage;
mod verify;
