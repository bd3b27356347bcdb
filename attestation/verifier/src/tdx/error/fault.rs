//! The parts of an error: which field, which document, what is wrong with it.

use alloc::string::String;

use crate::UnixSeconds;
use crate::strict_json::JsonError;
use crate::tdx::TcbStatus;
use crate::x509::DerError;

/// A field that goes beyond the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} needs {needed} bytes, {available} are left")]
pub struct Truncated {
    /// The field being read.
    pub field: &'static str,
    /// Bytes it needs.
    pub needed: usize,
    /// Bytes left.
    pub available: usize,
}

/// Bytes in a structure that no field of it accounts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} surplus bytes at the end of the {within}")]
pub struct SurplusBytes {
    /// The structure.
    pub within: &'static str,
    /// How many.
    pub count: usize,
}

/// A place in Intel's hierarchy that goes with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The platform's provisioning certification key.
    Pck,
    /// The authority between root and PCK: the Platform CA or the Processor CA.
    PckCa,
    /// The signer of TCB info and QE identity.
    TcbSigning,
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Pck => "the certificate at the place of the PCK certificate",
            Self::PckCa => "the certificate at the place of the PCK Platform or Processor CA",
            Self::TcbSigning => "the certificate at the place of the TCB signing certificate",
        })
    }
}

/// What is wrong with the SGX extension of a PCK certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PckExtensionFault {
    /// The extension or a field of it is missing.
    #[error("{field} is missing")]
    Missing {
        /// Which field.
        field: &'static str,
    },
    /// A field occurs twice.
    #[error("{field} occurs more than once")]
    Duplicate {
        /// Which field.
        field: &'static str,
    },
    /// A field is not what it must be.
    #[error(transparent)]
    Malformed(#[from] DerError),
}

/// A signed document of the collateral.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Document {
    /// TCB info.
    TcbInfo,
    /// QE identity.
    QeIdentity,
}

impl core::fmt::Display for Document {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TcbInfo => "TCB info",
            Self::QeIdentity => "QE identity",
        })
    }
}

/// What is wrong with a signed document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentFault {
    /// The signature over the exact text does not verify.
    #[error("signature does not verify under the TCB signing certificate's key")]
    Signature,
    /// Not the JSON it must be.
    #[error(transparent)]
    Json(JsonError),
    /// Another document of the same shape.
    #[error("id is {id:?}, expected {expected:?}")]
    Id {
        /// The document's id.
        id: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Another version of the format.
    #[error("version is {version}, expected {expected}")]
    Version {
        /// The document's version.
        version: u32,
        /// What it must be.
        expected: u32,
    },
    /// A field that does not parse.
    #[error("{field} is malformed")]
    Field {
        /// Which field.
        field: &'static str,
    },
    /// A level with a status that makes no sense there.
    #[error("status {status} is none that a level here can have")]
    Status {
        /// The status.
        status: TcbStatus,
    },
    /// An array of TCB components of the wrong length.
    #[error("{field} has {count} components, expected {expected}")]
    ComponentCount {
        /// Which array.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// How many it must have.
        expected: usize,
    },
    /// An array longer than any that Intel issues.
    #[error("{field} has {count} entries, at most {max} are accepted")]
    TooMany {
        /// Which array.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The moment lies before the document's issue.
    #[error("issued at {issued}, judged at {at}")]
    NotYetValid {
        /// `issueDate`.
        issued: UnixSeconds,
        /// The moment of judgement.
        at: UnixSeconds,
    },
    /// A newer document must exist at the moment of judgement.
    #[error("to be replaced by {next_update}, judged at {at}")]
    Expired {
        /// `nextUpdate`.
        next_update: UnixSeconds,
        /// The moment of judgement.
        at: UnixSeconds,
    },
}
