//! Who gets in: boots whose evidence a policy accepts, and what their keys have signed.
//!
//! Anyone may submit; the submitter is nobody's concern. A leaf enters when its boot is in this log, or
//! comes first in the same submission, and its signature is that boot's in the one accepted form. So
//! nobody can keep an operator's receipt out by asking nicely, and nobody can fill the log under a key
//! of their own. What is of no boot, images and lists of revocations, enters under the signatures of those whom the
//! policy names.

mod policy;
mod releases;
mod submission;

pub(crate) use releases::release_of;
pub(crate) use submission::{digest, named_blobs};

use vouchsafe_receipt::LeafType;
use vouchsafe_verifier::UnixSeconds;

use crate::{Error, NewLeaf};

pub use policy::PolicyAdmission;

/// A leaf that may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The leaf.
    pub leaf: NewLeaf,
    /// What it is.
    pub kind: LeafType,
    /// For a receipt that promises one: the witness time by which it is to be in the log.
    pub settle_by: Option<u64>,
}

/// Why a leaf may not enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It never will, or not before something else is submitted: a stable word.
    Code(&'static str),
    /// The log cannot say now.
    Unavailable(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Unavailable(error)
    }
}

/// Decides who gets in.
pub trait Admission: Send + Sync {
    /// Judges the leaves of one submission that the log does not have, in their order. `known` are its
    /// others, which need no judgement and may be referred to. `at` is the moment for which evidence is
    /// judged.
    fn admit(&self, leaves: &[&[u8]], known: &[&[u8]], at: UnixSeconds) -> Vec<Result<Admitted, Refusal>>;

    /// What a leaf promises that was admitted before: the witness time by which it is to be in the log.
    fn settle_by(&self, leaf: &[u8]) -> Option<u64>;
}
