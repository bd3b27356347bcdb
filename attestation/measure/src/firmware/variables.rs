//! The UEFI variables that an image was shipped with, read from its configuration volume.
//!
//! Specification: UEFI Platform Initialization 1.8, volume 3, section 3.2.1 (firmware volume header);
//! edk2's `MdeModulePkg/Include/Guid/VariableFormat.h` (store and authenticated variable headers).

use super::Guid;
use crate::Error;
use crate::bytes::{array, size_at, slice, u16_at};

/// EFI_GLOBAL_VARIABLE.
pub(crate) const GLOBAL: Guid =
    Guid::new(0x8be4_df61, 0x93ca, 0x11d2, [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c]);
/// EFI_IMAGE_SECURITY_DATABASE.
pub(crate) const SECURITY_DATABASE: Guid =
    Guid::new(0xd719_b2cb, 0x3d3a, 0x4596, [0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);
/// edk2's own switch, kept beside PK.
const SECURE_BOOT_ENABLE: Guid =
    Guid::new(0xf0a3_0bc7, 0xaf08, 0x4556, [0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44]);

const SYSTEM_NV_DATA: Guid =
    Guid::new(0xfff1_2b8d, 0x7696, 0x4c8b, [0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50]);
const AUTHENTICATED_STORE: Guid =
    Guid::new(0xaaf3_2c78, 0x947b, 0x439a, [0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92]);

/// GUID, size, format, state, reserved.
const STORE_HEADER_LEN: usize = 28;
/// AUTHENTICATED_VARIABLE_HEADER.
const VARIABLE_HEADER_LEN: usize = 60;
const START_ID: u16 = 0x55aa;
/// VAR_ADDED.
const ADDED: u8 = 0x3f;
/// VAR_ADDED and VAR_IN_DELETED_TRANSITION: valid while no newer one was added.
const BEING_REPLACED: u8 = 0x3e;
/// VAR_DELETED: the bit that a deleted variable's state has lost.
const DELETED: u8 = 0xfd;

/// The variables of one image.
#[derive(Debug, Clone, Default)]
pub struct VariableStore<'a> {
    variables: Vec<Variable<'a>>,
}

#[derive(Debug, Clone)]
struct Variable<'a> {
    vendor: Guid,
    /// UTF-16LE with its final NUL.
    name: &'a [u8],
    value: &'a [u8],
    state: u8,
}

impl<'a> VariableStore<'a> {
    /// Reads the store at the start of a configuration volume.
    ///
    /// # Errors
    /// When the volume or its store is malformed.
    pub fn parse(volume: &'a [u8]) -> Result<Self, Error> {
        let fault = |position, field| Error::VariableStore { position, field };
        if array(volume, 16).map(Guid) != Some(SYSTEM_NV_DATA) {
            return Err(fault(16, "not a volume for variables"));
        }
        if slice(volume, 40, 4) != Some(b"_FVH") {
            return Err(fault(40, "signature of the volume"));
        }
        let header_len = u16_at(volume, 48).map(usize::from).ok_or_else(|| fault(48, "truncated"))?;
        let store = volume.get(header_len..).ok_or_else(|| fault(48, "length of the volume's header"))?;
        if array(store, 0).map(Guid) != Some(AUTHENTICATED_STORE) {
            return Err(fault(header_len, "not a store of authenticated variables"));
        }
        let store_len = size_at(store, 16).ok_or_else(|| fault(header_len, "truncated"))?;
        let store = store.get(..store_len).ok_or_else(|| fault(header_len, "length of the store"))?;
        let mut variables = Vec::new();
        let mut position = STORE_HEADER_LEN;
        while u16_at(store, position) == Some(START_ID) {
            let (variable, next) = variable(store, position)
                .ok_or_else(|| fault(header_len.saturating_add(position), "a variable beyond the store"))?;
            variables.push(variable);
            position = next;
        }
        Ok(Self { variables })
    }

    /// A variable's value as the firmware would read it.
    pub fn value(&self, name: &str, vendor: Guid) -> Option<&'a [u8]> {
        let wanted = utf16(name);
        let with_state = |state| {
            let is_it = |variable: &&Variable<'_>| {
                variable.state == state && variable.vendor == vendor && variable.name == wanted
            };
            self.variables.iter().find(is_it).map(|variable| variable.value)
        };
        with_state(ADDED).or_else(|| with_state(BEING_REPLACED))
    }

    /// Whether a build with Secure Boot enforces it: PK is there and the switch, if any, is on.
    pub fn secure_boot(&self) -> bool {
        let is_on = self.value("SecureBootEnable", SECURE_BOOT_ENABLE).is_none_or(|value| value == [1]);
        self.value("PK", GLOBAL).is_some() && is_on
    }
}

/// Where the bytes stand that make a build with Secure Boot enforce it, and what they become: PK deleted
/// (its state loses the bit of VAR_DELETED), the switch off. Positions count from the volume's start.
///
/// # Errors
/// As [`VariableStore::parse`].
pub(super) fn secure_boot_off(volume: &[u8]) -> Result<Vec<(usize, u8)>, Error> {
    let beyond = || Error::VariableStore { position: 0, field: "a variable beyond the store" };
    // Names and values are parts of the volume: their place in it is the difference of addresses.
    let place = |part: &[u8]| part.as_ptr().addr().checked_sub(volume.as_ptr().addr()).ok_or_else(beyond);
    let mut changes = Vec::new();
    for variable in VariableStore::parse(volume)?.variables {
        let is = |name: &str, vendor| variable.vendor == vendor && variable.name == utf16(name);
        if !matches!(variable.state, ADDED | BEING_REPLACED) {
            continue;
        }
        if is("PK", GLOBAL) {
            // The name follows the header, whose third byte is the state.
            let header = place(variable.name)?.checked_sub(VARIABLE_HEADER_LEN).ok_or_else(beyond)?;
            changes.push((header.saturating_add(2), variable.state & DELETED));
        } else if is("SecureBootEnable", SECURE_BOOT_ENABLE) && variable.value == [1] {
            changes.push((place(variable.value)?, 0));
        }
    }
    Ok(changes)
}

/// UTF-16LE with its final NUL.
fn utf16(name: &str) -> Vec<u8> {
    name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// The variable at a position, and the position of the next.
fn variable(store: &[u8], position: usize) -> Option<(Variable<'_>, usize)> {
    let header = slice(store, position, VARIABLE_HEADER_LEN)?;
    let (name_len, value_len) = (size_at(header, 36)?, size_at(header, 40)?);
    let name_at = position.checked_add(VARIABLE_HEADER_LEN)?;
    let value_at = name_at.checked_add(name_len)?;
    let variable = Variable {
        vendor: Guid(array(header, 44)?),
        name: slice(store, name_at, name_len)?,
        value: slice(store, value_at, value_len)?,
        state: *header.get(2)?,
    };
    // Each header is aligned to four bytes; this always moves on, since a header has sixty.
    Some((variable, value_at.checked_add(value_len)?.checked_next_multiple_of(4)?))
}
