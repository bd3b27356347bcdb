//! An AMD-shaped authority and the chips it endorses.
//!
//! Layouts and encodings follow AMD 56860 (SEV Secure Nested Paging Firmware ABI) and AMD 57230
//! (VCEK Certificate and KDS Interface), and were compared byte for byte with certificates, CRLs
//! and reports that AMD's own service and processors made.

mod authority;
pub mod certificate;
mod key;
mod machine;
mod report;
mod store;

use const_oid::ObjectIdentifier;

pub use authority::{AmdAuthority, Issuer};
pub use key::VekKey;
pub use machine::{SnpMachine, SnpMachineSpec, VekKind};
pub use report::{CpuId, FirmwareVersion, REPORT_BYTES, ReportFields, SIGNED_BYTES};

/// A processor family with its own root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004 (Genoa, Bergamo, Siena).
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// Every product.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name AMD's certificates and the KDS use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// How many leading bytes of CHIP_ID identify the chip; the rest is zero.
    pub fn hwid_bytes(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }

    /// A CPUID that the product's reports carry.
    pub fn cpu_id(self) -> CpuId {
        match self {
            Self::Milan => CpuId { family: 0x19, model: 0x01, stepping: 0x01 },
            Self::Genoa => CpuId { family: 0x19, model: 0x11, stepping: 0x01 },
            Self::Turin => CpuId { family: 0x1a, model: 0x02, stepping: 0x01 },
        }
    }

    /// A TCB that was current for the product at the time of writing.
    pub fn typical_tcb(self) -> Tcb {
        match self {
            Self::Milan => Tcb { fmc: 0, boot_loader: 4, tee: 0, snp: 0x1b, microcode: 0xde },
            Self::Genoa => Tcb { fmc: 0, boot_loader: 10, tee: 0, snp: 0x1b, microcode: 0x54 },
            Self::Turin => Tcb { fmc: 1, boot_loader: 1, tee: 1, snp: 4, microcode: 0x51 },
        }
    }

    /// The number AMD builds its CA serial numbers on.
    fn serial_base(self) -> u8 {
        match self {
            Self::Milan => 1,
            Self::Genoa => 2,
            Self::Turin => 3,
        }
    }
}

/// Security version numbers of the firmware components: TCB_VERSION.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tcb {
    /// Firmware configuration (Turin only; elsewhere it must be zero to be expressed).
    pub fmc: u8,
    /// PSP boot loader.
    pub boot_loader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// CPU microcode.
    pub microcode: u8,
}

impl Tcb {
    /// The eight bytes of TCB_VERSION: Milan and Genoa in AMD 56860's table "TCB_VERSION", Turin in
    /// the table for family 1Ah.
    pub fn to_bytes(self, product: Product) -> [u8; 8] {
        match product {
            Product::Milan | Product::Genoa => {
                [self.boot_loader, self.tee, 0, 0, 0, 0, self.snp, self.microcode]
            }
            Product::Turin => [self.fmc, self.boot_loader, self.tee, self.snp, 0, 0, 0, self.microcode],
        }
    }
}

/// AMD's certificate extensions, AMD 57230 chapter 3.
pub mod oid {
    use super::ObjectIdentifier;

    /// structVersion: 0 for Milan and Genoa, 1 for Turin.
    pub const STRUCT_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.1");
    /// productName.
    pub const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
    /// blSPL.
    pub const BL_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
    /// teeSPL.
    pub const TEE_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
    /// snpSPL.
    pub const SNP_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
    /// spl4, which Turin does not have.
    pub const SPL_4: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4");
    /// spl5.
    pub const SPL_5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5");
    /// spl6.
    pub const SPL_6: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6");
    /// spl7.
    pub const SPL_7: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7");
    /// ucodeSPL.
    pub const UCODE_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
    /// fmcSPL, Turin only.
    pub const FMC_SPL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
    /// hwID, in a VCEK.
    pub const HWID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
    /// cspID, in a VLEK.
    pub const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");
}
