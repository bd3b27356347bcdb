//! The log's formats from outside: known answers, mutations, tree shapes, second opinions.

mod checkpoints;
mod notes;
mod proofs;
mod requests;
mod second_opinion;
mod support;
mod trees;
