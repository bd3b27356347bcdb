//! TCB versions: security patch levels of the firmware components, never one number.

use serde::Serialize;

use super::Product;
use super::error::Error as SnpError;

/// `TCB_VERSION` as it stands in a report: 8 bytes whose layout depends on the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcbVersion {
    bytes: [u8; 8],
}

/// Security patch levels by component. Two TCBs are compared component by component; as 64-bit
/// numbers they have no meaning, since a high microcode byte could hide an old PSP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Tcb {
    /// First mutable code (Turin only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// PSP bootloader.
    #[serde(rename = "bl")]
    pub bootloader: u8,
    /// PSP operating system.
    pub tee: u8,
    /// SEV-SNP firmware.
    pub snp: u8,
    /// Lowest microcode patch level of all cores.
    #[serde(rename = "ucode")]
    pub microcode: u8,
}

/// One of a TCB's components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TcbComponent {
    /// First mutable code.
    Fmc,
    /// PSP bootloader.
    Bootloader,
    /// PSP operating system.
    Tee,
    /// SEV-SNP firmware.
    Snp,
    /// Microcode.
    Microcode,
    /// One of the four patch levels that AMD reserves (`spl4` to `spl7`).
    Spare(u8),
}

impl TcbVersion {
    /// Takes the 8 bytes as they stand in the report.
    pub(super) fn new(bytes: [u8; 8]) -> Self {
        Self { bytes }
    }

    /// The 8 bytes as they stand in the report (little-endian when read as AMD's u64).
    pub fn raw(&self) -> [u8; 8] {
        self.bytes
    }

    /// The components, in the product's layout (AMD 56860, "TCB_VERSION"): Milan and Genoa have
    /// bootloader, TEE, four reserved bytes, SNP, microcode; Turin has FMC, bootloader, TEE, SNP,
    /// three reserved bytes, microcode.
    ///
    /// # Errors
    /// [`SnpError::TcbReserved`] when a reserved byte is not zero: a component this crate does not
    /// know could not be compared.
    pub fn components(&self, product: Product) -> Result<Tcb, SnpError> {
        let (tcb, reserved) = match product {
            Product::Milan | Product::Genoa => {
                let [bootloader, tee, a, b, c, d, snp, microcode] = self.bytes;
                (Tcb { fmc: None, bootloader, tee, snp, microcode }, [a, b, c, d])
            }
            Product::Turin => {
                let [fmc, bootloader, tee, snp, a, b, c, microcode] = self.bytes;
                (Tcb { fmc: Some(fmc), bootloader, tee, snp, microcode }, [a, b, c, 0])
            }
        };
        if reserved == [0; 4] { Ok(tcb) } else { Err(SnpError::TcbReserved { tcb: self.bytes, product }) }
    }
}

impl Tcb {
    /// The components that this TCB has, with their levels.
    pub fn components(&self) -> impl Iterator<Item = (TcbComponent, u8)> + use<> {
        let Self { fmc, bootloader, tee, snp, microcode } = *self;
        fmc.map(|level| (TcbComponent::Fmc, level)).into_iter().chain([
            (TcbComponent::Bootloader, bootloader),
            (TcbComponent::Tee, tee),
            (TcbComponent::Snp, snp),
            (TcbComponent::Microcode, microcode),
        ])
    }
}

impl core::fmt::Display for TcbComponent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Fmc => f.write_str("fmc"),
            Self::Bootloader => f.write_str("bl"),
            Self::Tee => f.write_str("tee"),
            Self::Snp => f.write_str("snp"),
            Self::Microcode => f.write_str("ucode"),
            Self::Spare(number) => write!(f, "spl{number}"),
        }
    }
}
