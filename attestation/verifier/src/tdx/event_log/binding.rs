//! Which event types define their digest as the hash of their content, and how.
//!
//! Rules: TCG PC Client Platform Firmware Profile, table "Events", column "digest"; GRUB's
//! `tpm_measure` for its EV_IPL texts; dstack's runtime events. A firmware may hash something else
//! than the event for every type not named here (images, tables, blobs): those are digests only,
//! unless the content happens to hash to the digest, which then proves it all the same.

use alloc::vec::Vec;

use super::RawEvent;
use crate::crypto::Crypto;
use crate::encoding::Hex;
use crate::tdx::error::Error;

const EV_SEPARATOR: u32 = 0x4;
const EV_ACTION: u32 = 0x5;
const EV_S_CRTM_VERSION: u32 = 0x8;
const EV_IPL: u32 = 0xd;
const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
const EV_EFI_VARIABLE_BOOT: u32 = 0x8000_0002;
const EV_EFI_GPT_EVENT: u32 = 0x8000_0006;
const EV_EFI_ACTION: u32 = 0x8000_0007;
const EV_EFI_VARIABLE_BOOT2: u32 = 0x8000_000c;
const EV_EFI_VARIABLE_AUTHORITY: u32 = 0x8000_00e0;
/// dstack's type for events at run time, extended into RTMR3.
pub(super) const DSTACK_RUNTIME_EVENT: u32 = 0x0800_0001;

/// What GRUB writes before the text that it hashes.
const GRUB_LABELS: [&[u8]; 3] = [b"grub_cmd: ", b"kernel_cmdline: ", b"module_cmdline: "];

/// Length of a UEFI_VARIABLE_DATA header: a GUID and two 64-bit lengths.
const VARIABLE_HEADER_LEN: usize = 32;

/// How much of an event's content its digest proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// The content, whole.
    Content,
    /// The value of the UEFI variable. Its vendor GUID and name are the guest's word.
    VariableValue,
    /// The text after GRUB's label. Which label it is, is the guest's word.
    TextAfterLabel,
    /// The event's type, name and content, whole: dstack's events.
    NameAndContent,
    /// Nothing: the digest is of something that is not in the log.
    DigestOnly,
    /// Nothing: the event was not extended at all.
    NotMeasured,
}

impl Binding {
    /// The word in claims.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::VariableValue => "variable_value",
            Self::TextAfterLabel => "text_after_label",
            Self::NameAndContent => "name_and_content",
            Self::DigestOnly => "digest_only",
            Self::NotMeasured => "not_measured",
        }
    }
}

/// How an event's type says its digest was made.
enum Rule {
    /// Hash of the content.
    Content,
    /// Hash of the variable's value; some firmware hashes the whole structure.
    Variable,
    /// Hash of the text between label and final NUL.
    Label,
    /// dstack's.
    Dstack,
    /// Of something else.
    Elsewhere,
}

fn rule(event: &RawEvent) -> Rule {
    match event.event_type {
        EV_SEPARATOR
        | EV_ACTION
        | EV_S_CRTM_VERSION
        | EV_EFI_VARIABLE_DRIVER_CONFIG
        | EV_EFI_GPT_EVENT
        | EV_EFI_ACTION
        | EV_EFI_VARIABLE_BOOT2
        | EV_EFI_VARIABLE_AUTHORITY => Rule::Content,
        EV_EFI_VARIABLE_BOOT => Rule::Variable,
        EV_IPL if label_len(&event.content).is_some() => Rule::Label,
        DSTACK_RUNTIME_EVENT if event.name.is_some() => Rule::Dstack,
        _ => Rule::Elsewhere,
    }
}

/// Finds out what an event's digest proves of it.
pub(super) fn bind(event: &RawEvent, index: usize, crypto: &dyn Crypto) -> Result<Binding, Error> {
    if event.rtmr.is_none() {
        return Ok(Binding::NotMeasured);
    }
    let candidates: &[Binding] = match rule(event) {
        Rule::Content | Rule::Elsewhere => &[Binding::Content],
        Rule::Variable => &[Binding::VariableValue, Binding::Content],
        Rule::Label => &[Binding::TextAfterLabel],
        Rule::Dstack => &[Binding::NameAndContent],
    };
    let mut computed = None;
    for candidate in candidates {
        let digest = digest_of(*candidate, event, crypto);
        if digest == Some(event.digest) {
            return Ok(*candidate);
        }
        computed = computed.or(digest);
    }
    match (rule(event), computed) {
        (Rule::Elsewhere, _) => Ok(Binding::DigestOnly),
        (_, Some(computed)) => {
            Err(Error::EventContent { index, computed: Hex(computed), digest: Hex(event.digest) })
        }
        (_, None) => Err(Error::EventLogMalformed { what: "content that does not fit its event type" }),
    }
}

/// The digest that an event of this content would have.
fn digest_of(binding: Binding, event: &RawEvent, crypto: &dyn Crypto) -> Option<[u8; 48]> {
    if binding == Binding::NameAndContent {
        let name = event.name.as_deref().unwrap_or_default();
        let mut hashed = Vec::from(event.event_type.to_le_bytes());
        hashed.push(b':');
        hashed.extend_from_slice(name.as_bytes());
        hashed.push(b':');
        hashed.extend_from_slice(&event.content);
        return Some(crypto.sha384(&hashed));
    }
    bound_part(binding, &event.content).map(|part| crypto.sha384(part))
}

/// The part of the content that goes with a binding.
pub(super) fn bound_part(binding: Binding, content: &[u8]) -> Option<&[u8]> {
    match binding {
        Binding::Content | Binding::NameAndContent => Some(content),
        Binding::VariableValue => variable_value(content),
        Binding::TextAfterLabel => {
            let text = content.get(label_len(content)?..)?;
            // The NUL ends the string in the log; GRUB does not hash it.
            Some(text.strip_suffix(b"\0").unwrap_or(text))
        }
        Binding::DigestOnly | Binding::NotMeasured => None,
    }
}

fn label_len(content: &[u8]) -> Option<usize> {
    GRUB_LABELS.iter().find(|label| content.starts_with(label)).map(|label| label.len())
}

/// The value in a UEFI_VARIABLE_DATA: GUID, name length in UTF-16 units, value length, name, value.
fn variable_value(content: &[u8]) -> Option<&[u8]> {
    let (header, rest) = content.split_at_checked(VARIABLE_HEADER_LEN)?;
    let (_, lengths) = header.split_at_checked(16)?;
    let (name_units, value_len) = lengths.split_first_chunk::<8>()?;
    let name_units = usize::try_from(u64::from_le_bytes(*name_units)).ok()?;
    let value_len = usize::try_from(u64::from_le_bytes(value_len.try_into().ok()?)).ok()?;
    let (_, value) = rest.split_at_checked(name_units.checked_mul(2)?)?;
    (value.len() == value_len).then_some(value)
}
