//! Why an SEV-SNP report was not verified.

use alloc::string::String;

use super::{Product, TcbComponent, VekKind};
use crate::encoding::to_hex;

/// Why an SEV-SNP report was not verified, beyond what can go wrong with any certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The report has another length.
    #[error("report has {len} bytes, expected {expected}")]
    ReportLength {
        /// Length found, in bytes.
        len: usize,
        /// Length expected, in bytes.
        expected: usize,
    },
    /// The report's version is not one whose layout is known.
    #[error("report version {found} is not between {min} and {max}")]
    ReportVersion {
        /// Version found.
        found: u32,
        /// Lowest known version.
        min: u32,
        /// Highest known version.
        max: u32,
    },
    /// A reserved byte of the report is not zero.
    #[error("reserved byte at offset {offset:#05x} of the report is not zero")]
    ReportReserved {
        /// Its offset.
        offset: usize,
    },
    /// A must-be-zero bit of the guest policy is set.
    #[error("guest policy {policy:#x} has bits set that must be zero")]
    GuestPolicyReserved {
        /// The policy.
        policy: u64,
    },
    /// Bit 17 of the guest policy, which must be one, is zero.
    #[error("guest policy {policy:#x} has bit 17 clear, which must be one")]
    GuestPolicyBit17 {
        /// The policy.
        policy: u64,
    },
    /// No guest has this privilege level.
    #[error("VMPL {found:#x} is not a guest's (0 to 3; ffffffffh marks a report the hypervisor asked for)")]
    Vmpl {
        /// The level.
        found: u32,
    },
    /// The signature algorithm is not ECDSA P-384 with SHA-384.
    #[error("signature algorithm is {found}, expected {expected} (ECDSA P-384 with SHA-384)")]
    SignatureAlgorithm {
        /// Algorithm found.
        found: u32,
        /// Algorithm expected.
        expected: u32,
    },
    /// A must-be-zero bit of KEY_INFO is set.
    #[error("key info {key_info:#x} has bits set that must be zero")]
    KeyInfoReserved {
        /// The field.
        key_info: u32,
    },
    /// The report says that nobody signed it.
    #[error("the report says that it is not signed")]
    Unsigned,
    /// The report names a signing key that is neither VCEK nor VLEK.
    #[error("signing key {found} is neither VCEK (0) nor VLEK (1)")]
    SigningKey {
        /// The key's number.
        found: u8,
    },
    /// A byte of R or S above the scalar's 48 bytes is not zero.
    #[error("signature component {component} has non-zero bytes above its 48")]
    SignatureHighBytes {
        /// `r` or `s`.
        component: &'static str,
    },
    /// R or S is zero, or not below the curve's order.
    #[error("signature component {component} is zero or not below the order of P-384")]
    SignatureRange {
        /// `r` or `s`.
        component: &'static str,
    },
    /// A byte of the signature field after R and S is not zero.
    #[error("the signature field's padding is not zero")]
    SignaturePadding,
    /// No VCEK or VLEK certificate was given.
    #[error("no VCEK or VLEK certificate was given")]
    VekMissing,
    /// An extension that a VEK certificate must have is missing.
    #[error("VEK certificate lacks the extension {name}")]
    VekExtensionMissing {
        /// AMD's name for it.
        name: &'static str,
    },
    /// An extension of a VEK certificate has another form than specified.
    #[error("VEK certificate's extension {name} is malformed")]
    VekExtensionMalformed {
        /// AMD's name for it.
        name: &'static str,
    },
    /// An extension that the VEK certificate's product does not have.
    #[error("VEK certificate for {product} has the extension {name}, which that product does not have")]
    VekExtensionUnexpected {
        /// AMD's name for it.
        name: &'static str,
        /// The product.
        product: Product,
    },
    /// The certificate's structure version does not belong to its product.
    #[error("VEK certificate for {product} has structure version {found}, expected {expected}")]
    VekStructVersion {
        /// Version found.
        found: u32,
        /// Version expected.
        expected: u32,
        /// The product.
        product: Product,
    },
    /// Name and extensions of the VEK certificate do not agree on whether it is a VCEK or a VLEK.
    #[error("VEK certificate is neither a VCEK nor a VLEK: subject {subject:?}, hwID {hwid}, cspID {csp_id}")]
    VekKindUnclear {
        /// Common name of its subject.
        subject: String,
        /// Whether it has a hwID.
        hwid: bool,
        /// Whether it has a cspID.
        csp_id: bool,
    },
    /// The VEK certificate is for a product this crate does not know.
    #[error("VEK certificate is for the unknown product {name:?}")]
    VekProductUnknown {
        /// The name in the certificate.
        name: String,
    },
    /// The VEK's public key is not on P-384.
    #[error("VEK certificate's key is not on P-384")]
    VekKey,
    /// The report names one kind of signing key, the certificate is of the other.
    #[error("report is signed by a {report}, certificate is of a {certificate}")]
    VekKindMismatch {
        /// Kind the report names.
        report: VekKind,
        /// Kind of the certificate.
        certificate: VekKind,
    },
    /// No certificate at hand bears the name of the VEK's issuer.
    #[error("no ASK or ASVK certificate at hand for the VEK's issuer {issuer:?}")]
    VekIssuerUnknown {
        /// Common name of the issuer.
        issuer: String,
    },
    /// The ASK issued a VLEK, or the ASVK a VCEK.
    #[error("{vek} was issued by {issuer:?}, which issues {issues}s")]
    VekIssuerKind {
        /// Kind of the certificate.
        vek: VekKind,
        /// Common name of the issuer.
        issuer: String,
        /// What that issuer issues.
        issues: VekKind,
    },
    /// An ARK, ASK or ASVK is not named as AMD names them.
    #[error("{subject:?} is not the name of an ARK, ASK or ASVK of a known product")]
    ChainNameUnknown {
        /// Its common name.
        subject: String,
    },
    /// ARK and ASK, or ARK and ASVK, are of different products.
    #[error("the chain mixes products: root of {root}, intermediate of {intermediate}")]
    ChainProductMismatch {
        /// Product of the root.
        root: Product,
        /// Product of the intermediate.
        intermediate: Product,
    },
    /// The VEK certificate names another product than the chain that issued it.
    #[error("VEK certificate is for {vek}, its chain for {chain}")]
    VekProductMismatch {
        /// Product in the VEK certificate.
        vek: Product,
        /// Product of the chain.
        chain: Product,
    },
    /// The report's CPUID is of another product than the chain.
    #[error("report is of CPUID family {family:#x} model {model:#x} ({}), the chain of {chain}", cpuid.map_or("unknown", Product::name))]
    CpuidProductMismatch {
        /// CPUID family.
        family: u8,
        /// CPUID model.
        model: u8,
        /// The product that has such CPUs, where known.
        cpuid: Option<Product>,
        /// Product of the chain.
        chain: Product,
    },
    /// A reserved byte of a TCB version is not zero.
    #[error("TCB version {} has reserved bytes of {product} set", to_hex(tcb))]
    TcbReserved {
        /// The TCB version as it stands in the report.
        tcb: [u8; 8],
        /// The product whose layout was applied.
        product: Product,
    },
    /// The VEK certificate is for another TCB than the report says signed it.
    #[error("VEK certificate has {component} {vek}, the report's REPORTED_TCB has {reported}")]
    VekTcbMismatch {
        /// The first component that differs.
        component: TcbComponent,
        /// Its level in the certificate.
        vek: u8,
        /// Its level in the report.
        reported: u8,
    },
    /// As [`Self::VekTcbMismatch`], and the certificate is for the TCB that runs now: somebody fetched
    /// the certificate for CURRENT_TCB, but it is REPORTED_TCB that the key was derived for.
    #[error("VEK certificate is for CURRENT_TCB ({component} {vek}), not for REPORTED_TCB ({reported})")]
    VekTcbIsCurrent {
        /// The first component that differs.
        component: TcbComponent,
        /// Its level in the certificate and in CURRENT_TCB.
        vek: u8,
        /// Its level in REPORTED_TCB.
        reported: u8,
    },
    /// The VCEK certificate is for another chip.
    #[error("VCEK certificate is for chip {}, report is of {}", to_hex(hwid), to_hex(chip_id))]
    HwidMismatch {
        /// Chip in the certificate.
        hwid: alloc::vec::Vec<u8>,
        /// Chip in the report: as many leading bytes of CHIP_ID.
        chip_id: alloc::vec::Vec<u8>,
    },
    /// On this product CHIP_ID has fewer meaningful bytes, and the rest is not zero.
    #[error("CHIP_ID has non-zero bytes after its {meaningful}")]
    ChipIdTail {
        /// How many bytes are meaningful.
        meaningful: usize,
    },
    /// The host masks CHIP_ID, so that the report cannot be tied to the VCEK's chip.
    #[error("CHIP_ID is masked, although a VCEK signed")]
    ChipIdMasked,
    /// The host forbade the VCEK's use, yet a VCEK signed.
    #[error("the chip key is masked, although a VCEK signed")]
    ChipKeyMasked,
    /// The report's signature does not verify under the VEK.
    #[error("report signature does not verify under the {vek}'s key")]
    ReportSignature {
        /// Kind of the key.
        vek: VekKind,
    },
}

