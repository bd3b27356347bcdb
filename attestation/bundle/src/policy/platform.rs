//! What a machine must be: rules on verified SEV-SNP reports and TDX quotes.

use std::collections::BTreeMap;

use serde::Serialize;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::snp;
use vouchsafe_verifier::tdx::TcbStatus;
use vouchsafe_verifier::{json_record, json_words};

use super::rule::{Demanded, Rule};

/// Rules on the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformRules {
    /// Which technologies are accepted.
    pub accepted: Rule<Vec<PlatformName>>,
    /// For evidence without statements: the 64 bytes of REPORT_DATA must be given to the verifier.
    /// When given they must match in any case; in a bundle they bind the statements in any case.
    pub report_data: Rule<Demanded>,
    /// Rules on SEV-SNP reports.
    pub snp: SnpRules,
    /// Rules on TDX quotes.
    pub tdx: TdxRules,
}

json_record!(PlatformRules { accepted, report_data, snp, tdx });

/// A technology, by the word that evidence uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PlatformName {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

json_words!(PlatformName { "sev-snp" => SevSnp, "tdx" => Tdx });

/// Rules on SEV-SNP reports (AMD 56860, table "ATTESTATION_REPORT").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnpRules {
    /// Processor families.
    pub products: Rule<Vec<SnpProduct>>,
    /// Lowest accepted REPORTED_TCB per product, component by component.
    pub minimum_tcb: Rule<BTreeMap<SnpProduct, SnpTcb>>,
    /// Highest accepted VMPL of the report's requester.
    pub vmpl_max: Rule<u32>,
    /// POLICY.DEBUG: whether the host may read the guest's memory.
    pub debug: Rule<bool>,
    /// POLICY.MIGRATE_MA: whether a migration agent may be associated.
    pub migration: Rule<bool>,
    /// PLATFORM_INFO.SMT_EN: whether simultaneous multithreading is on.
    pub smt: Rule<bool>,
    /// POLICY.SINGLE_SOCKET: whether the guest may be activated on one socket only.
    pub single_socket: Rule<bool>,
    /// PLATFORM_INFO.ECC_EN: whether the memory corrects errors.
    pub ecc: Rule<bool>,
    /// PLATFORM_INFO.RAPL_DIS: whether power measurement by software is off.
    pub rapl_disabled: Rule<bool>,
    /// PLATFORM_INFO.CIPHERTEXT_HIDING_DRAM_EN: whether the host is kept from reading ciphertext.
    pub ciphertext_hiding: Rule<bool>,
    /// PLATFORM_INFO.ALIAS_CHECK_COMPLETE: whether firmware found no aliased memory (BadRAM).
    pub alias_check: Rule<bool>,
    /// Whether AMD's revocation list must be at hand, current, and clear of these certificates.
    pub crl: Rule<Demanded>,
    /// Which kinds of key may sign reports.
    pub signing_keys: Rule<Vec<SnpSigningKey>>,
    /// ID_KEY_DIGEST: who signed the guest's identity block.
    pub id_key_digests: Rule<Vec<Hex<48>>>,
    /// AUTHOR_KEY_DIGEST: who certified that key.
    pub author_key_digests: Rule<Vec<Hex<48>>>,
    /// HOST_DATA.
    pub host_data: Rule<Vec<Hex<32>>>,
    /// CHIP_ID, 64 bytes (on Turin eight, then zeros).
    pub chip_ids: Rule<Vec<Hex<64>>>,
}

json_record!(SnpRules {
    products,
    minimum_tcb,
    vmpl_max,
    debug,
    migration,
    smt,
    single_socket,
    ecc,
    rapl_disabled,
    ciphertext_hiding,
    alias_check,
    crl,
    signing_keys,
    id_key_digests,
    author_key_digests,
    host_data,
    chip_ids,
});

/// A processor family with its own AMD root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SnpProduct {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004 (Genoa, Bergamo, Siena).
    Genoa,
    /// EPYC 9005.
    Turin,
}

