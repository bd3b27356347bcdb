//! Why a quote, its collateral or its event log was refused.

use alloc::string::String;

use crate::encoding::Hex;
use crate::strict_json::JsonError;

mod code;
mod fault;

pub use fault::{Document, DocumentFault, PckExtensionFault, Place, SurplusBytes, Truncated};

/// Why a quote, its collateral or its event log was refused. What is wrong with a certificate or
/// CRL is told by [`crate::x509::Error`] instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The quote's buffer is longer than the limit.
    #[error("quote of {len} bytes exceeds the limit of {max}")]
    QuoteTooLong {
        /// Length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The quote ends before a field does.
    #[error("quote is truncated: {0}")]
    QuoteTruncated(Truncated),
    /// A length field of the quote says more than is there.
    #[error("length field of the quote: {0}")]
    QuoteLength(Truncated),
    /// The quote's version is neither 4 nor 5.
    #[error("quote version {version} is not a TDX quote's, expected 4 or 5")]
    QuoteVersion {
        /// The version.
        version: u16,
    },
    /// The quote is of another TEE.
    #[error("TEE type is {tee_type:#x}, expected {expected:#x} (TDX)")]
    TeeType {
        /// The TEE type; 0 is SGX.
        tee_type: u32,
        /// TDX.
        expected: u32,
    },
    /// The attestation key is of a kind that Intel's quoting enclave does not use.
    #[error("attestation key type is {key_type}, expected {expected} (ECDSA P-256)")]
    KeyType {
        /// The key type.
        key_type: u16,
        /// ECDSA P-256.
        expected: u16,
    },
    /// The body of a version 5 quote is of a type not known here.
    #[error("body type {body_type} is neither a TD 1.0 nor a TD 1.5 report")]
    BodyType {
        /// The body type.
        body_type: u16,
    },
    /// The body of a version 5 quote has a size that its type does not.
    #[error("body of type {body_type} has size {size}, expected {expected}")]
    BodySize {
        /// The body type.
        body_type: u16,
        /// The size field, in bytes.
        size: u32,
        /// The size that goes with the type, in bytes.
        expected: usize,
    },
    /// The signature data is certified in another way than by a QE report.
    #[error("certification data type is {kind}, expected {expected} (QE report)")]
    CertificationType {
        /// The certification data type.
        kind: u16,
        /// QE report certification data.
        expected: u16,
    },
    /// A structure is longer than what it holds.
    #[error("{0}")]
    SurplusBytes(SurplusBytes),
    /// The quoting enclave is not Intel's by the quote's own account.
    #[error("QE vendor id is {reported}, expected {expected} (Intel)")]
    QeVendor {
        /// The vendor id in the quote.
        reported: Hex<16>,
        /// Intel's.
        expected: Hex<16>,
    },
    /// The quote's signature does not verify.
    #[error("quote signature over header and body does not verify under the attestation key")]
    QuoteSignature,
    /// The QE report vouches for another attestation key or authentication data.
    #[error("QE report binds {reported}, SHA-256 of attestation key and authentication data is {computed}")]
    AttestationKeyUnbound {
        /// First half of the QE report's REPORTDATA.
        reported: Hex<32>,
        /// What should stand there.
        computed: Hex<32>,
    },
    /// The half of the QE report's REPORTDATA that must be zero is not.
    #[error("second half of the QE report's REPORTDATA is {reported}, expected zeros")]
    QeReportDataTail {
        /// Second half of the QE report's REPORTDATA.
        reported: Hex<32>,
    },
    /// The QE report's signature does not verify.
    #[error("QE report signature does not verify under the PCK certificate's key")]
    QeReportSignature,
    /// Neither quote nor collateral carries the PCK certificate chain.
    #[error("neither the quote nor the collateral carries a PCK certificate chain")]
    PckChainMissing,
    /// A certificate chain has another number of certificates than its place in the hierarchy allows.
    #[error("{chain} has {count} certificates, expected {expected}")]
    ChainLength {
        /// Which chain.
        chain: &'static str,
        /// How many certificates it has.
        count: usize,
        /// How many it may have.
        expected: &'static str,
    },
    /// A certificate bears another name than its place in Intel's hierarchy demands.
    #[error("{place} is named {name:?}")]
    CertificateName {
        /// Its place.
        place: Place,
        /// Its common name.
        name: String,
    },
    /// The PCK certificate's SGX extension is missing or malformed.
    #[error("SGX extension of the PCK certificate: {0}")]
    PckExtension(PckExtensionFault),
    /// The evidence came without collateral, so nothing says whether the platform is to be believed.
    #[error("no collateral")]
    CollateralMissing,
    /// A part of the collateral is empty.
    #[error("collateral has no {part}")]
    CollateralIncomplete {
        /// Which part.
        part: &'static str,
        /// Whether it is a revocation list.
        is_crl: bool,
    },
    /// A part of the collateral is not hexadecimal of the length it must have.
    #[error("collateral's {part} is not hexadecimal of an acceptable length")]
    CollateralEncoding {
        /// Which part.
        part: &'static str,
    },
    /// A signed document of the collateral was refused.
    #[error("{document}: {fault}")]
    Document {
        /// Which document.
        document: Document,
        /// What is wrong with it.
        fault: DocumentFault,
    },
    /// The TCB info is for another kind of platform.
    #[error("FMSPC is {platform} in the PCK certificate, {tcb_info} in the TCB info")]
    Fmspc {
        /// In the PCK certificate.
        platform: Hex<6>,
        /// In the TCB info.
        tcb_info: Hex<6>,
    },
    /// The TCB info is for another provisioning certification enclave.
    #[error("PCEID is {platform} in the PCK certificate, {tcb_info} in the TCB info")]
    PceId {
        /// In the PCK certificate.
        platform: Hex<2>,
        /// In the TCB info.
        tcb_info: Hex<2>,
    },
    /// The TCB info knows no TDX module of this version.
    #[error("TCB info has no TDX module identity {id}")]
    ModuleUnknown {
        /// The identity's name, from TEE_TCB_SVN.
        id: String,
    },
    /// The TDX module is signed by somebody else.
    #[error("MRSIGNERSEAM is {reported}, expected {expected}")]
    ModuleSigner {
        /// In the report.
        reported: Hex<48>,
        /// In the TCB info.
        expected: Hex<48>,
    },
    /// The TDX module has other attributes.
    #[error("SEAMATTRIBUTES is {reported}, expected {expected}")]
    ModuleAttributes {
        /// In the report.
        reported: Hex<8>,
        /// In the TCB info, masked.
        expected: Hex<8>,
    },
    /// The quoting enclave runs under a debugger.
    #[error("quoting enclave is a debug enclave, ATTRIBUTES {attributes}")]
    QeDebug {
        /// The enclave's attributes.
        attributes: Hex<16>,
    },
    /// The quoting enclave is signed by somebody else.
    #[error("QE MRSIGNER is {reported}, expected {expected}")]
    QeSigner {
        /// In the QE report.
        reported: Hex<32>,
        /// In the QE identity.
        expected: Hex<32>,
    },
    /// The enclave is another product of the same signer.
    #[error("QE ISVPRODID is {reported}, expected {expected}")]
    QeProduct {
        /// In the QE report.
        reported: u16,
        /// In the QE identity.
        expected: u16,
    },
    /// The quoting enclave's MISCSELECT differs under the mask.
    #[error("QE MISCSELECT is {reported}, expected {expected} under mask {mask}")]
    QeMiscselect {
        /// In the QE report.
        reported: Hex<4>,
        /// In the QE identity.
        expected: Hex<4>,
        /// In the QE identity.
        mask: Hex<4>,
    },
    /// The quoting enclave's ATTRIBUTES differ under the mask.
    #[error("QE ATTRIBUTES is {reported}, expected {expected} under mask {mask}")]
    QeAttributes {
        /// In the QE report.
        reported: Hex<16>,
        /// In the QE identity.
        expected: Hex<16>,
        /// In the QE identity.
        mask: Hex<16>,
    },
    /// The quoting enclave is older than any that Intel lists.
    #[error("QE ISVSVN is {reported}, the lowest listed is {lowest}")]
    QeIsvsvn {
        /// In the QE report.
        reported: u16,
        /// Lowest level in the QE identity.
        lowest: u16,
    },
    /// The TD's attributes have bits that no specification known here defines.
    #[error("TD attributes {attributes} have reserved bits set: {reserved}")]
    TdAttributesReserved {
        /// All attributes.
        attributes: Hex<8>,
        /// The reserved ones among them.
        reserved: Hex<8>,
    },
    /// The event log is longer than the limit.
    #[error("event log of {len} bytes exceeds the limit of {max}")]
    EventLogTooLong {
        /// Length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The event log ends before a field does, or a length field says more than is there.
    #[error("event log is truncated: {0}")]
    EventLogTruncated(Truncated),
    /// The event log is not one that is understood here.
    #[error("event log is malformed: {what}")]
    EventLogMalformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The event log in JSON is not one that is understood here.
    #[error("event log: {0}")]
    EventLogJson(JsonError),
    /// Replaying the log gives another register value than the quote has.
    #[error("event log replays to RTMR{rtmr} {replayed}, the quote has {quoted}")]
    EventLogReplay {
        /// Which register.
        rtmr: usize,
        /// What the log gives.
        replayed: Hex<48>,
        /// What the quote has.
        quoted: Hex<48>,
    },
    /// An event's digest went into a register, but it is not the digest of the event's content.
    #[error("event {index}: content hashes to {computed}, its digest is {digest}")]
    EventContent {
        /// Which event, counted from 0.
        index: usize,
        /// Digest of the content.
        computed: Hex<48>,
        /// The digest in the log.
        digest: Hex<48>,
    },
}
