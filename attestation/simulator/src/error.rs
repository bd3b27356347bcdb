//! Why an authority could not be made, stored or loaded.

use std::path::PathBuf;

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The RSA implementation could not make or use a key.
    #[error("RSA: {0}")]
    Rsa(#[from] rsa::Error),
    /// A key could not be written as, or read from, PKCS#8.
    #[error("PKCS#8 {what}: {detail}")]
    Pkcs8 {
        /// Which key.
        what: String,
        /// What the parser said.
        detail: String,
    },
    /// A moment lies outside what a certificate can express (1950 to 9999).
    #[error("{unix_seconds} s after 1970 cannot be written as an X.509 time")]
    Moment {
        /// The moment, whole seconds since the Unix epoch.
        unix_seconds: u64,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is something at the path an authority was to be saved at.
    #[error("{} exists already: an authority is never overwritten", path.display())]
    AlreadyExists {
        /// The folder.
        path: PathBuf,
    },
    /// A private key file may be read or written by others than its owner.
    #[error("{}: mode {mode:04o} lets others at a private key, expected 0600", path.display())]
    Permissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A stored authority is not one that `save` wrote.
    #[error("{}: {detail}", path.display())]
    Stored {
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A stored authority is for another product than the one asked for.
    #[error("{}: holds an authority for {found}, expected {expected}", path.display())]
    Product {
        /// The folder.
        path: PathBuf,
        /// The product asked for.
        expected: &'static str,
        /// The product found.
        found: &'static str,
    },
}

impl Error {
    /// A stable word for this kind of failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::Pkcs8 { .. } => "pkcs8",
            Self::Moment { .. } => "moment",
            Self::Io { .. } => "io",
            Self::AlreadyExists { .. } => "already-exists",
            Self::Permissions { .. } => "permissions",
            Self::Stored { .. } => "stored",
            Self::Product { .. } => "product",
        }
    }
}
