//! Product lines: each has its own ARK and its own layout of TCB versions.

use serde::Serialize;

/// An EPYC product line, as AMD's key hierarchy divides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004, and 97X4 (Bergamo) and 8004 (Siena), which the Genoa hierarchy endorses.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// All product lines this crate knows.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// AMD's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product line of that exact name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// The product line in a VEK's `productName`, which may carry a stepping (`Milan-B0`;
    /// AMD 57230, "productName").
    pub(super) fn from_certificate_name(name: &str) -> Option<Self> {
        let (line, stepping) = name.split_once('-').unwrap_or((name, "A0"));
        let stepping_known = matches!(stepping.as_bytes(), [letter, digit] if letter.is_ascii_uppercase() && digit.is_ascii_digit());
        Self::from_name(line).filter(|_| stepping_known)
    }

    /// The product line of a CPU, by the combined family and model that reports carry since version 3
    /// (AMD 56860, ATTESTATION_REPORT, CPUID_FAM_ID and CPUID_MOD_ID). A line spans ranges of models.
    pub fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// How many bytes the VCEK's `hwID` has: how much of CHIP_ID is meaningful (AMD 57230, "hwID").
    pub(super) fn hwid_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl core::fmt::Display for Product {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_stepping() {
        assert_eq!(Product::from_certificate_name("Milan-B0"), Some(Product::Milan));
        assert_eq!(Product::from_certificate_name("Genoa"), Some(Product::Genoa));
        assert_eq!(Product::from_certificate_name("Turin"), Some(Product::Turin));
        for wrong in
            ["", "Naples", "milan", "Milan-", "Milan-B", "Milan-B00", "Milan B0", "-B0", "Milan-B0-B0"]
        {
            assert_eq!(Product::from_certificate_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn models_come_in_ranges() {
        for (family, model, product) in [
            (0x19, 0x01, Some(Product::Milan)),
            (0x19, 0x11, Some(Product::Genoa)),
            (0x19, 0xa0, Some(Product::Genoa)),
            (0x1a, 0x02, Some(Product::Turin)),
            (0x1a, 0x11, Some(Product::Turin)),
            (0x19, 0x20, None),
            (0x1a, 0x50, None),
            (0x17, 0x31, None),
            (0x00, 0x00, None),
        ] {
            assert_eq!(Product::from_cpuid(family, model), product, "{family:#x} {model:#x}");
        }
    }
}
