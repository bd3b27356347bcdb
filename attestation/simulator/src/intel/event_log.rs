//! The event log that firmware and boot loader keep, and what it makes of the RTMRs.
//!
//! TCG PC Client Platform Firmware Profile, "TCG_PCClientPCREvent" and "TCG_PCR_EVENT2", for the CCEL
//! area; Intel TDX Virtual Firmware Design Guide, "Event Log", for the register numbers. The JSON form
//! is the one dstack guests hand out.

use serde::Serialize;
use sha2::{Digest, Sha384};
use vouchsafe_verifier::encoding::to_hex;

/// TCG event types.
pub mod event_type {
    /// Never extended.
    pub const NO_ACTION: u32 = 3;
    /// Between boot stages; the content is hashed.
    pub const SEPARATOR: u32 = 4;
    /// Text of the boot loader; it says itself what is hashed.
    pub const IPL: u32 = 0xd;
    /// A UEFI variable; the whole structure is hashed.
    pub const EFI_VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
    /// A UEFI application; its image is hashed, the content only describes it.
    pub const EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
    /// Text; the content is hashed.
    pub const EFI_ACTION: u32 = 0x8000_0007;
    /// An event at run time of a dstack guest.
    pub const DSTACK_RUNTIME: u32 = 0x0800_0001;
}

const SHA384_ALGORITHM: u16 = 0x000c;
const SHA384_BYTES: u16 = 48;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// RTMR number, 0 to 3.
    pub rtmr: u32,
    /// TCG event type.
    pub event_type: u32,
    /// What was extended.
    pub digest: [u8; 48],
    /// Name, in JSON logs only.
    pub name: String,
    /// What the log says the event was.
    pub content: Vec<u8>,
}

/// An event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog {
    /// Events in order.
    pub events: Vec<LoggedEvent>,
    /// Length of the CCEL area, bytes: what the events do not fill is `0xff`.
    pub area_bytes: usize,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { events: Vec::new(), area_bytes: 64 * 1024 }
    }
}

impl EventLog {
    /// A short boot: a variable, the separators, an image, the kernel's command line.
    pub fn typical(kernel_command_line: &str) -> Self {
        let mut log = Self::default();
        log.measure(0, event_type::EFI_VARIABLE_DRIVER_CONFIG, b"simulated variable");
        log.measure(0, event_type::SEPARATOR, &[0; 4]);
        log.measure(1, event_type::EFI_ACTION, b"Calling EFI Application from Boot Option");
        log.measure(1, event_type::SEPARATOR, &[0; 4]);
        let image = Sha384::digest(b"simulated kernel image").into();
        log.measure_digest(1, event_type::EFI_BOOT_SERVICES_APPLICATION, image, b"\\EFI\\BOOT\\BOOTX64.EFI");
        let command_line = Sha384::digest(kernel_command_line).into();
        let text = format!("kernel_cmdline: {kernel_command_line}\0");
        log.measure_digest(2, event_type::IPL, command_line, text.as_bytes());
        log
    }

    /// Extends a register with the hash of the content.
    pub fn measure(&mut self, rtmr: u32, event_type: u32, content: &[u8]) {
        self.measure_digest(rtmr, event_type, Sha384::digest(content).into(), content);
    }

    /// Extends a register with a digest that need not be of the content.
    pub fn measure_digest(&mut self, rtmr: u32, event_type: u32, digest: [u8; 48], content: &[u8]) {
        let content = content.to_vec();
        self.events.push(LoggedEvent { rtmr, event_type, digest, name: String::new(), content });
    }

    /// Extends RTMR3 with an event of a dstack guest, whose digest covers type, name and payload.
    pub fn measure_dstack(&mut self, name: &str, payload: &[u8]) {
        let event_type = event_type::DSTACK_RUNTIME;
        let digest = Sha384::new()
            .chain_update(event_type.to_le_bytes())
            .chain_update(b":")
            .chain_update(name)
            .chain_update(b":")
            .chain_update(payload)
            .finalize()
            .into();
        let content = payload.to_vec();
        self.events.push(LoggedEvent { rtmr: 3, event_type, digest, name: name.to_owned(), content });
    }

    /// The registers after every event: each starts at zero and becomes SHA-384(register ‖ digest).
    pub fn rtmrs(&self) -> [[u8; 48]; 4] {
        let mut registers = [[0; 48]; 4];
        for event in self.events.iter().filter(|event| event.event_type != event_type::NO_ACTION) {
            if let Some(register) = registers.get_mut(event.rtmr as usize) {
                *register =
                    Sha384::new().chain_update(*register).chain_update(event.digest).finalize().into();
            }
        }
        registers
    }

    /// The CCEL area.
    pub fn to_ccel(&self) -> Vec<u8> {
        let mut area = header_event();
        for event in &self.events {
            // Register 0 is MRTD; RTMR0 is 1.
            area.extend((event.rtmr + 1).to_le_bytes());
            area.extend(event.event_type.to_le_bytes());
            area.extend(1u32.to_le_bytes());
            area.extend(SHA384_ALGORITHM.to_le_bytes());
            area.extend(event.digest);
            area.extend(length(&event.content));
            area.extend(&event.content);
        }
        area.resize(area.len().max(self.area_bytes), 0xff);
        area
    }

    /// The JSON list of a dstack guest.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct JsonEvent<'a> {
            imr: u32,
            event_type: u32,
            digest: String,
            event: &'a str,
            event_payload: String,
        }
        let events: Vec<JsonEvent<'_>> = self
            .events
            .iter()
            .map(|event| JsonEvent {
                imr: event.rtmr,
                event_type: event.event_type,
                digest: to_hex(&event.digest),
                event: &event.name,
                event_payload: to_hex(&event.content),
            })
            .collect();
        serde_json::to_string(&events).unwrap_or_else(|_| unreachable!("no map keys, no failing serializer"))
    }
}

/// The first event, in the old format, which names the digests of those that follow.
fn header_event() -> Vec<u8> {
    let mut specification = b"Spec ID Event03\0".to_vec();
    specification.extend(0u32.to_le_bytes());
    // Minor 0, major 2, errata 0, eight-byte sizes.
    specification.extend([0, 2, 0, 2]);
    specification.extend(1u32.to_le_bytes());
    specification.extend(SHA384_ALGORITHM.to_le_bytes());
    specification.extend(SHA384_BYTES.to_le_bytes());
    // No vendor information.
    specification.push(0);

    let mut event = 1u32.to_le_bytes().to_vec();
    event.extend(event_type::NO_ACTION.to_le_bytes());
    event.extend([0; 20]);
    event.extend(length(&specification));
    event.extend(specification);
    event
}

fn length(content: &[u8]) -> [u8; 4] {
    u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes()
}
