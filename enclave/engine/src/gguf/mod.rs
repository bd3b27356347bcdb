//! The GGUF container, versions 2 and 3: header, metadata, tensor directory.
//!
//! A file is read once, front to back, and digested on the way: [`Header::read`] takes the front part
//! and [`TensorReader`] the tensors' data in file order, so that no byte is used that was not digested.
//! Counts and lengths are checked against what is left of the file before anything is allocated.
//!
//! Specification: `docs/gguf.md` in the ggml repository.

mod dtype;
mod header;
mod reader;
mod tensors;
mod value;

pub(crate) use dtype::StorageType;
pub(crate) use header::{Header, Metadata};
pub(crate) use reader::DigestingReader;
pub(crate) use tensors::{TensorInfo, TensorReader};
pub(crate) use value::{Kind, Value};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
