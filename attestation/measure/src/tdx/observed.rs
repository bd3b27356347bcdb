//! An observed boot: a quote and the event log that replays to it.
//!
//! RTMR0 covers what the host hands to the firmware, ACPI tables above all, which only the machine
//! itself can tell. A log from one boot of it closes that gap: every event that can be computed from
//! the inputs must be in the log as computed and in its order, and what remains is reported as taken
//! from the host, one line per event. The quote's signature is not checked here; `vouchsafe evidence
//! verify` does that.

use serde::Serialize;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::tdx::{Event, EventLog, Quote, ReplayedLog};

use super::Guest;
use crate::bytes::{array, size_at, slice};
use crate::firmware::{GLOBAL, Guid, SECURITY_DATABASE};
use crate::{Digest384, Error, sha384};

// Event types of the TCG PC Client Platform Firmware Profile, table "Events".
const EV_SEPARATOR: u32 = 0x4;
const EV_EVENT_TAG: u32 = 0x6;
const EV_PLATFORM_CONFIG_FLAGS: u32 = 0xa;
const EV_EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
const EV_EFI_VARIABLE_BOOT: u32 = 0x8000_0002;
const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
const EV_EFI_ACTION: u32 = 0x8000_0007;
const EV_EFI_PLATFORM_FIRMWARE_BLOB2: u32 = 0x8000_000a;
const EV_EFI_HANDOFF_TABLES2: u32 = 0x8000_000b;

/// A quote's registers and the log that replays to them.
#[derive(Debug, Clone)]
pub struct Observed {
    mrtd: Digest384,
    rtmr: [Digest384; 4],
    log: ReplayedLog,
}

/// Where an event's digest comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Computed from the inputs, and found in the log.
    Computed,
    /// Taken from the observed boot: the host's word on that day.
    Observed,
}

/// One event of an observed boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// RTMR0 to RTMR3.
    pub rtmr: usize,
    /// What was measured. Of an observed event this is what the log calls it, which nothing proves.
    pub what: String,
    /// The digest that was extended.
    pub digest: Hex<48>,
    /// Where it comes from.
    pub source: Source,
}

/// An event that must be there.
struct Expected {
    what: String,
    /// Any of these.
    digests: Vec<Digest384>,
    /// How the log labels such an event, to name what it has instead.
    label: String,
}

impl Observed {
    /// Reads a quote and its log.
    ///
    /// # Errors
    /// [`Error::Observed`] when either is malformed or the log does not replay to the quote.
    pub fn parse(quote: &[u8], event_log: &[u8]) -> Result<Self, Error> {
        let quote = Quote::parse(quote)?;
        let report = quote.report();
        Self::new(report.mrtd, report.rtmr, EventLog::parse(event_log)?)
    }

    pub(super) fn new(mrtd: Digest384, rtmr: [Digest384; 4], log: EventLog) -> Result<Self, Error> {
        Ok(Self { mrtd, rtmr, log: log.replay(&rtmr, &Ring)? })
    }
}

impl Guest<'_> {
    /// Accounts for every event of an observed boot; gives RTMR0.
    pub(super) fn account_for(&self, observed: &Observed) -> Result<(Digest384, Vec<Step>), Error> {
        let differs = |what: &str, found, computed| Error::ObservedDiffers {
            what: what.to_owned(),
            found: Hex(found),
            computed: Hex(computed),
        };
        let mrtds = self.mrtds();
        if !mrtds.contains(&observed.mrtd) {
            let [interleaved, _] = mrtds;
            return Err(differs("MRTD", observed.mrtd, interleaved));
        }
        let [rtmr0, _, _, rtmr3] = observed.rtmr;
        let events = |rtmr| {
            observed.log.events().iter().filter(move |event| event.rtmr() == Some(rtmr)).collect::<Vec<_>>()
        };
        let mut steps = match_in_order(0, &events(0), self.configuration_events(), Surplus::Observed)?;
        let boot = self.boot_events().map(|(what, digest)| {
            let kind = match what {
                "kernel" => EV_EFI_BOOT_SERVICES_APPLICATION,
                "separator" => EV_SEPARATOR,
                _ => EV_EFI_ACTION,
            };
            Expected { what: what.to_owned(), digests: vec![digest], label: type_name(kind) }
        });
        steps.extend(match_in_order(1, &events(1), boot.collect(), Surplus::Refused)?);
        steps.extend(match_in_order(2, &events(2), self.load_events(), Surplus::Refused)?);
        if rtmr3 != [0; 48] {
            return Err(differs("RTMR3", rtmr3, [0; 48]));
        }
        Ok((rtmr0, steps))
    }

    /// The events of RTMR0 that can be computed, in order.
    fn configuration_events(&self) -> Vec<Expected> {
        let mut events = Vec::new();
        // Guest::new has computed it once, so that this cannot fail any more.
        if let Ok(Some(digest)) = self.td_hob_digest() {
            let label = type_name(EV_EFI_HANDOFF_TABLES2);
            events.push(Expected { what: "TD HOB (memory layout)".to_owned(), digests: vec![digest], label });
        }
        events.push(Expected {
            what: "configuration volume".to_owned(),
            digests: vec![sha384(self.volume)],
            label: type_name(EV_EFI_PLATFORM_FIRMWARE_BLOB2),
        });
        let secure_boot = u8::from(self.variables.secure_boot());
        for (name, vendor) in [
            ("SecureBoot", GLOBAL),
            ("PK", GLOBAL),
            ("KEK", GLOBAL),
            ("db", SECURITY_DATABASE),
            ("dbx", SECURITY_DATABASE),
        ] {
            let mut digests = Vec::new();
            if name == "SecureBoot" {
                // Builds without Secure Boot have no such variable, and their volume does not tell.
                digests.push(variable_digest(vendor, name, &[secure_boot]));
                digests.extend((secure_boot == 0).then(|| variable_digest(vendor, name, &[])));
            } else {
                digests.push(variable_digest(
                    vendor,
                    name,
                    self.variables.value(name, vendor).unwrap_or_default(),
                ));
            }
            let label = format!("{} {name}", type_name(EV_EFI_VARIABLE_DRIVER_CONFIG));
            events.push(Expected { what: format!("variable {name}"), digests, label });
        }
        let label = type_name(EV_SEPARATOR);
        events.push(Expected { what: "separator".to_owned(), digests: vec![sha384(&[0; 4])], label });
        events
    }

    /// The events of RTMR2, in order.
    fn load_events(&self) -> Vec<Expected> {
        let options: Vec<_> = self.load_options().into_iter().flatten().collect();
        let mut events = Vec::new();
        let label = || type_name(EV_EVENT_TAG);
        if !options.is_empty() {
            events.push(Expected { what: "command line".to_owned(), digests: options, label: label() });
        }
        events.extend(self.initrd.map(|digest| Expected {
            what: "initrd".to_owned(),
            digests: vec![digest],
            label: label(),
        }));
        events
    }
}

