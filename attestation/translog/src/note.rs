//! Signed notes and verifier keys (c2sp.org/signed-note@v1).
//!
//! A [`SignedNote`] is well formed, no more: its text must not be used before a signature under a
//! trusted key verified, which [`SignedCheckpoint::open`](crate::SignedCheckpoint::open) does. Of the
//! signature types, those two are known that the log uses: Ed25519 (0x01) and timestamped Ed25519
//! cosignatures (0x04). Lines of other types are carried along and ignored, as the format demands.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::{from_base64, from_hex, to_base64};

use crate::Error;

/// Longest accepted note, in bytes: sixteen post-quantum signatures and some.
pub const NOTE_BYTES_MAX: usize = 128 << 10;
/// Most signature lines of a note. The format demands at least 16.
pub const SIGNATURES_MAX: usize = 64;
/// Longest key name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

const PREFIX: &str = "\u{2014} ";
/// Four bytes of key id and at least one of signature.
const BLOB_BYTES_MIN: usize = 5;

/// How a key signs notes (signed-note, *Signature types*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 over the note's text: logs.
    Ed25519,
    /// A timestamped cosignature, version 1: witnesses.
    CosignatureV1,
}

impl Algorithm {
    /// The signature type's identifier byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureV1].into_iter().find(|algorithm| algorithm.byte() == byte)
    }
}

/// A verifier key (*vkey*): whose signatures are recognised, and how they are checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifierKey {
    name: String,
    id: u32,
    algorithm: Algorithm,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The verifier key of an Ed25519 public key under a name.
    ///
    /// # Errors
    /// [`Error::KeyMalformed`] for a name that is empty, too long, or holds white space or a plus.
    pub fn new(
        name: &str,
        algorithm: Algorithm,
        public_key: [u8; 32],
        crypto: &dyn Crypto,
    ) -> Result<Self, Error> {
        if !is_name(name) {
            return Err(Error::KeyMalformed {
                why: "the name is empty, too long, or holds spaces or a plus",
            });
        }
        let hashed = [name.as_bytes(), b"\n", &[algorithm.byte()], &public_key].concat();
        let [a, b, c, d, ..] = crypto.sha256(&hashed);
        let id = u32::from_be_bytes([a, b, c, d]);
        Ok(Self { name: name.into(), id, algorithm, public_key })
    }

    /// Reads `<name>+<id in hex>+<base64 of type and key>`.
    ///
    /// # Errors
    /// [`Error::KeyMalformed`], or [`Error::KeyId`] where the id is another key's.
    pub fn parse(text: &str, crypto: &dyn Crypto) -> Result<Self, Error> {
        let parts = Parts::read(text)?;
        let key = Self::new(parts.name, parts.algorithm, parts.public_key, crypto)?;
        if key.id != parts.id {
            return Err(Error::KeyId { name: key.name, found: parts.id, expected: key.id });
        }
        Ok(key)
    }

    /// Checks everything of a verifier key's text that can be checked without hashing, for documents
    /// that are read before a crypto implementation is at hand, and says how the key signs;
    /// [`VerifierKey::parse`] checks the rest.
    ///
    /// # Errors
    /// [`Error::KeyMalformed`].
    pub fn check_syntax(text: &str) -> Result<Algorithm, Error> {
        Parts::read(text).map(|parts| parts.algorithm)
    }

    /// The key's name. A log's is its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id, which together with the name says which signature lines are this key's.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// Whether a signature line claims to be this key's.
    pub fn is_named_by(&self, signature: &NoteSignature) -> bool {
        self.id == signature.id && self.name == signature.name
    }

    pub(crate) fn require(&self, algorithm: Algorithm) -> Result<(), Error> {
        if self.algorithm != algorithm {
            let (found, expected) = (self.algorithm.byte(), algorithm.byte());
            return Err(Error::KeyAlgorithm { name: self.name.clone(), found, expected });
        }
        Ok(())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.algorithm.byte()], self.public_key.as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, to_base64(&typed))
    }
}

/// A verifier key's text, taken apart.
struct Parts<'a> {
    name: &'a str,
    id: u32,
    algorithm: Algorithm,
    public_key: [u8; 32],
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, Error> {
        let malformed = |why| Error::KeyMalformed { why };
        // The key's base64 may hold a plus of its own.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("it has fewer than three parts"));
        };
        if !is_name(name) {
            return Err(malformed("the name is empty, too long, or holds spaces or a plus"));
        }
        let id = from_hex::<4>(id).ok_or(malformed("the id is not eight lower-case hexadecimal digits"))?;
        let typed = from_base64(key).ok_or(malformed("the key is not padded standard base64"))?;
        let (kind, key) = typed.split_first().ok_or(malformed("the key is empty"))?;
        let algorithm =
            Algorithm::from_byte(*kind).ok_or(malformed("its signature type is neither 0x01 nor 0x04"))?;
        let public_key = key.try_into().map_err(|_| malformed("an Ed25519 key has 32 bytes"))?;
        Ok(Self { name, id: u32::from_be_bytes(id), algorithm, public_key })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.chars().any(|c| c.is_whitespace() || c < ' ' || c == '+')
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: u32,
    signature: Vec<u8>,
}

