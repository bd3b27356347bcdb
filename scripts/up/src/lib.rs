//! Starting the programs of an installation on one machine: keys, commands, and the policy that pins them.
//!
//! What the demo needs of it is also what a run of random faults needs.

pub mod launch;
pub mod pin;
pub mod settle;
