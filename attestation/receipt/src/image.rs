//! Released images: what guests of an image measure to, said by those who may release images.
//!
//! So that every measurement that was ever blessed can be enumerated: a manifest reaches the transparency log as
//! a leaf, and a policy can require that the measurement of a guest be in one that is logged. A manifest names the
//! image by the digest of its build's `manifest.json`, which names every input and every part by digest. It says
//! nothing that expires: that an image is not good any more is for revocations and policies to say.
//!
//! The payload is canonical JSON under a threshold of signatures, as revocations are. Whose signatures count, and
//! what a release does to a verdict, is decided in `vouchsafe-bundle`.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{Fault, Fields, FromValue, Limits, Value};
use vouchsafe_verifier::{Moment, json_deserialize, json_fields, json_record};

use crate::signed::{parse_versioned, to_bytes};
use crate::threshold::{KeySignature, SignedDocument, Signers};
use crate::{Error, LEAF_BYTES_MAX, LeafType, PayloadType};

/// Longest manifest, in bytes of canonical JSON: with its signatures it fits into a leaf of the log.
pub const IMAGE_BYTES_MAX: usize = 48 << 10;
/// Most measurements of one image.
pub const MEASUREMENTS_MAX: usize = 256;
/// Longest signed manifest, in bytes: a manifest in base64, and its signatures.
pub const SIGNED_IMAGE_BYTES_MAX: usize = 2 * IMAGE_BYTES_MAX;

const WHAT: &str = "image manifest";
const VERSION: u64 = 1;
const LIMITS: Limits = Limits { bytes_max: IMAGE_BYTES_MAX, depth_max: 6 };
const NAME_BYTES_MAX: usize = 128;
/// Most digests of which any is good for one register.
const ALTERNATIVES_MAX: usize = 8;

/// What is released: an image, and what guests of it measure to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageManifest {
    /// Version of this format: 1.
    pub version: u64,
    /// What the release is called.
    pub release: String,
    /// When it was made, by its maker's clock.
    pub issued: Moment,
    /// SHA-256 of the build's `manifest.json`.
    pub manifest: Hex<32>,
    /// What guests of the image measure to; any one of them.
    pub measurements: Vec<ImageMeasurement>,
}

json_record!(ImageManifest { version, release, issued, manifest, measurements });

/// What one kind of guest of an image measures to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageMeasurement {
    /// What people call it: the number of its vCPUs, say.
    pub name: String,
    /// The digests.
    pub digests: ImageDigests,
}

json_record!(ImageMeasurement { name, digests });

/// Digests in the terms of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "platform")]
#[non_exhaustive]
pub enum ImageDigests {
    /// MEASUREMENT of an SEV-SNP report.
    #[serde(rename = "sev-snp")]
    SevSnp {
        /// The launch digest.
        measurement: Hex<48>,
    },
    /// Registers of a TDX quote. Of several digests for one register any suffices: public tools disagree about the
    /// order of MRTD's pages, for one. RTMR0 covers tables that are the host's, so it may be left open, and so may
    /// RTMR3, which nothing extends before the guest's own programs.
    #[serde(rename = "tdx")]
    Tdx {
        /// MRTD: the firmware.
        mrtd: Vec<Hex<48>>,
        /// RTMR0: firmware configuration; left out: any.
        #[serde(skip_serializing_if = "Option::is_none")]
        rtmr0: Option<Vec<Hex<48>>>,
        /// RTMR1: the kernel.
        rtmr1: Vec<Hex<48>>,
        /// RTMR2: command line, with a disk's root hash in it, and initrd.
        rtmr2: Vec<Hex<48>>,
        /// RTMR3: what the guest's programs extended; left out: any.
        #[serde(skip_serializing_if = "Option::is_none")]
        rtmr3: Option<Vec<Hex<48>>>,
    },
}

impl FromValue for ImageDigests {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        let platform: String = Fields::of(value, &[])?.take("platform")?;
        match platform.as_str() {
            "sev-snp" => json_fields!(value, ["platform"], Self::SevSnp { measurement }),
            "tdx" => json_fields!(value, ["platform"], Self::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 }),
            _ => Err(Fault::new("expected one of sev-snp and tdx").within("platform")),
        }
    }
}

json_deserialize!(ImageDigests);

impl ImageDigests {
    /// Each register's digests in the order MRTD, RTMR0 to RTMR3; `None` for what is left open and on SEV-SNP.
    pub fn registers(&self) -> [Option<&[Hex<48>]>; 5] {
        match self {
            Self::SevSnp { .. } => [None; 5],
            Self::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } => {
                [Some(mrtd), rtmr0.as_deref(), Some(rtmr1), Some(rtmr2), rtmr3.as_deref()]
            }
        }
    }

    /// The digests in a line.
    pub fn describe(&self) -> String {
        if let Self::SevSnp { measurement } = self {
            return alloc::format!("sev-snp {measurement}");
        }
        let named = ["MRTD", "RTMR0", "RTMR1", "RTMR2", "RTMR3"].iter().zip(self.registers());
        let named = named.filter_map(|(name, digests)| {
            let digests: Vec<_> = digests?.iter().map(ToString::to_string).collect();
            Some(alloc::format!("{name} {}", digests.join(" or ")))
        });
        alloc::format!("tdx {}", named.collect::<Vec<_>>().join(", "))
    }

    fn check(&self) -> Result<(), String> {
        for digests in self.registers().into_iter().flatten() {
            if digests.is_empty() || digests.len() > ALTERNATIVES_MAX {
                return Err(alloc::format!("a register has 1 to {ALTERNATIVES_MAX} digests"));
            }
            let is_again = |(place, one)| digests.iter().take(place).any(|before: &Hex<48>| before == one);
            if digests.iter().enumerate().any(is_again) {
                return Err("a register names a digest twice".into());
            }
        }
        Ok(())
    }
}

