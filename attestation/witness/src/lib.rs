//! A witness for transparency logs.
