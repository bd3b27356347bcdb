//! Why a policy or a bundle could not be read.

/// Why a document was refused before anything in it was judged. [`Error::code`] is stable; the text
/// is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a policy: not JSON of that shape, a decision missing, an unknown field.
    #[error("policy: {path}: {why}")]
    PolicyMalformed {
        /// Where in the document, as `platform.snp.debug`; `.` for the whole of it.
        path: String,
        /// What is wrong there.
        why: String,
    },
    /// A policy whose decisions contradict each other or its purpose.
    #[error("policy: {path}: {why}")]
    PolicyContradiction {
        /// Where in the document.
        path: String,
        /// What contradicts what.
        why: String,
    },
    /// A policy of a version that this program does not know.
    #[error("policy of version {found}, where only version {known} is known")]
    PolicyVersion {
        /// The version found.
        found: u64,
        /// The version known.
        known: u64,
    },
    /// Not a bundle: not JSON of that shape, too long, too deep, a key given twice.
    #[error("bundle: {0}")]
    BundleMalformed(String),
    /// A bundle of a version that this program does not know.
    #[error("bundle of version {found}, where only version {known} is known")]
    BundleVersion {
        /// The version found.
        found: u64,
        /// The version known.
        known: u64,
    },
    /// A bundle with neither a receipt nor the records of a stream.
    #[error("the bundle holds neither a receipt nor a stream's start record")]
    BundleEmpty,
    /// Not a TDX collateral file: not JSON of that shape, too long, too deep, a key given twice.
    #[error("collateral: {0}")]
    CollateralMalformed(String),
    /// Not an image with the proof that its release is logged.
    #[error("released image: {0}")]
    ImageMalformed(String),
    /// The bundle's proof, or its image's, is not one.
    #[error("bundle: proof: {0}")]
    BundleProof(#[from] vouchsafe_translog::Error),
    /// A signed object within the bundle is malformed.
    #[error("bundle: {part}: {error}")]
    BundlePart {
        /// Which field of the bundle.
        part: &'static str,
        /// What is wrong with it.
        error: vouchsafe_receipt::Error,
    },
}

impl Error {
    /// A stable word for this refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PolicyMalformed { .. } => "policy_malformed",
            Self::PolicyContradiction { .. } => "policy_contradiction",
            Self::PolicyVersion { .. } => "policy_version_unknown",
            Self::BundleMalformed(_) => "bundle_malformed",
            Self::BundleVersion { .. } => "bundle_version_unknown",
            Self::BundleEmpty => "bundle_empty",
            Self::CollateralMalformed(_) => "collateral_malformed",
            Self::ImageMalformed(_) => "released_image_malformed",
            Self::BundlePart { error, .. } => error.code(),
            Self::BundleProof(error) => error.code(),
        }
    }
}
