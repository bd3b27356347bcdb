//! A released image with the proof that its release is in a log: what a policy's `images.released` asks for.
//!
//! ```json
//! {"leaf":"base64","proof":"c2sp.org/tlog-proof@v1\n…"}
//! ```
//! `leaf` is the log's leaf of an image manifest, byte for byte; `proof` shows it in the log. The same object is a
//! file of its own and the part `image` of a bundle.

use serde::Serialize;
use vouchsafe_receipt::{LEAF_BYTES_MAX, SignedImage};
use vouchsafe_translog::{SignedNote, TlogProof};
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::json_record;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::Error;

/// Longest file of a logged image, in bytes: a leaf in base64 and its proof.
pub const LOGGED_IMAGE_BYTES_MAX: usize = 4 * LEAF_BYTES_MAX;

const LIMITS: Limits = Limits { bytes_max: LOGGED_IMAGE_BYTES_MAX, depth_max: 2 };
const PART: &str = "image";

/// A released image and where its release is logged: well-formed, and nothing of it verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedImage {
    image: SignedImage,
    proof: TlogProof,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoggedImageJson {
    leaf: Base64,
    proof: String,
}

json_record!(LoggedImageJson { leaf, proof });

impl LoggedImage {
    /// An image and the proof that its leaf is in a log.
    pub fn new(image: SignedImage, proof: TlogProof) -> Self {
        Self { image, proof }
    }

    /// An image and its place in a log, as the log answers who submits it.
    ///
    /// # Errors
    /// [`Error::BundleProof`].
    pub fn placed(image: SignedImage, index: u64, path: Vec<[u8; 32]>, note: &[u8]) -> Result<Self, Error> {
        let note = SignedNote::parse(note)?;
        Ok(Self { image, proof: TlogProof::new(index, path, note)? })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::ImageMalformed`], [`Error::BundlePart`] or [`Error::BundleProof`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let malformed = |error: strict_json::JsonError| Error::ImageMalformed(error.to_string());
        Self::of(&strict_json::read(json, LIMITS).map_err(malformed)?)
    }

    pub(crate) fn of(json: &LoggedImageJson) -> Result<Self, Error> {
        let error = |error| Error::BundlePart { part: PART, error };
        // Not any leaf: whoever reads images alone, as a browser does, carries no reader of the others.
        let image = SignedImage::from_leaf(&json.leaf.0).map_err(error)?;
        Ok(Self { image, proof: TlogProof::parse(json.proof.as_bytes())? })
    }

    pub(crate) fn json(&self) -> LoggedImageJson {
        let leaf = Base64(vouchsafe_receipt::image_leaf(&self.image));
        LoggedImageJson { leaf, proof: self.proof.to_string() }
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        let mut text = strict_json::to_pretty(&self.json());
        text.push('\n');
        text
    }

    /// The image, whoever signed it.
    pub fn image(&self) -> &SignedImage {
        &self.image
    }

    /// The proof, of whatever it is.
    pub fn proof(&self) -> &TlogProof {
        &self.proof
    }
}
