//! The attestation report, field by field.
//!
//! AMD 56860 revision 1.58, table "ATTESTATION_REPORT Structure". Little-endian throughout.

use super::{Product, Tcb};

/// Length of a report, bytes.
pub const REPORT_BYTES: usize = 0x4a0;
/// How many leading bytes of a report are signed.
pub const SIGNED_BYTES: usize = 0x2a0;

/// CPUID family, model and stepping, as reports from version 3 on carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuId {
    /// Combined extended and base family.
    pub family: u8,
    /// Combined extended and base model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

/// The version of the SNP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwareVersion {
    /// Build.
    pub build: u8,
    /// Minor.
    pub minor: u8,
    /// Major.
    pub major: u8,
}

impl FirmwareVersion {
    fn to_bytes(self) -> [u8; 4] {
        [self.build, self.minor, self.major, 0]
    }
}

/// Everything a report says. Fields that the chosen version does not have are written as zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFields {
    /// VERSION: 2 to 5 exist.
    pub version: u32,
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// POLICY.
    pub policy: u64,
    /// FAMILY_ID.
    pub family_id: [u8; 16],
    /// IMAGE_ID.
    pub image_id: [u8; 16],
    /// VMPL that asked for the report.
    pub vmpl: u32,
    /// SIGNATURE_ALGO: 1 is ECDSA P-384 with SHA-384.
    pub signature_algo: u32,
    /// CURRENT_TCB, TCB_VERSION bytes.
    pub current_tcb: [u8; 8],
    /// PLATFORM_INFO.
    pub platform_info: u64,
    /// KEY_INFO: bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 4:2 SIGNING_KEY.
    pub key_info: u32,
    /// REPORT_DATA, what the guest wanted signed.
    pub report_data: [u8; 64],
    /// MEASUREMENT: the launch digest.
    pub measurement: [u8; 48],
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// ID_KEY_DIGEST.
    pub id_key_digest: [u8; 48],
    /// AUTHOR_KEY_DIGEST.
    pub author_key_digest: [u8; 48],
    /// REPORT_ID.
    pub report_id: [u8; 32],
    /// REPORT_ID_MA: all ones without a migration agent.
    pub report_id_ma: [u8; 32],
    /// REPORTED_TCB, TCB_VERSION bytes: the TCB whose VCEK signs.
    pub reported_tcb: [u8; 8],
    /// CPUID, version 3 on.
    pub cpu_id: CpuId,
    /// CHIP_ID.
    pub chip_id: [u8; 64],
    /// COMMITTED_TCB, TCB_VERSION bytes.
    pub committed_tcb: [u8; 8],
    /// CURRENT_BUILD, CURRENT_MINOR, CURRENT_MAJOR.
    pub current_firmware: FirmwareVersion,
    /// COMMITTED_BUILD, COMMITTED_MINOR, COMMITTED_MAJOR.
    pub committed_firmware: FirmwareVersion,
    /// LAUNCH_TCB, TCB_VERSION bytes.
    pub launch_tcb: [u8; 8],
    /// LAUNCH_MIT_VECTOR, version 5 on.
    pub launch_mitigations: u64,
    /// CURRENT_MIT_VECTOR, version 5 on.
    pub current_mitigations: u64,
}

impl ReportFields {
    /// What an ordinary, up-to-date guest reports: policy with SMT and the always-set bit 17 and
    /// nothing else, VMPL 0, SMT, ECC and ALIAS_CHECK_COMPLETE on the platform, signed by the VCEK.
    pub fn typical(product: Product, tcb: Tcb) -> Self {
        let tcb = tcb.to_bytes(product);
        // Turin's own bit 6 and its longer list of mitigations stand in every real Turin report.
        let (platform_info, mitigations) = match product {
            Product::Milan | Product::Genoa => (0x25, 0xb),
            Product::Turin => (0x65, 0x3f),
        };
        let firmware = FirmwareVersion { build: 49, minor: 55, major: 1 };
        Self {
            version: 5,
            guest_svn: 0,
            policy: 0x3_0000,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            signature_algo: 1,
            current_tcb: tcb,
            platform_info,
            key_info: 0,
            report_data: [0; 64],
            measurement: [0; 48],
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: [0; 32],
            report_id_ma: [0xff; 32],
            reported_tcb: tcb,
            cpu_id: product.cpu_id(),
            chip_id: [0; 64],
            committed_tcb: tcb,
            current_firmware: firmware,
            committed_firmware: firmware,
            launch_tcb: tcb,
            launch_mitigations: mitigations,
            current_mitigations: mitigations,
        }
    }

    /// The signed part of the report.
    pub fn to_bytes(&self) -> [u8; SIGNED_BYTES] {
        let mut bytes = [0; SIGNED_BYTES];
        let mut put =
            |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(0x000, &self.version.to_le_bytes());
        put(0x004, &self.guest_svn.to_le_bytes());
        put(0x008, &self.policy.to_le_bytes());
        put(0x010, &self.family_id);
        put(0x020, &self.image_id);
        put(0x030, &self.vmpl.to_le_bytes());
        put(0x034, &self.signature_algo.to_le_bytes());
        put(0x038, &self.current_tcb);
        put(0x040, &self.platform_info.to_le_bytes());
        put(0x048, &self.key_info.to_le_bytes());
        put(0x050, &self.report_data);
        put(0x090, &self.measurement);
        put(0x0c0, &self.host_data);
        put(0x0e0, &self.id_key_digest);
        put(0x110, &self.author_key_digest);
        put(0x140, &self.report_id);
        put(0x160, &self.report_id_ma);
        put(0x180, &self.reported_tcb);
        if self.version >= 3 {
            put(0x188, &[self.cpu_id.family, self.cpu_id.model, self.cpu_id.stepping]);
        }
        put(0x1a0, &self.chip_id);
        put(0x1e0, &self.committed_tcb);
        put(0x1e8, &self.current_firmware.to_bytes());
        put(0x1ec, &self.committed_firmware.to_bytes());
        put(0x1f0, &self.launch_tcb);
        if self.version >= 5 {
            put(0x1f8, &self.launch_mitigations.to_le_bytes());
            put(0x200, &self.current_mitigations.to_le_bytes());
        }
        bytes
    }
}
