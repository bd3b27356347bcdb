//! The report's signature field (AMD 56860, "Format for an ECDSA P-384 with SHA-384 Signature").

use super::error::Error as SnpError;

/// Bytes of a P-384 scalar.
const SCALAR_LEN: usize = 48;
/// R and S have 72 bytes each, little-endian.
const COMPONENT_LEN: usize = 72;
/// The field's bytes after R and S.
const PADDING_LEN: usize = 368;
/// Length of the whole field, in bytes.
pub(super) const SIGNATURE_LEN: usize = 512;

/// The order n of P-384's base point (SEC 2, 2.5.1).
const P384_ORDER: [u8; SCALAR_LEN] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
    0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// An ECDSA P-384 signature in the form r‖s, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReportSignature {
    fixed: [u8; 96],
}

impl ReportSignature {
    /// Parses the field so that one signature has one form: R and S fit 48 bytes and lie in 1..n, and
    /// every byte after them is zero. Whoever keys anything on report bytes (a cache, a log) would
    /// otherwise take one report for many.
    pub(super) fn parse(field: &[u8; SIGNATURE_LEN]) -> Result<Self, SnpError> {
        let (r, s, padding) = split(field).ok_or(SnpError::SignaturePadding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(SnpError::SignaturePadding);
        }
        let mut fixed = [0; 96];
        let (fixed_r, fixed_s) = fixed.split_at_mut(SCALAR_LEN);
        for (component, scalar, to) in [("r", r, fixed_r), ("s", s, fixed_s)] {
            let (low, high) = scalar.split_at(SCALAR_LEN);
            if high.iter().any(|byte| *byte != 0) {
                return Err(SnpError::SignatureHighBytes { component });
            }
            for (to, from) in to.iter_mut().zip(low.iter().rev()) {
                *to = *from;
            }
            // Big-endian numbers of one length compare as byte strings do.
            if to.iter().all(|byte| *byte == 0) || &*to >= P384_ORDER.as_slice() {
                return Err(SnpError::SignatureRange { component });
            }
        }
        Ok(Self { fixed })
    }

    /// r‖s, 96 bytes big-endian.
    pub fn fixed(&self) -> &[u8; 96] {
        &self.fixed
    }
}

type Parts<'a> = (&'a [u8; COMPONENT_LEN], &'a [u8; COMPONENT_LEN], &'a [u8; PADDING_LEN]);

fn split(field: &[u8; SIGNATURE_LEN]) -> Option<Parts<'_>> {
    let (r, rest) = field.split_first_chunk()?;
    let (s, padding) = rest.split_first_chunk()?;
    Some((r, s, padding.try_into().ok()?))
}

impl core::fmt::Debug for ReportSignature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ReportSignature({})", crate::encoding::to_hex(&self.fixed))
    }
}
