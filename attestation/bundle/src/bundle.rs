//! The bundle: one file with everything needed to judge one answer offline.
//!
//! ```json
//! {"version":1,
//!  "receipt":{…DSSE envelope…},
//!  "opening":{…},
//!  "stream":{"start":{…envelope…},"head":{…envelope…}},
//!  "boot":{"statement":"base64","evidence":{…}},
//!  "epoch":{"statement":"base64","evidence":{…}},
//!  "endorsements":{…},
//!  "proof":"c2sp.org/tlog-proof@v1\n…",
//!  "image":{"leaf":"base64","proof":"c2sp.org/tlog-proof@v1\n…"}}
//! ```
//! `receipt`, `opening`, `stream`, `head`, `endorsements` and `image` may be absent; the bundle of a stream
//! that was cut off has no receipt but its start record and the last signed head. `proof` is the
//! text that shows the receipt in its log (c2sp.org/tlog-proof), and null before it has settled. `image` is the
//! released image that the enclave runs, with the proof of its own leaf.

use serde::Serialize;
use vouchsafe_receipt::{AttestedStatement, ENVELOPE_BYTES_MAX, Envelope, Opening};
use vouchsafe_translog::TlogProof;
use vouchsafe_verifier::strict_json::{self, Fault, FromValue, JsonError, Limits, Value};
use vouchsafe_verifier::{Endorsements, TdxCollateral, json_fields, json_record};

use crate::{Error, LoggedImage};

/// Longest accepted bundle, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 4 << 20;

const LIMITS: Limits = Limits { bytes_max: BUNDLE_BYTES_MAX, depth_max: 16 };
const VERSION: u64 = 1;

/// What the released image in a bundle is read as.
#[cfg(feature = "images")]
type RawImage = crate::image::LoggedImageJson;
#[cfg(not(feature = "images"))]
type RawImage = Value;

/// A bundle that is well formed. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    parts: BundleParts,
}

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleParts {
    /// The receipt; absent where a stream was cut off before its end.
    pub receipt: Option<Envelope>,
    /// Salts and committed fields; what is absent stays hidden.
    pub opening: Option<Opening>,
    /// The signed records of a streamed answer.
    pub stream: Option<StreamRecords>,
    /// The boot statement and its evidence.
    pub boot: AttestedStatement,
    /// The statement of the receipt's epoch and its evidence.
    pub epoch: AttestedStatement,
    /// The machine's certificates and what else others say of it.
    pub endorsements: Option<Endorsements>,
    /// The proof that the receipt is in its log.
    pub proof: Option<TlogProof>,
    /// The released image that the enclave runs, with the proof that its release is logged.
    pub image: Option<LoggedImage>,
}

/// The signed records of a streamed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecords {
    /// Signed before the first token.
    pub start: Envelope,
    /// The last head received; what a client holds whose stream was cut off.
    pub head: Option<Envelope>,
}

/// `E` is an envelope when written. When read it is any value first, so that an envelope that is not
/// one is refused as such.
#[derive(Serialize)]
struct BundleJson<E> {
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<E>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<Opening>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamJson<E>>,
    boot: AttestedStatement,
    epoch: AttestedStatement,
    #[serde(skip_serializing_if = "Option::is_none")]
    endorsements: Option<Endorsements>,
    proof: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<RawImage>,
}

json_record!(BundleJson<Value> { version, receipt, opening, stream, boot, epoch, endorsements, proof, image });

#[derive(Serialize)]
struct StreamJson<E> {
    start: E,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<E>,
}

impl FromValue for StreamJson<Value> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        let stream: StreamJson<Option<Value>> = json_fields!(value, [], StreamJson { start, head })?;
        // Any value may be null, and only one that is there may be any value.
        let start = stream.start.ok_or_else(|| Fault::new("missing field `start`"))?;
        Ok(Self { start, head: stream.head.flatten() })
    }
}

impl Bundle {
    /// Puts a bundle together.
    ///
    /// # Errors
    /// [`Error::BundleEmpty`] when there is neither a receipt nor a stream.
    pub fn new(parts: BundleParts) -> Result<Self, Error> {
        match (&parts.receipt, &parts.stream) {
            (None, None) => Err(Error::BundleEmpty),
            _ => Ok(Self { parts }),
        }
    }

