//! Bundles, live enclaves and raw evidence, judged: what is accepted, and what each change breaks.

mod answers;
mod bundles;
mod clauses;
mod codes;
mod common;
mod documents;
mod ear;
mod golden;
mod images;
mod logs;
mod mutation;
mod policies;
mod properties;
mod revocations;
mod rollover;
mod rules_snp;
mod rules_tdx;
mod settlement;
#[path = "../../../verifier/tests/common/table.rs"]
mod table;
mod td_clauses;
mod vectors;
