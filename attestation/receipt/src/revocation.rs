//! Urgent revocations: which boots, keys, chips, images and processors are not to be believed from when on.
//!
//! A list is released as policies are: with a serial number that only grows, dates, and a threshold of
//! signatures. It is whole: what a later list leaves out is no longer revoked. It reaches clients as a file,
//! and monitors as a leaf of the transparency log, so it is short: what is known to be bad for good belongs
//! into policies, which are reviewed.
//!
//! The payload is canonical JSON: what was signed has one text. Whose signatures count is for policies to say,
//! and what a revocation does to a verdict is decided in `vouchsafe-bundle`.

mod held;

pub use held::{HELD_MAX, IN_FORCE_BYTES_MAX, RevocationsInForce};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{Fault, Fields, FromValue, Limits, Value};
use vouchsafe_verifier::{Moment, UnixSeconds, json_deserialize, json_fields, json_record, json_words};

use crate::payload::check_integers;
use crate::signed::{parse_versioned, to_bytes};
use crate::threshold::{KeySignature, Seen, SignedDocument, Signers};
use crate::{Error, PayloadType};

/// Longest list, in bytes of canonical JSON: with its signatures it fits into a leaf of the log.
pub const REVOCATIONS_BYTES_MAX: usize = 48 << 10;
/// Most revocations in one list.
pub const REVOCATIONS_MAX: usize = 256;
/// Longest signed list, in bytes: a list in base64, and its signatures.
pub const SIGNED_REVOCATIONS_BYTES_MAX: usize = 2 * REVOCATIONS_BYTES_MAX;

const WHAT: &str = "revocation list";
const VERSION: u64 = 1;
const LIMITS: Limits = Limits { bytes_max: REVOCATIONS_BYTES_MAX, depth_max: 5 };
const NAME_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 1024;

/// Everything that is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevocationList {
    /// Version of this format: 1.
    pub version: u64,
    /// Grows with every list.
    pub serial: u64,
    /// When it was made, by its maker's clock.
    pub issued: Moment,
    /// From when on it says nothing of what is not in it.
    pub expires: Moment,
    /// What is revoked.
    pub revocations: Vec<Revocation>,
}

json_record!(RevocationList { version, serial, issued, expires, revocations });

/// Something that is not to be believed from a moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// What people call the matter; unique in the list.
    pub name: String,
    /// What is revoked.
    pub revokes: Revoked,
    /// Not good from this moment on. What was logged before stays what it was.
    pub at: Moment,
    /// Why.
    pub reason: String,
}

json_record!(Revocation { name, revokes, at, reason });

/// What can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Revoked {
    /// A boot, by its id.
    Boot(Hex<32>),
    /// A receipt key, by the SHA-256 of its SPKI. A boot's id is the same digest: the word says what happened.
    ReceiptKey(Hex<32>),
    /// An AMD chip, by the CHIP_ID of its reports and certificates.
    ChipId(Hex<64>),
    /// An Intel platform, by the PPID of its certificate.
    Ppid(Hex<16>),
    /// An SEV-SNP image, by its launch measurement, which covers the disk's root hash by the command line.
    Measurement(Hex<48>),
    /// A TDX image, by all the registers named.
    Registers(Registers),
    /// A family of AMD processors.
    Product(AmdProduct),
    /// A model of Intel processors: family, model, stepping, platform type and custom SKU.
    Fmspc(Hex<6>),
}

impl FromValue for Revoked {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        const KINDS: &[&str] =
            &["boot", "receipt_key", "chip_id", "ppid", "measurement", "registers", "product", "fmspc"];
        let one = Fields::of(value, KINDS)?;
        match one.only()? {
            "boot" => one.take("boot").map(Self::Boot),
            "receipt_key" => one.take("receipt_key").map(Self::ReceiptKey),
            "chip_id" => one.take("chip_id").map(Self::ChipId),
            "ppid" => one.take("ppid").map(Self::Ppid),
            "measurement" => one.take("measurement").map(Self::Measurement),
            "registers" => one.take("registers").map(Self::Registers),
            "product" => one.take("product").map(Self::Product),
            _ => one.take("fmspc").map(Self::Fmspc),
        }
    }
}

json_deserialize!(Revoked);

/// Registers of a TDX quote; an image is meant if each that is named has this value. RTMR2 alone stands for a
/// kernel's command line and with it for a disk's root hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registers {
    /// MRTD: the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mrtd: Option<Hex<48>>,
    /// RTMR0: firmware configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtmr0: Option<Hex<48>>,
    /// RTMR1: the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtmr1: Option<Hex<48>>,
    /// RTMR2: command line and initrd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtmr2: Option<Hex<48>>,
    /// RTMR3: what the guest's programs extended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtmr3: Option<Hex<48>>,
}

impl FromValue for Registers {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        // A register that is there has a value: null is none.
        let null = value.as_object().into_iter().flatten().find(|(_, value)| value.is_null());
        if let Some((name, null)) = null {
            return Err(Fault::expected("48 bytes in hexadecimal", null).within(name));
        }
        json_fields!(value, [], Self { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 })
    }
}

json_deserialize!(Registers);

impl Registers {
    /// Each register with the value that is named, in the order MRTD, RTMR0 to RTMR3.
    pub fn named(&self) -> [Option<&[u8; 48]>; 5] {
        [&self.mrtd, &self.rtmr0, &self.rtmr1, &self.rtmr2, &self.rtmr3]
            .map(|register| register.as_ref().map(|value| &value.0))
    }
}

/// A processor family with its own AMD root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmdProduct {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004 (Genoa, Bergamo, Siena).
    Genoa,
    /// EPYC 9005.
    Turin,
}