    /// Reads a bundle from its JSON text.
    ///
    /// # Errors
    /// [`Error::BundleMalformed`], [`Error::BundleVersion`], [`Error::BundleEmpty`],
    /// [`Error::BundlePart`] for an envelope or image that is not one, or [`Error::BundleProof`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let malformed = |error: JsonError| Error::BundleMalformed(error.to_string());
        let value = strict_json::value(json, LIMITS).map_err(malformed)?;
        // The version comes first: a later version's fields are not errors of this one.
        match value.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(found)) => return Err(Error::BundleVersion { found, known: VERSION }),
            _ => return Err(Error::BundleMalformed("no version number".into())),
        }
        let raw = BundleJson::from_value(&value).map_err(|fault| malformed(fault.into()))?;
        if let Some(opening) = &raw.opening {
            opening.check_version().map_err(|error| Error::BundlePart { part: "opening", error })?;
        }
        let stream = match raw.stream {
            None => None,
            Some(StreamJson { start, head }) => Some(StreamRecords {
                start: envelope("stream.start", start)?,
                head: head.map(|head| envelope("stream.head", head)).transpose()?,
            }),
        };
        Self::new(BundleParts {
            receipt: raw.receipt.map(|receipt| envelope("receipt", receipt)).transpose()?,
            opening: raw.opening,
            stream,
            boot: raw.boot,
            epoch: raw.epoch,
            endorsements: raw.endorsements,
            proof: raw.proof.map(|text| TlogProof::parse(text.as_bytes())).transpose()?,
            image: image(raw.image.as_ref())?,
        })
    }

    /// The bundle as JSON, in the order of the format's description.
    pub fn to_json(&self) -> Vec<u8> {
        let BundleParts { receipt, opening, stream, boot, epoch, endorsements, proof, image } =
            self.parts.clone();
        let json = BundleJson {
            version: VERSION,
            receipt,
            opening,
            stream: stream.map(|StreamRecords { start, head }| StreamJson { start, head }),
            boot,
            epoch,
            endorsements,
            proof: proof.map(|proof| proof.to_string()),
            image: image.as_ref().map(raw_image),
        };
        // Nothing here has a failing case of serialisation, and no reader accepts an empty text.
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// What the bundle holds.
    pub fn parts(&self) -> &BundleParts {
        &self.parts
    }

    /// The bundle with a proof that its receipt is in a log, in place of any it had.
    #[must_use]
    pub fn with_proof(mut self, proof: TlogProof) -> Self {
        self.parts.proof = Some(proof);
        self
    }

    /// The bundle with the released image that the enclave runs, in place of any it had.
    #[must_use]
    pub fn with_image(mut self, image: LoggedImage) -> Self {
        self.parts.image = Some(image);
        self
    }

    /// What the bundle holds, to edit.
    pub fn into_parts(self) -> BundleParts {
        self.parts
    }
}

/// Reads a file of TDX collateral, in the shape of the DCAP library's `QuoteCollateralV3`.
///
/// # Errors
/// [`Error::CollateralMalformed`].
pub fn parse_tdx_collateral(json: &[u8]) -> Result<TdxCollateral, Error> {
    strict_json::read(json, LIMITS).map_err(|error| Error::CollateralMalformed(error.to_string()))
}

/// Reads the released image out of a bundle.
#[cfg(feature = "images")]
fn image(raw: Option<&RawImage>) -> Result<Option<LoggedImage>, Error> {
    raw.map(LoggedImage::of).transpose()
}

#[cfg(feature = "images")]
fn raw_image(image: &LoggedImage) -> RawImage {
    image.json()
}

/// None was ever read.
#[cfg(not(feature = "images"))]
fn raw_image(image: &LoggedImage) -> RawImage {
    match *image {}
}

/// Without what verifies images none is taken from a bundle, so that a policy that requires one is not met.
#[cfg(not(feature = "images"))]
fn image(_: Option<&RawImage>) -> Result<Option<LoggedImage>, Error> {
    Ok(None)
}

/// Reads an envelope out of a bundle. The bundle's own layout is free, so what is checked for length
/// is the canonical text, which the signature's form fixes.
fn envelope(part: &'static str, value: Value) -> Result<Envelope, Error> {
    let error = |error| Error::BundlePart { part, error };
    let malformed =
        |why: String| Error::BundlePart { part, error: vouchsafe_receipt::Error::EnvelopeMalformed(why) };
    let envelope: Envelope = Envelope::from_value(&value).map_err(|fault| malformed(fault.to_string()))?;
    if envelope.to_json().len() > ENVELOPE_BYTES_MAX {
        return Err(malformed(format!("longer than {ENVELOPE_BYTES_MAX} bytes")));
    }
    Envelope::from_json(&envelope.to_json()).map_err(error)
}
