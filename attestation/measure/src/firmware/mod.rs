//! OVMF images: the table of GUIDs at the end, and what it points to.
//!
//! The table ends 32 bytes before the end of the image and is read backwards; each entry is its data,
//! a 16-bit length of the whole entry, and a GUID. Specification: the comments of edk2's
//! `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm`, which define the table's layout and GUIDs.
//! [`Tdvf`] is Intel's metadata, [`SevMetadata`] AMD's, [`VariableStore`] the UEFI variables.

mod guid;
mod sev;
mod tdvf;
mod variables;

use crate::Error;
use crate::bytes::{array, slice, u16_at};

pub use guid::Guid;
pub use sev::SevMetadata;
pub use tdvf::{Section, SectionKind, Tdvf};
pub use variables::VariableStore;
pub(crate) use variables::{GLOBAL, SECURITY_DATABASE};

/// Largest firmware image, in bytes: what q35 maps below 4 GiB is smaller.
pub const FIRMWARE_BYTES_MAX: usize = 16 << 20;
/// Size of a page, in bytes.
pub const PAGE_BYTES: u64 = 4096;

const FOOTER: Guid = Guid::new(0x96b5_82de, 0x1fb2, 0x45f7, [0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d]);
/// Bytes between the table's end and the image's: the reset vector.
const AFTER_TABLE: usize = 32;
/// Length and GUID, which end every entry.
const ENTRY_HEADER: usize = 18;
/// More entries than any image has; bounds the search for duplicates.
const ENTRIES_MAX: usize = 64;

/// A firmware image whose table of GUIDs has been read.
#[derive(Debug, Clone)]
pub struct Firmware<'a> {
    bytes: &'a [u8],
    entries: Vec<(Guid, &'a [u8])>,
}

impl<'a> Firmware<'a> {
    /// Reads the table of GUIDs.
    ///
    /// # Errors
    /// When the image is too long, not of whole pages, or its table is absent or malformed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let len = bytes.len();
        if len > FIRMWARE_BYTES_MAX {
            return Err(Error::FirmwareTooLong { len, max: FIRMWARE_BYTES_MAX });
        }
        if len == 0 || !len.is_multiple_of(4096) {
            return Err(Error::FirmwareNotPages { len });
        }
        let table = len
            .checked_sub(AFTER_TABLE)
            .and_then(|end| bytes.get(..end))
            .and_then(|before| entry_at_end(before))
            .filter(|(guid, _)| *guid == FOOTER)
            .map(|(_, table)| table)
            .ok_or(Error::FirmwareTable)?;
        let mut entries = Vec::new();
        let mut rest = table;
        while !rest.is_empty() {
            let position = table.len().saturating_sub(rest.len());
            if entries.len() == ENTRIES_MAX {
                return Err(Error::FirmwareTableEntry { position });
            }
            let entry = entry_at_end(rest).ok_or(Error::FirmwareTableEntry { position })?;
            let taken = entry.1.len().saturating_add(ENTRY_HEADER);
            rest = rest
                .len()
                .checked_sub(taken)
                .and_then(|left| rest.get(..left))
                .ok_or(Error::FirmwareTableEntry { position })?;
            entries.push(entry);
        }
        Ok(Self { bytes, entries })
    }

    /// The whole image.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The data of the entry with this GUID, which at most one may have.
    fn entry(&self, guid: Guid, what: &'static str) -> Result<Option<&'a [u8]>, Error> {
        let mut found = self.entries.iter().filter(|(other, _)| *other == guid).map(|(_, data)| *data);
        let first = found.next();
        if found.next().is_some() {
            return Err(Error::FirmwareTableTwice { what });
        }
        Ok(first)
    }

    /// The 32-bit value of an entry; `None` where there is no such entry.
    fn entry_u32(&self, guid: Guid, what: &'static str) -> Result<Option<u32>, Error> {
        let Some(data) = self.entry(guid, what)? else { return Ok(None) };
        let found = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let value = array(data, 0).ok_or(Error::FirmwareField { what, field: "entry length", found })?;
        Ok(Some(u32::from_le_bytes(value)))
    }

    /// The image's bytes from a descriptor that an entry places `distance` bytes before the end.
    fn descriptor(&self, distance: u32, what: &'static str) -> Result<&'a [u8], Error> {
        let malformed = Error::FirmwareField { what, field: "distance from the end", found: distance.into() };
        let start =
            usize::try_from(distance).ok().and_then(|distance| self.bytes.len().checked_sub(distance));
        start.and_then(|start| self.bytes.get(start..)).filter(|bytes| !bytes.is_empty()).ok_or(malformed)
    }
}

/// A TDX image whose Secure Boot, if it enforces any, does so no longer: PK is deleted and the switch is
/// off, in the variables that it was shipped with. A guest that boots a measured kernel directly has no
/// use for it, and the `.ms` builds reject Debian's kernel. MRTD stays as it is, RTMR0 changes.
///
/// # Errors
/// When the image is no TDX build, or its variables are malformed.
pub fn without_secure_boot(image: &[u8]) -> Result<Vec<u8>, Error> {
    let firmware = Firmware::parse(image)?;
    let volume = Tdvf::parse(&firmware)?.only(SectionKind::Cfv, "configuration volume")?.data;
    let volume_at = volume.as_ptr().addr().saturating_sub(image.as_ptr().addr());
    let mut changed = image.to_vec();
    for (at, byte) in variables::secure_boot_off(volume)? {
        let place = changed.get_mut(volume_at.saturating_add(at));
        *place.ok_or(Error::VariableStore { position: at, field: "a variable beyond the image" })? = byte;
    }
    Ok(changed)
}

/// The entry at the end of `bytes`: its GUID and data.
fn entry_at_end(bytes: &[u8]) -> Option<(Guid, &[u8])> {
    let header = bytes.len().checked_sub(ENTRY_HEADER)?;
    let len = usize::from(u16_at(bytes, header)?);
    let data_len = len.checked_sub(ENTRY_HEADER)?;
    let guid = Guid(array(bytes, header.checked_add(2)?)?);
    Some((guid, slice(bytes, header.checked_sub(data_len)?, data_len)?))
}

#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;
