//! TDVF metadata: which parts of the image are loaded where, and which of them are measured.
//!
//! Specification: Intel TDX Virtual Firmware Design Guide (344991-004US), section 11. What QEMU's
//! `hw/i386/tdvf.c` refuses is refused here.

use super::{Firmware, Guid, PAGE_BYTES};
use crate::Error;
use crate::bytes::{array, size_at, slice, u32_at, u64_at};

const WHAT: &str = "TDVF metadata";
const OFFSET_ENTRY: Guid =
    Guid::new(0xe47a_6535, 0x984a, 0x4798, [0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2]);
/// Signature, length, version, number of sections (table 11-1).
const DESCRIPTOR_LEN: usize = 16;
/// One section's entry (table 11-2).
const SECTION_LEN: usize = 32;
const SECTIONS_MAX: usize = 32;
/// OVMF occupies 5 MiB. A bound on the work, not on what TDX allows.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
const ATTRIBUTE_MR_EXTEND: u32 = 1;

/// What a section is for (table 11-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionKind {
    /// Boot firmware volume: code.
    Bfv,
    /// Configuration firmware volume: UEFI variables.
    Cfv,
    /// Where the host writes the list of hand-off blocks.
    TdHob,
    /// Memory for stack and heap, zeros at launch.
    TempMem,
}

/// One section: guest memory that is there at launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    /// What it is for.
    pub kind: SectionKind,
    /// Guest-physical address of its first byte, page-aligned.
    pub address: u64,
    /// Its length in bytes, whole pages.
    pub len: u64,
    /// What it is loaded with; empty where it starts as zeros. Otherwise `len` bytes.
    pub data: &'a [u8],
    /// Whether its content goes into MRTD, not just its pages' addresses.
    pub measured: bool,
}

/// The metadata of a firmware image for TDX.
#[derive(Debug, Clone)]
pub struct Tdvf<'a> {
    sections: Vec<Section<'a>>,
}

impl<'a> Tdvf<'a> {
    /// Reads the metadata.
    ///
    /// # Errors
    /// When the image has none, or a section that could not be loaded.
    pub fn parse(firmware: &Firmware<'a>) -> Result<Self, Error> {
        let field = |field, found| Error::FirmwareField { what: WHAT, field, found };
        let distance = firmware.entry_u32(OFFSET_ENTRY, WHAT)?.ok_or(Error::FirmwareLacks { what: WHAT })?;
        let descriptor = firmware.descriptor(distance, WHAT)?;
        let header: [u8; DESCRIPTOR_LEN] =
            array(descriptor, 0).ok_or_else(|| field("distance from the end", distance.into()))?;
        let signature = u32_at(&header, 0).unwrap_or_default();
        if signature.to_le_bytes() != *b"TDVF" {
            return Err(field("signature", signature.into()));
        }
        let length = u32_at(&header, 4).unwrap_or_default();
        let version = u32_at(&header, 8).unwrap_or_default();
        if version != 1 {
            return Err(field("version", version.into()));
        }
        let count = size_at(&header, 12).filter(|count| (1..=SECTIONS_MAX).contains(count));
        let count = count
            .ok_or_else(|| field("number of sections", u32_at(&header, 12).unwrap_or_default().into()))?;
        let whole = count.saturating_mul(SECTION_LEN).saturating_add(DESCRIPTOR_LEN);
        if usize::try_from(length) != Ok(whole) {
            return Err(field("length", length.into()));
        }
        let entries = slice(descriptor, DESCRIPTOR_LEN, whole.saturating_sub(DESCRIPTOR_LEN))
            .ok_or_else(|| field("length", length.into()))?;
        let sections = entries
            .chunks_exact(SECTION_LEN)
            .enumerate()
            .map(|(index, entry)| section(index, entry, firmware.bytes()))
            .collect::<Result<Vec<_>, _>>()?;
        check_layout(&sections)?;
        Ok(Self { sections })
    }

    /// All sections, in the order in which the host adds them.
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The one section of a kind.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn only(&self, kind: SectionKind, what: &'static str) -> Result<&Section<'a>, Error> {
        let mut found = self.sections.iter().filter(|section| section.kind == kind);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Error::FirmwareLacks { what }),
            (Some(_), Some(_)) => Err(Error::FirmwareTableTwice { what }),
        }
    }
}

fn section<'a>(index: usize, entry: &[u8], image: &'a [u8]) -> Result<Section<'a>, Error> {
    let fault = |field, found| Error::FirmwareSection { what: WHAT, index, field, found };
    let offset = u32_at(entry, 0).unwrap_or_default();
    let raw_len = u32_at(entry, 4).unwrap_or_default();
    let address = u64_at(entry, 8).unwrap_or_default();
    let len = u64_at(entry, 16).unwrap_or_default();
    let kind = u32_at(entry, 24).unwrap_or_default();
    let attributes = u32_at(entry, 28).unwrap_or_default();
    let kind = match kind {
        0 => SectionKind::Bfv,
        1 => SectionKind::Cfv,
        2 => SectionKind::TdHob,
        3 => SectionKind::TempMem,
        _ => return Err(fault("type", kind.into())),
    };
    if attributes & !ATTRIBUTE_MR_EXTEND != 0 {
        return Err(fault("attributes", attributes.into()));
    }
    if !address.is_multiple_of(PAGE_BYTES) {
        return Err(fault("memory address", address));
    }
    if len == 0 || !len.is_multiple_of(PAGE_BYTES) || address.checked_add(len).is_none() {
        return Err(fault("memory length", len));
    }
    let is_loaded = matches!(kind, SectionKind::Bfv | SectionKind::Cfv);
    // QEMU maps the image itself, so a section that is longer than its data would continue with
    // whatever follows in the file.
    if u64::from(raw_len) != if is_loaded { len } else { 0 } {
        return Err(fault("data length", raw_len.into()));
    }
    let data = usize::try_from(offset)
        .ok()
        .zip(usize::try_from(raw_len).ok())
        .and_then(|(offset, raw_len)| slice(image, offset, raw_len))
        .ok_or_else(|| fault("data offset", offset.into()))?;
    Ok(Section { kind, address, len, data, measured: attributes & ATTRIBUTE_MR_EXTEND != 0 })
}

fn check_layout(sections: &[Section<'_>]) -> Result<(), Error> {
    let bytes = sections.iter().fold(0_u64, |sum, section| sum.saturating_add(section.len));
    if bytes > MEMORY_BYTES_MAX {
        return Err(Error::FirmwareSectionsTooLong { what: WHAT, bytes, max: MEMORY_BYTES_MAX });
    }
    let mut ranges: Vec<_> = sections.iter().map(|section| (section.address, section.len)).collect();
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        if let [(address, len), (next, _)] = pair
            && address.saturating_add(*len) > *next
        {
            return Err(Error::FirmwareSectionsOverlap { what: WHAT, address: *next });
        }
    }
    Ok(())
}
