//! SEV metadata: checked here, hashed by the crate `sev`.
//!
//! That crate's reader indexes the image by what the image says, so that a hostile file would make it
//! panic. Everything it follows is therefore checked first; what passes is handed to it unchanged.
//! Specification: edk2's `OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm`.

use super::{Firmware, Guid, PAGE_BYTES};
use crate::Error;
use crate::bytes::{array, size_at, slice, u32_at};

const WHAT: &str = "SEV metadata";
const HASHES: &str = "table for hashes of kernel, initrd and command line";
const RESET: &str = "SEV-ES reset block";

const METADATA_ENTRY: Guid =
    Guid::new(0xdc88_6566, 0x984a, 0x4798, [0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc]);
const HASH_TABLE_ENTRY: Guid =
    Guid::new(0x7255_371f, 0x3a3b, 0x4b04, [0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54]);
const RESET_BLOCK_ENTRY: Guid =
    Guid::new(0x00f7_71de, 0x1a7e, 0x4fcb, [0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e]);

const HEADER_LEN: usize = 16;
const SECTION_LEN: usize = 12;
const SECTIONS_MAX: usize = 64;
/// OVMF names less than 1 MiB. A bound on the work.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// Length of the table of hashes with its padding (QEMU's `target/i386/sev.c`).
const HASH_TABLE_BYTES: u64 = 176;
/// Section types: zeroed memory, secrets, CPUID, SVSM's calling area, kernel hashes.
const TYPES: [u32; 5] = [1, 2, 3, 4, 0x10];
const TYPE_KERNEL_HASHES: u32 = 0x10;

/// A firmware image whose SEV metadata a launch of a given kernel can follow.
#[derive(Debug, Clone)]
pub struct SevMetadata<'a> {
    image: &'a [u8],
}

impl<'a> SevMetadata<'a> {
    /// Checks everything that computing a launch digest with a measured kernel reads.
    ///
    /// # Errors
    /// When the image is no build for SEV, has no room for the hashes of the kernel (only OVMF's
    /// AmdSev build has), or its metadata is malformed.
    pub fn parse(firmware: &Firmware<'a>) -> Result<Self, Error> {
        let field = |field, found| Error::FirmwareField { what: WHAT, field, found };
        let distance =
            firmware.entry_u32(METADATA_ENTRY, WHAT)?.ok_or(Error::FirmwareLacks { what: WHAT })?;
        firmware.entry_u32(RESET_BLOCK_ENTRY, RESET)?.ok_or(Error::FirmwareLacks { what: RESET })?;
        let hashes = firmware
            .entry_u32(HASH_TABLE_ENTRY, HASHES)?
            .filter(|address| *address != 0)
            .map(u64::from)
            .ok_or(Error::FirmwareLacks { what: HASHES })?;
        let descriptor = firmware.descriptor(distance, WHAT)?;
        let header: [u8; HEADER_LEN] =
            array(descriptor, 0).ok_or_else(|| field("distance from the end", distance.into()))?;
        let number = |offset| u32_at(&header, offset).unwrap_or_default();
        if number(0).to_le_bytes() != *b"ASEV" {
            return Err(field("signature", number(0).into()));
        }
        if number(8) != 1 {
            return Err(field("version", number(8).into()));
        }
        let count = size_at(&header, 12)
            .filter(|count| (1..=SECTIONS_MAX).contains(count))
            .ok_or_else(|| field("number of sections", number(12).into()))?;
        let whole = count.saturating_mul(SECTION_LEN).saturating_add(HEADER_LEN);
        if usize::try_from(number(4)) != Ok(whole) {
            return Err(field("length", number(4).into()));
        }
        let sections = slice(descriptor, HEADER_LEN, whole.saturating_sub(HEADER_LEN))
            .ok_or_else(|| field("length", number(4).into()))?;
        check_sections(sections, hashes)?;
        Ok(Self { image: firmware.bytes() })
    }

    /// The image, as it was checked.
    pub fn image(&self) -> &'a [u8] {
        self.image
    }
}

fn check_sections(sections: &[u8], hashes: u64) -> Result<(), Error> {
    let mut bytes = 0_u64;
    let mut places_for_hashes = 0_usize;
    for (index, entry) in sections.chunks_exact(SECTION_LEN).enumerate() {
        let fault = |field, found| Error::FirmwareSection { what: WHAT, index, field, found };
        let address = u64::from(u32_at(entry, 0).unwrap_or_default());
        let len = u64::from(u32_at(entry, 4).unwrap_or_default());
        let kind = u32_at(entry, 8).unwrap_or_default();
        if !address.is_multiple_of(PAGE_BYTES) {
            return Err(fault("address", address));
        }
        if len == 0 || !len.is_multiple_of(PAGE_BYTES) {
            return Err(fault("length", len));
        }
        if !TYPES.contains(&kind) {
            return Err(fault("type", kind.into()));
        }
        if kind == TYPE_KERNEL_HASHES {
            places_for_hashes = places_for_hashes.saturating_add(1);
            if len != PAGE_BYTES {
                return Err(fault("length", len));
            }
            let is_inside =
                address <= hashes && hashes.saturating_add(HASH_TABLE_BYTES) <= address.saturating_add(len);
            if !is_inside {
                return Err(Error::FirmwareField { what: HASHES, field: "address", found: hashes });
            }
        }
        bytes = bytes.saturating_add(len);
    }
    if bytes > MEMORY_BYTES_MAX {
        return Err(Error::FirmwareSectionsTooLong { what: WHAT, bytes, max: MEMORY_BYTES_MAX });
    }
    match places_for_hashes {
        1 => Ok(()),
        0 => Err(Error::FirmwareLacks { what: HASHES }),
        _ => Err(Error::FirmwareTableTwice { what: HASHES }),
    }
}
