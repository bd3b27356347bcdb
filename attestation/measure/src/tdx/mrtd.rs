//! MRTD: the pages that the host adds before the guest runs.
//!
//! Each added page contributes its address (TDH.MEM.PAGE.ADD), each measured page its content in
//! pieces of 256 bytes (TDH.MR.EXTEND). Specification: Intel TDX Module Base Architecture
//! Specification, section "MRTD: Build-Time Measurement Register".

use crate::Digest384;
use crate::firmware::{PAGE_BYTES, Section, Tdvf};
use crate::sha::Sha384;

/// Bytes that one TDH.MR.EXTEND covers.
const CHUNK_BYTES: usize = 256;
/// Length of the record that is hashed for an operation: its name, an address, zeros.
const RECORD_LEN: usize = 128;

/// In which order the host measures a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageOrder {
    /// Each page is measured right after it was added: Linux's KVM since 6.16.
    Interleaved,
    /// All pages of a section are added, then all measured: kernels with Intel's earlier patches.
    TwoPass,
}

/// MRTD of a firmware image.
pub fn mrtd(tdvf: &Tdvf<'_>, order: PageOrder) -> Digest384 {
    let mut hash = Sha384::new();
    for section in tdvf.sections() {
        match order {
            PageOrder::Interleaved => {
                for offset in pages(section) {
                    add(&mut hash, section, offset);
                    extend(&mut hash, section, offset);
                }
            }
            PageOrder::TwoPass => {
                pages(section).for_each(|offset| add(&mut hash, section, offset));
                pages(section).for_each(|offset| extend(&mut hash, section, offset));
            }
        }
    }
    hash.finish()
}

/// The offset of each page in its section.
fn pages(section: &Section<'_>) -> impl Iterator<Item = u64> + use<> {
    let page = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
    (0..section.len).step_by(page)
}

fn add(hash: &mut Sha384, section: &Section<'_>, offset: u64) {
    hash.update(&record(b"MEM.PAGE.ADD", section.address.saturating_add(offset)));
}

fn extend(hash: &mut Sha384, section: &Section<'_>, offset: u64) {
    if !section.measured {
        return;
    }
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let zeros = [0; CHUNK_BYTES];
    for chunk in (0..usize::try_from(PAGE_BYTES).unwrap_or(0)).step_by(CHUNK_BYTES) {
        let at = start.saturating_add(chunk);
        // Sections are loaded whole or start as zeros, so a piece is all data or all zeros.
        let content = section.data.get(at..at.saturating_add(CHUNK_BYTES)).unwrap_or(&zeros);
        let address = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(section.address);
        hash.update(&record(b"MR.EXTEND", address));
        hash.update(content);
    }
}

/// Name in the first 16 bytes, address in the next eight.
fn record(name: &[u8], address: u64) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    let fields = name.iter().chain(core::iter::repeat(&0)).take(16).copied().chain(address.to_le_bytes());
    for (to, from) in record.iter_mut().zip(fields) {
        *to = from;
    }
    record
}