impl NoteSignature {
    /// The line for a signature by `key`: for Ed25519 the 64 bytes over the text; cosignatures are
    /// made by [`cosign`](crate::cosignature::cosign).
    pub fn new(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self { name: key.name.clone(), id: key.id, signature }
    }

    /// The name of the key that is said to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its short id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What follows the id: the signature in its type's form.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn parse(line: &str) -> Result<Self, Error> {
        let malformed = |why| Error::NoteMalformed { why };
        let rest = line.strip_prefix(PREFIX).ok_or(malformed("a signature line begins with a dash"))?;
        let (name, blob) = rest.split_once(' ').ok_or(malformed("a signature line has two words"))?;
        if !is_name(name) {
            return Err(malformed("a signature line names no key"));
        }
        let blob = from_base64(blob).ok_or(malformed("a signature is padded standard base64"))?;
        let (id, signature) = blob
            .split_first_chunk::<4>()
            .filter(|_| blob.len() >= BLOB_BYTES_MIN)
            .ok_or(malformed("a signature has a key id and a value"))?;
        Ok(Self { name: name.into(), id: u32::from_be_bytes(*id), signature: signature.into() })
    }
}

/// The line, with its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.to_be_bytes().as_slice(), &self.signature].concat();
        writeln!(f, "{PREFIX}{} {}", self.name, to_base64(&blob))
    }
}

/// A note that is well formed. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Puts a note together.
    ///
    /// # Errors
    /// [`Error::NoteMalformed`] for a text that no note can have, for no signature, or for too many.
    pub fn new(text: &str, signatures: Vec<NoteSignature>) -> Result<Self, Error> {
        check_characters(text)?;
        if !text.ends_with('\n') {
            return Err(Error::NoteMalformed { why: "the text ends with a newline" });
        }
        check_count(signatures.len())?;
        Ok(Self { text: text.into(), signatures })
    }

    /// Signs a text: `sign` makes the 64 bytes of an Ed25519 signature by `key`.
    ///
    /// # Errors
    /// [`Error::KeyAlgorithm`] where the key is a witness's, or [`Error::NoteMalformed`].
    pub fn sign(text: &str, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Self, Error> {
        key.require(Algorithm::Ed25519)?;
        let signature = NoteSignature::new(key, sign(text.as_bytes()).to_vec());
        Self::new(text, alloc::vec![signature])
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`Error::TooLong`] or [`Error::NoteMalformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::TooLong { what: "a note", len: bytes.len(), max: NOTE_BYTES_MAX });
        }
        let note =
            core::str::from_utf8(bytes).map_err(|_| Error::NoteMalformed { why: "it is not UTF-8" })?;
        check_characters(note)?;
        let blank = note.as_bytes().windows(2).rposition(|pair| pair == b"\n\n");
        // The text keeps its final newline, which is the first of the two.
        let (text, rest) = blank
            .and_then(|at| note.split_at_checked(at.saturating_add(1)))
            .ok_or(Error::NoteMalformed { why: "no empty line stands before the signatures" })?;
        Self::new(text, parse_signatures(rest.strip_prefix('\n').unwrap_or(rest))?)
    }

    /// The text, with its final newline. Not to be used before a signature is verified.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line, unless one of the same key is there already.
    ///
    /// # Errors
    /// [`Error::NoteMalformed`] where the note is full.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), Error> {
        let is_same = |other: &NoteSignature| other.id == signature.id && other.name == signature.name;
        if self.signatures.iter().any(is_same) {
            return Ok(());
        }
        check_count(self.signatures.len().saturating_add(1))?;
        self.signatures.push(signature);
        Ok(())
    }
}

/// The note's exact text.
impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}

/// Reads signature lines alone, as a witness answers with.
///
/// # Errors
/// [`Error::NoteMalformed`] for none, for too many, and for lines of another form.
pub fn parse_signatures(text: &str) -> Result<Vec<NoteSignature>, Error> {
    let lines = text.strip_suffix('\n').ok_or(Error::NoteMalformed { why: "it ends without a newline" })?;
    check_count(lines.split('\n').count())?;
    lines.split('\n').map(NoteSignature::parse).collect()
}

fn check_characters(text: &str) -> Result<(), Error> {
    match text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        true => Err(Error::NoteMalformed { why: "it holds control characters" }),
        false => Ok(()),
    }
}

fn check_count(signatures: usize) -> Result<(), Error> {
    match signatures {
        0 => Err(Error::NoteMalformed { why: "it is not signed" }),
        1..=SIGNATURES_MAX => Ok(()),
        _ => Err(Error::NoteMalformed { why: "it has too many signatures" }),
    }
}
