//! Attacks, each a named test beside an honest control. SECURITY.md lists them, and `table` holds that
//! list against them.

mod enclave;
mod fetch;
mod forger;
mod liar;
mod machine;
mod model;
mod program;

mod admission;
mod boots;
mod clock;
mod control;
mod endorsements;
mod floods;
mod frames;
mod impostors;
mod logs;
mod machines;
mod receipts;
mod records;
mod settled;

mod states;
mod table;