/// What to do with events that nothing computes.
#[derive(Clone, Copy, PartialEq)]
enum Surplus {
    Observed,
    Refused,
}

/// Finds the expected events in the log, in order. Digests decide; labels only name what differs.
fn match_in_order(
    rtmr: usize,
    events: &[&Event],
    expected: Vec<Expected>,
    surplus: Surplus,
) -> Result<Vec<Step>, Error> {
    let mut expected = expected.into_iter().peekable();
    let mut steps = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let digest = Hex(*event.digest());
        let label = label(event);
        if let Some(next) = expected.next_if(|next| next.digests.contains(&digest.0)) {
            steps.push(Step { rtmr, what: next.what, digest, source: Source::Computed });
            continue;
        }
        if let Some(next) = expected.peek().filter(|next| next.label == label || surplus == Surplus::Refused)
        {
            let computed = Hex(next.digests.first().copied().unwrap_or([0; 48]));
            return Err(Error::ObservedDiffers { what: next.what.clone(), found: digest, computed });
        }
        if surplus == Surplus::Refused {
            return Err(Error::ObservedUnexpected { rtmr, index, found: digest });
        }
        steps.push(Step { rtmr, what: label, digest, source: Source::Observed });
    }
    match expected.next() {
        None => Ok(steps),
        Some(missing) => Err(Error::ObservedLacks { what: missing.what }),
    }
}

/// The digest of a variable that configures drivers: that of UEFI_VARIABLE_DATA (TCG profile, section
/// "UEFI_VARIABLE_DATA").
pub(crate) fn variable_digest(vendor: Guid, name: &str, value: &[u8]) -> Digest384 {
    let name: Vec<u16> = name.encode_utf16().collect();
    let number = |len: usize| u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes();
    let mut data = vendor.0.to_vec();
    data.extend(number(name.len()));
    data.extend(number(value.len()));
    data.extend(name.into_iter().flat_map(u16::to_le_bytes));
    data.extend(value);
    sha384(&data)
}

/// What the log calls an event: its type, and for a variable the name.
fn label(event: &Event) -> String {
    let kind = type_name(event.event_type());
    let is_variable = matches!(event.event_type(), EV_EFI_VARIABLE_DRIVER_CONFIG | EV_EFI_VARIABLE_BOOT);
    match variable_name(event.unverified_content()).filter(|_| is_variable) {
        Some(name) => format!("{kind} {name}"),
        None => kind,
    }
}

/// The name in UEFI_VARIABLE_DATA, if it is short and printable.
fn variable_name(content: &[u8]) -> Option<String> {
    let _vendor: [u8; 16] = array(content, 0)?;
    let bytes = size_at(content, 16).filter(|len| *len <= 64)?.checked_mul(2)?;
    let units = slice(content, 32, bytes)?.chunks_exact(2).filter_map(|pair| pair.try_into().ok());
    let name = String::from_utf16(&units.map(u16::from_le_bytes).collect::<Vec<_>>()).ok()?;
    name.bytes().all(|byte| byte.is_ascii_graphic()).then_some(name)
}

fn type_name(kind: u32) -> String {
    match kind {
        EV_SEPARATOR => "EV_SEPARATOR".to_owned(),
        EV_EVENT_TAG => "EV_EVENT_TAG".to_owned(),
        EV_PLATFORM_CONFIG_FLAGS => "EV_PLATFORM_CONFIG_FLAGS (ACPI tables, fw_cfg)".to_owned(),
        EV_EFI_VARIABLE_DRIVER_CONFIG => "EV_EFI_VARIABLE_DRIVER_CONFIG".to_owned(),
        EV_EFI_VARIABLE_BOOT => "EV_EFI_VARIABLE_BOOT".to_owned(),
        EV_EFI_BOOT_SERVICES_APPLICATION => "EV_EFI_BOOT_SERVICES_APPLICATION".to_owned(),
        EV_EFI_ACTION => "EV_EFI_ACTION".to_owned(),
        EV_EFI_PLATFORM_FIRMWARE_BLOB2 => "EV_EFI_PLATFORM_FIRMWARE_BLOB2".to_owned(),
        EV_EFI_HANDOFF_TABLES2 => "EV_EFI_HANDOFF_TABLES2".to_owned(),
        other => format!("event type {other:#010x}"),
    }
}