impl Error {
    /// The stable word for this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReportLength { .. } => "snp_report_length",
            Self::ReportVersion { .. } => "snp_report_version",
            Self::ReportReserved { .. } => "snp_report_reserved",
            Self::GuestPolicyReserved { .. } => "snp_guest_policy_reserved",
            Self::GuestPolicyBit17 { .. } => "snp_guest_policy_bit17",
            Self::Vmpl { .. } => "snp_vmpl_not_guest",
            Self::SignatureAlgorithm { .. } => "snp_signature_algorithm",
            Self::KeyInfoReserved { .. } => "snp_key_info_reserved",
            Self::Unsigned => "snp_report_unsigned",
            Self::SigningKey { .. } => "snp_signing_key_unknown",
            Self::SignatureHighBytes { .. } => "snp_signature_high_bytes",
            Self::SignatureRange { .. } => "snp_signature_range",
            Self::SignaturePadding => "snp_signature_padding",
            Self::VekMissing => "snp_vek_missing",
            Self::VekExtensionMissing { .. } => "snp_vek_extension_missing",
            Self::VekExtensionMalformed { .. } => "snp_vek_extension_malformed",
            Self::VekExtensionUnexpected { .. } => "snp_vek_extension_unexpected",
            Self::VekStructVersion { .. } => "snp_vek_struct_version",
            Self::VekKindUnclear { .. } => "snp_vek_kind_unclear",
            Self::VekProductUnknown { .. } => "snp_vek_product_unknown",
            Self::VekKey => "snp_vek_key",
            Self::VekKindMismatch { .. } => "snp_vek_kind_mismatch",
            Self::VekIssuerUnknown { .. } => "snp_vek_issuer_unknown",
            Self::VekIssuerKind { .. } => "snp_vek_issuer_kind",
            Self::ChainNameUnknown { .. } => "snp_chain_name_unknown",
            Self::ChainProductMismatch { .. } => "snp_chain_product_mismatch",
            Self::VekProductMismatch { .. } => "snp_vek_product_mismatch",
            Self::CpuidProductMismatch { .. } => "snp_cpuid_product_mismatch",
            Self::TcbReserved { .. } => "snp_tcb_reserved",
            Self::VekTcbMismatch { .. } => "snp_vek_tcb_mismatch",
            Self::VekTcbIsCurrent { .. } => "snp_vek_tcb_is_current",
            Self::HwidMismatch { .. } => "snp_hwid_mismatch",
            Self::ChipIdTail { .. } => "snp_chip_id_tail",
            Self::ChipIdMasked => "snp_chip_id_masked",
            Self::ChipKeyMasked => "snp_chip_key_masked",
            Self::ReportSignature { .. } => "snp_report_signature_invalid",
        }
    }
}
