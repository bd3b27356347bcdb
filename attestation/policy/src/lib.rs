//! What can be said of policies themselves: whether they make sense, what they mean in plain words, what a
//! change makes acceptable, and whether they judge recorded cases as expected.
//!
//! The document and its appraisal are `vouchsafe-bundle`'s; nothing here judges evidence by rules of its own.
//!
//! - [`check`]: findings about one policy, each with a stable name.
//! - [`diff`]: what becomes acceptable between two policies that was not, and the reverse.
//! - [`explain`]: a policy in plain words.
//! - [`cases`]: recorded evidence with the verdicts that are expected.
//! - [`template`]: a first policy for an installation.
//! - [`corim`]: reference values from and to other verifiers.
//! - [`compare`]: two verdicts by what they leave unproved.
//! - [`signed`]: policies under a threshold of signatures, [`revocations`]: lists of what is revoked, and
//!   [`follow`]: taking new ones with care.

pub mod cases;
pub mod check;
pub mod compare;
pub mod corim;
pub mod diff;
pub mod explain;
pub mod follow;
pub mod revocations;
pub mod signed;
pub mod template;
