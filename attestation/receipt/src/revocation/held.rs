//! A list of revocations as a relying party keeps it: the newest, and what an older one revoked and may not yet
//! be taken back.
//!
//! What is held is nobody's signature but the relying party's own decision to go on refusing for a while. It can
//! only be added to a list that verified, and only refuses more.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::json_record;
use vouchsafe_verifier::strict_json::{self, FromValue as _, Limits};

use super::{Revocation, SignedRevocations, VerifiedRevocations};
use crate::Error;
use crate::threshold::Signers;

/// Longest file, in bytes.
pub const IN_FORCE_BYTES_MAX: usize = 8 << 20;
/// Most revocations that are held beside a list.
pub const HELD_MAX: usize = 1024;

const WHAT: &str = "revocations in force";
const LIMITS: Limits = Limits { bytes_max: IN_FORCE_BYTES_MAX, depth_max: 6 };
const VERSION: u64 = 1;

/// The file where something is held; without, it is the signed list itself.
#[derive(Serialize)]
struct File {
    version: u64,
    /// The signed list, byte by byte.
    list: String,
    held: Vec<Revocation>,
}

json_record!(File { version, list, held });

/// A signed list, not verified, and what is held beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationsInForce {
    text: String,
    signed: SignedRevocations,
    held: Vec<Revocation>,
}

impl RevocationsInForce {
    /// A signed list as its own text, and what is to be held beside it.
    ///
    /// # Errors
    /// As [`SignedRevocations::parse`], and [`Error::PayloadMalformed`] for more than [`HELD_MAX`] held.
    pub fn new(signed: &[u8], held: Vec<Revocation>) -> Result<Self, Error> {
        if held.len() > HELD_MAX {
            let why = alloc::format!("more than {HELD_MAX} revocations are held");
            return Err(Error::PayloadMalformed { what: WHAT, why });
        }
        let text = String::from_utf8_lossy(signed).into_owned();
        Ok(Self { signed: SignedRevocations::parse(text.as_bytes())?, text, held })
    }

    /// Reads a file: a signed list, or one with what is held.
    ///
    /// # Errors
    /// As [`RevocationsInForce::new`].
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        // Whatever is none of these files is refused as the signed list that it is not either.
        let value = match strict_json::value(json, LIMITS) {
            Ok(value) if value.get("held").is_some() => value,
            _ => return Self::new(json, Vec::new()),
        };
        let file = File::from_value(&value).map_err(|fault| Error::payload(WHAT, &fault.into()))?;
        if file.version != VERSION {
            return Err(Error::Version { what: WHAT, found: file.version, known: VERSION });
        }
        Self::new(file.list.as_bytes(), file.held)
    }

    /// The file's bytes: where nothing is held, the signed list as it was signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.held.is_empty() {
            return self.text.clone().into_bytes();
        }
        let file = File { version: VERSION, list: self.text.clone(), held: self.held.clone() };
        strict_json::to_pretty(&file).into_bytes()
    }

    /// The signed list, not verified.
    pub fn signed(&self) -> &SignedRevocations {
        &self.signed
    }

    /// The signed list's own bytes.
    pub fn signed_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// All that is revoked, by whoever signed it: the list's, then what is held.
    pub fn unverified_revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.signed.unverified_list().revocations.iter().chain(&self.held)
    }

    /// Verifies the list, and adds what is held.
    ///
    /// # Errors
    /// As [`SignedRevocations::verify`].
    pub fn verify(&self, signers: &Signers, crypto: &dyn Crypto) -> Result<VerifiedRevocations, Error> {
        let VerifiedRevocations { list, seen } = self.signed.verify(signers, crypto)?;
        let mut list = (*list).clone();
        list.revocations.extend(self.held.iter().cloned());
        Ok(VerifiedRevocations { list: Arc::new(list), seen })
    }
}
