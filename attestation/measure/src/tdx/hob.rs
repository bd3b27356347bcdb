//! The TD HOB: the list of memory ranges that QEMU hands to the firmware.
//!
//! Specification: UEFI Platform Initialization 1.8, volume 3, section 5 (hand-off blocks); what QEMU
//! writes is defined by its `hw/i386/tdvf-hob.c`, `target/i386/kvm/tdx.c` and, for the hole below
//! 4 GiB, `hw/i386/pc_q35.c`. OVMF measures the list without the block that ends it.

use crate::Error;
use crate::firmware::{SectionKind, Tdvf};

/// Largest memory: 4 PiB, the most a guest-physical address reaches.
pub const MEMORY_BYTES_MAX: u64 = 1 << 52;

const GIB: u64 = 1 << 30;
/// From this size on, q35 keeps only 2 GiB below 4 GiB.
const LOW_MEMORY_SPLIT_FROM: u64 = 0xb000_0000;
const LOW_MEMORY_WHEN_SPLIT: u64 = 2 * GIB;

const HANDOFF_LEN: usize = 56;
const RESOURCE_LEN: usize = 48;
const END_LEN: usize = 8;
/// EFI_RESOURCE_SYSTEM_MEMORY and EFI_RESOURCE_MEMORY_UNACCEPTED.
const SYSTEM_MEMORY: u32 = 0;
const UNACCEPTED_MEMORY: u32 = 7;
/// Present, initialised, tested.
const ATTRIBUTES: u32 = 7;

/// A range of guest memory: start, length, whether the host has added it before launch.
type Range = (u64, u64, bool);

/// The TD HOB as OVMF measures it, for a q35 machine with so much memory.
///
/// # Errors
/// When the firmware has no one place for it, or the memory cannot hold what the firmware occupies.
pub fn td_hob(tdvf: &Tdvf<'_>, memory_bytes: u64) -> Result<Vec<u8>, Error> {
    let place = tdvf.only(SectionKind::TdHob, "place for the TD HOB")?;
    let ranges = ranges(tdvf, memory_bytes)?;
    let len = ranges.len().saturating_mul(RESOURCE_LEN).saturating_add(HANDOFF_LEN).saturating_add(END_LEN);
    let end = u64::try_from(len).unwrap_or(u64::MAX);
    if end > place.len {
        return Err(Error::HobTooLong { len, max: place.len });
    }
    let mut hob = Vec::with_capacity(len);
    header(&mut hob, 1, HANDOFF_LEN);
    // Version 9, boot mode 0, four addresses that QEMU leaves zero, then where the list ends.
    hob.extend(9_u32.to_le_bytes());
    hob.extend([0; 36]);
    hob.extend(place.address.saturating_add(end).to_le_bytes());
    for (start, len, added) in ranges {
        header(&mut hob, 3, RESOURCE_LEN);
        hob.extend([0; 16]);
        hob.extend(if added { SYSTEM_MEMORY } else { UNACCEPTED_MEMORY }.to_le_bytes());
        hob.extend(ATTRIBUTES.to_le_bytes());
        hob.extend(start.to_le_bytes());
        hob.extend(len.to_le_bytes());
    }
    Ok(hob)
}

fn header(hob: &mut Vec<u8>, kind: u16, len: usize) {
    hob.extend(kind.to_le_bytes());
    hob.extend(u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes());
    hob.extend([0; 4]);
}

/// The machine's memory, split where the host adds pages for the firmware, in order of address.
fn ranges(tdvf: &Tdvf<'_>, memory_bytes: u64) -> Result<Vec<Range>, Error> {
    let too_small = |address| Error::Memory { bytes: memory_bytes, address };
    if memory_bytes > MEMORY_BYTES_MAX || !memory_bytes.is_multiple_of(4096) {
        return Err(too_small(0));
    }
    let mut ranges: Vec<Range> = if memory_bytes >= LOW_MEMORY_SPLIT_FROM {
        let above = memory_bytes.saturating_sub(LOW_MEMORY_WHEN_SPLIT);
        vec![(0, LOW_MEMORY_WHEN_SPLIT, false), (4 * GIB, above, false)]
    } else {
        vec![(0, memory_bytes, false)]
    };
    let is_added = |kind| matches!(kind, SectionKind::TdHob | SectionKind::TempMem);
    for section in tdvf.sections().iter().filter(|section| is_added(section.kind)) {
        let end = section.address.saturating_add(section.len);
        let around = ranges
            .iter()
            .position(|(start, len, _)| *start <= section.address && end <= start.saturating_add(*len))
            .ok_or_else(|| too_small(section.address))?;
        let (start, len, _) = ranges.swap_remove(around);
        let pieces = [
            (start, section.address.saturating_sub(start), false),
            (section.address, section.len, true),
            (end, start.saturating_add(len).saturating_sub(end), false),
        ];
        ranges.extend(pieces.into_iter().filter(|(_, len, _)| *len > 0));
    }
    ranges.sort_unstable();
    Ok(ranges)
}