json_words!(AmdProduct { "Milan" => Milan, "Genoa" => Genoa, "Turin" => Turin });

impl Revoked {
    /// The kind and the value in a line, as in `boot 00ab…`.
    pub fn describe(&self) -> String {
        match self {
            Self::Boot(id) => alloc::format!("boot {id}"),
            Self::ReceiptKey(id) => alloc::format!("receipt key {id}"),
            Self::ChipId(id) => alloc::format!("chip {id}"),
            Self::Ppid(id) => alloc::format!("platform {id}"),
            Self::Measurement(digest) => alloc::format!("image {digest}"),
            Self::Registers(registers) => {
                let names = ["MRTD", "RTMR0", "RTMR1", "RTMR2", "RTMR3"];
                let named = names.iter().zip(registers.named());
                let named = named.filter_map(|(name, value)| Some((name, Hex(*value?))));
                let texts: Vec<_> = named.map(|(name, value)| alloc::format!("{name} {value}")).collect();
                alloc::format!("image with {}", texts.join(", "))
            }
            Self::Product(product) => alloc::format!("processors {}", product.as_str()),
            Self::Fmspc(fmspc) => alloc::format!("processors of FMSPC {fmspc}"),
        }
    }
}

impl RevocationList {
    /// The canonical bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads a list from its canonical bytes, whoever signed them.
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
        check_integers(WHAT, [("serial", self.serial)])?;
        if self.expires <= self.issued {
            let (issued, expires) = (self.issued.0, self.expires.0);
            return refuse(alloc::format!("issued at {issued} and expired at {expires}: never good"));
        }
        if self.revocations.len() > REVOCATIONS_MAX {
            return refuse(alloc::format!("more than {REVOCATIONS_MAX} revocations"));
        }
        for (place, one) in self.revocations.iter().enumerate() {
            let is_text = |text: &str, max| !text.trim().is_empty() && text.len() <= max;
            if !is_text(&one.name, NAME_BYTES_MAX) {
                return refuse(alloc::format!("a name of 1 to {NAME_BYTES_MAX} bytes is required"));
            }
            if !is_text(&one.reason, REASON_BYTES_MAX) {
                return refuse(alloc::format!("a reason of 1 to {REASON_BYTES_MAX} bytes is required"));
            }
            if let Revoked::Registers(registers) = &one.revokes
                && registers.named().iter().all(Option::is_none)
            {
                return refuse(alloc::format!(
                    "{:?} names no register, which would be every image",
                    one.name
                ));
            }
            for before in self.revocations.iter().take(place) {
                if before.name == one.name {
                    return refuse(alloc::format!("the name {:?} is given twice", one.name));
                }
                if before.revokes == one.revokes {
                    return refuse(alloc::format!("{:?} and {:?} revoke the same", before.name, one.name));
                }
            }
        }
        if self.to_bytes().len() > REVOCATIONS_BYTES_MAX {
            return refuse(alloc::format!("longer than {REVOCATIONS_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// Whether it is for this moment: issued, and not expired.
    ///
    /// # Errors
    /// [`Error::Expired`] or [`Error::FromFuture`].
    pub fn check_dates(&self, at: UnixSeconds) -> Result<(), Error> {
        if at >= self.expires.0 {
            return Err(Error::Expired(self.expires.0));
        }
        if self.issued.0 > at {
            return Err(Error::FromFuture(self.issued.0));
        }
        Ok(())
    }
}

/// A list with signatures, well-formed and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRevocations {
    document: SignedDocument,
    list: RevocationList,
}

impl SignedRevocations {
    /// A list without signatures yet.
    ///
    /// # Errors
    /// As [`RevocationList::check`].
    pub fn unsigned(list: RevocationList) -> Result<Self, Error> {
        list.check()?;
        let document = SignedDocument::unsigned(PayloadType::Revocation.as_str(), list.to_bytes());
        Ok(Self { document, list })
    }

    /// Reads a signed list.
    ///
    /// # Errors
    /// As [`SignedDocument::parse`] and [`RevocationList::parse`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let kind = PayloadType::Revocation.as_str();
        Self::of(SignedDocument::parse(json, kind, SIGNED_REVOCATIONS_BYTES_MAX)?)
    }

    pub(crate) fn of(document: SignedDocument) -> Result<Self, Error> {
        let list = RevocationList::parse(document.unverified_payload())?;
        Ok(Self { document, list })
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

    /// The list, before any signature was checked: for display and for transport only.
    pub fn unverified_list(&self) -> &RevocationList {
        &self.list
    }

    /// The envelope: payload and signatures, unverified.
    pub fn document(&self) -> &SignedDocument {
        &self.document
    }

    /// Verifies that enough of the signers signed it. Dates and serial are for whoever uses it.
    ///
    /// # Errors
    /// As [`SignedDocument::open`].
    pub fn verify(&self, signers: &Signers, crypto: &dyn Crypto) -> Result<VerifiedRevocations, Error> {
        let payload = self.document.open(signers, crypto)?;
        let seen = Seen { serial: self.list.serial, release: Hex(crypto.sha256(payload)) };
        Ok(VerifiedRevocations { list: Arc::new(self.list.clone()), seen })
    }
}

/// A list that enough of its signers signed. Only [`SignedRevocations::verify`] makes one. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRevocations {
    list: Arc<RevocationList>,
    seen: Seen,
}

impl VerifiedRevocations {
    /// What is revoked.
    pub fn list(&self) -> &RevocationList {
        &self.list
    }

    /// What to remember of it.
    pub fn seen(&self) -> Seen {
        self.seen
    }
}