json_words!(SnpProduct { "Milan" => Milan, "Genoa" => Genoa, "Turin" => Turin });

impl PartialEq<snp::Product> for SnpProduct {
    fn eq(&self, other: &snp::Product) -> bool {
        self.as_str() == other.name()
    }
}

/// The kind of key that signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnpSigningKey {
    /// Versioned chip endorsement key: of one chip.
    Vcek,
    /// Versioned loaded endorsement key: of one cloud provider.
    Vlek,
}

json_words!(SnpSigningKey { "VCEK" => Vcek, "VLEK" => Vlek });

impl PartialEq<snp::VekKind> for SnpSigningKey {
    fn eq(&self, other: &snp::VekKind) -> bool {
        matches!((self, other), (Self::Vcek, snp::VekKind::Vcek) | (Self::Vlek, snp::VekKind::Vlek))
    }
}

/// Security version numbers of firmware components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SnpTcb {
    /// Firmware configuration, on Turin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// PSP bootloader.
    pub bootloader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// CPU microcode.
    pub microcode: u8,
}

json_record!(SnpTcb { fmc, bootloader, tee, snp, microcode });

/// Rules on TDX quotes (Intel TDX DCAP Quote Generation Library, appendix 3; Intel PCS API v4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxRules {
    /// Accepted TCB statuses.
    pub tcb_statuses: Rule<Vec<TcbStatusRule>>,
    /// Advisories that must not apply, as `INTEL-SA-00960`.
    pub advisories_denied: Rule<Vec<String>>,
    /// The only advisories that may apply.
    pub advisories_tolerated: Rule<Vec<String>>,
    /// Lowest `tcbEvaluationDataNumber` of TCB info and QE identity.
    pub evaluation_number_min: Rule<u32>,
    /// TDATTRIBUTES, group TUD: whether the host may debug or profile the TD.
    pub debug: Rule<bool>,
    /// TDATTRIBUTES.SEPT_VE_DISABLE.
    pub sept_ve_disable: Rule<bool>,
    /// TDATTRIBUTES.MIGRATABLE.
    pub migratable: Rule<bool>,
    /// MRSERVICETD must be zero: no service TD is bound. TD 1.0 has none.
    pub no_service_td: Rule<Demanded>,
    /// What may follow the quote's own bytes. Anything but zeros is refused in any case.
    pub trailing_bytes: Rule<TrailingBytes>,
    /// Not all of RTMR0 to RTMR3 may be zero.
    pub rtmrs_nonzero: Rule<Demanded>,
    /// An event log must be at hand and replay to the RTMRs.
    pub event_log: Rule<Demanded>,
    /// MRCONFIGID.
    pub mrconfigid: Rule<Vec<Hex<48>>>,
    /// MROWNER.
    pub mrowner: Rule<Vec<Hex<48>>>,
    /// MROWNERCONFIG.
    pub mrownerconfig: Rule<Vec<Hex<48>>>,
    /// PPIDs of platforms.
    pub ppids: Rule<Vec<Hex<16>>>,
}

json_record!(TdxRules {
    tcb_statuses,
    advisories_denied,
    advisories_tolerated,
    evaluation_number_min,
    debug,
    sept_ve_disable,
    migratable,
    no_service_td,
    trailing_bytes,
    rtmrs_nonzero,
    event_log,
    mrconfigid,
    mrowner,
    mrownerconfig,
    ppids,
});

/// What may follow a quote in its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrailingBytes {
    /// Nothing.
    None,
    /// Zeros: Linux hands out some quotes in a buffer of fixed length.
    Zeros,
}

json_words!(TrailingBytes { "none" => None, "zeros" => Zeros });

/// A TCB status that is accepted, for ever or for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TcbStatusRule {
    /// The status in Intel's words.
    pub status: TcbStatus,
    /// Accepted only for so many days after the date of the TCB level that is reached (the oldest,
    /// of the platform's, the module's and the quoting enclave's that are not up to date); left out:
    /// without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_days: Option<u32>,
}

json_record!(TcbStatusRule { status, grace_days });