impl ImageManifest {
    /// A manifest of what is to be released.
    ///
    /// # Errors
    /// As [`ImageManifest::check`].
    pub fn new(
        release: String,
        issued: Moment,
        manifest: Hex<32>,
        measurements: Vec<ImageMeasurement>,
    ) -> Result<Self, Error> {
        let made = Self { version: VERSION, release, issued, manifest, measurements };
        made.check().map(|()| made)
    }

    /// The canonical bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads a manifest from its canonical bytes, whoever signed them.
    ///
    /// # Errors
    /// [`Error::Version`], [`Error::PayloadMalformed`] or [`Error::PayloadNotCanonical`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        parse_versioned(WHAT, VERSION, LIMITS, bytes, Self::check)
    }

    /// Checks what JSON's shape alone does not rule out.
    ///
    /// # Errors
    /// [`Error::Version`] or [`Error::PayloadMalformed`].
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::PayloadMalformed { what: WHAT, why });
        if self.version != VERSION {
            return Err(Error::Version { what: WHAT, found: self.version, known: VERSION });
        }
        let is_text = |text: &str| !text.trim().is_empty() && text.len() <= NAME_BYTES_MAX;
        if !is_text(&self.release) || !self.measurements.iter().all(|one| is_text(&one.name)) {
            return refuse(alloc::format!("a name of 1 to {NAME_BYTES_MAX} bytes is required"));
        }
        if self.measurements.is_empty() || self.measurements.len() > MEASUREMENTS_MAX {
            return refuse(alloc::format!("an image has 1 to {MEASUREMENTS_MAX} measurements"));
        }
        for (place, one) in self.measurements.iter().enumerate() {
            one.digests.check().or_else(|why| refuse(alloc::format!("{:?}: {why}", one.name)))?;
            if self.measurements.iter().take(place).any(|before| before.digests == one.digests) {
                return refuse(alloc::format!("{:?} is a measurement given before", one.name));
            }
        }
        if self.to_bytes().len() > IMAGE_BYTES_MAX {
            return refuse(alloc::format!("longer than {IMAGE_BYTES_MAX} bytes"));
        }
        Ok(())
    }
}

/// A manifest with signatures, well-formed and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedImage {
    document: SignedDocument,
    manifest: ImageManifest,
}

impl SignedImage {
    /// A manifest without signatures yet.
    ///
    /// # Errors
    /// As [`ImageManifest::check`].
    pub fn unsigned(manifest: ImageManifest) -> Result<Self, Error> {
        manifest.check()?;
        let document = SignedDocument::unsigned(PayloadType::Image.as_str(), manifest.to_bytes());
        Ok(Self { document, manifest })
    }

    /// Reads a signed manifest.
    ///
    /// # Errors
    /// As [`SignedDocument::parse`] and [`ImageManifest::parse`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        Self::of(SignedDocument::parse(json, PayloadType::Image.as_str(), SIGNED_IMAGE_BYTES_MAX)?)
    }

    /// Reads the leaf of a manifest, and no other leaf.
    ///
    /// # Errors
    /// As [`Leaf::parse`](crate::Leaf::parse).
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, Error> {
        if leaf.len() > LEAF_BYTES_MAX {
            return Err(Error::LeafMalformed("longer than 65535 bytes".into()));
        }
        match leaf.split_first() {
            Some((byte, body)) if *byte == LeafType::Image.byte() => Self::from_leaf_body(body),
            Some((byte, _)) => Err(Error::LeafType { byte: *byte }),
            None => Err(Error::LeafMalformed("empty".into())),
        }
    }

    pub(crate) fn from_leaf_body(body: &[u8]) -> Result<Self, Error> {
        Self::of(SignedDocument::parse_leaf_body(PayloadType::Image, body)?)
    }

    fn of(document: SignedDocument) -> Result<Self, Error> {
        let manifest = ImageManifest::parse(document.unverified_payload())?;
        Ok(Self { document, manifest })
    }

    /// The envelope as JSON.
    pub fn to_json(&self) -> String {
        self.document.to_json()
    }

    /// The bytes that are signed.
    pub fn pae(&self) -> Vec<u8> {
        self.document.pae()
    }

    /// Adds a signature, in the place of an older one of the same key.
    pub fn add(&mut self, one: KeySignature) {
        self.document.add(one);
    }

    /// The manifest, before any signature was checked: for display and for transport only.
    pub fn unverified_manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The envelope: payload and signatures, unverified.
    pub fn document(&self) -> &SignedDocument {
        &self.document
    }

    /// Verifies that enough of the signers signed it.
    ///
    /// # Errors
    /// As [`SignedDocument::open`].
    pub fn verify(&self, signers: &Signers, crypto: &dyn Crypto) -> Result<VerifiedImage, Error> {
        self.document.open(signers, crypto)?;
        Ok(VerifiedImage { manifest: Arc::new(self.manifest.clone()) })
    }
}

/// A manifest that enough of its signers signed. Only [`SignedImage::verify`] makes one. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedImage {
    manifest: Arc<ImageManifest>,
}

impl VerifiedImage {
    /// What is released.
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }
}
