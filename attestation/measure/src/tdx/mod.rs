//! MRTD and RTMR0 to RTMR2 of a TDX guest that QEMU boots directly: firmware, kernel, initrd.
//!
//! | register | covers | computed from |
//! | --- | --- | --- |
//! | MRTD | the firmware's code, the layout of its memory | the image alone ([`mrtd`]) |
//! | RTMR0 | TD HOB, configuration volume, Secure Boot variables, what the host supplies | the image and an observed boot ([`observed`]) |
//! | RTMR1 | the kernel image, fixed texts of the firmware | the kernel ([`authenticode_sha384`]) |
//! | RTMR2 | load options and initrd, measured by the kernel's EFI stub | command line and initrd |
//! | RTMR3 | nothing in our guests | zero |
//!
//! Which event goes where: UEFI Specification 2.10, section 38.4.1; edk2's `OvmfPkg/Tcg/TdTcg2Dxe` and
//! `OvmfPkg/IntelTdx`; Linux's `drivers/firmware/efi/libstub/efi-stub-helper.c`.

mod hob;
mod mrtd;
pub mod observed;
mod pe;
mod rtmr;

use vouchsafe_verifier::encoding::Hex;

use crate::firmware::{Firmware, SectionKind, Tdvf, VariableStore};
use crate::reference::{Digests, ReferenceDigests, Rule};
use crate::snp::check_files;
use crate::{CommandLine, Error, sha384};

pub use hob::{MEMORY_BYTES_MAX, td_hob};
pub use mrtd::{PageOrder, mrtd};
pub use observed::{Observed, Source, Step};
pub use pe::authenticode_sha384;
pub use rtmr::Rtmr;

/// Why RTMR0 is ignored where no boot was observed.
pub const RTMR0_UNKNOWN: &str = "RTMR0 covers ACPI tables and other things that the host supplies, which no tool knows \
     before the machine has booted once: boot it, and measure with its quote and event log";

/// A TDX guest, checked and ready to be measured.
#[derive(Debug)]
pub struct Guest<'a> {
    tdvf: Tdvf<'a>,
    variables: VariableStore<'a>,
    volume: &'a [u8],
    kernel: [u8; 48],
    initrd: Option<[u8; 48]>,
    command_line: CommandLine,
    memory_bytes: Option<u64>,
}

/// The registers of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers {
    /// The digests, as a policy states them.
    pub digests: ReferenceDigests,
    /// How the observed boot's events were accounted for; empty without one.
    pub steps: Vec<Step>,
}

impl<'a> Guest<'a> {
    /// Checks the inputs. `memory_bytes` is QEMU's `-m`; with it the TD HOB is computed, without it
    /// an observed one is taken on trust.
    ///
    /// # Errors
    /// When the firmware is no TDX build or malformed, the kernel no EFI program, the initrd empty, a
    /// file too long, or the memory too small for the firmware.
    pub fn new(
        firmware: &Firmware<'a>,
        kernel: &[u8],
        initrd: Option<&[u8]>,
        command_line: CommandLine,
        memory_bytes: Option<u64>,
    ) -> Result<Self, Error> {
        check_files(kernel, initrd)?;
        let tdvf = Tdvf::parse(firmware)?;
        let volume = tdvf.only(SectionKind::Cfv, "configuration volume")?.data;
        let variables = VariableStore::parse(volume)?;
        let guest = Self {
            tdvf,
            variables,
            volume,
            kernel: authenticode_sha384(kernel)?,
            initrd: initrd.map(sha384),
            command_line,
            memory_bytes,
        };
        guest.td_hob_digest()?;
        Ok(guest)
    }

    /// The registers. Without an observed boot, RTMR0 is ignored for the reason [`RTMR0_UNKNOWN`].
    ///
    /// # Errors
    /// When the observed boot is malformed, or was of something else.
    pub fn registers(&self, observed: Option<&Observed>) -> Result<Registers, Error> {
        let (rtmr0, steps) = match observed {
            None => (Rule::Ignore(RTMR0_UNKNOWN.to_owned()), Vec::new()),
            Some(observed) => {
                let (rtmr0, steps) = self.account_for(observed)?;
                (require([rtmr0]), steps)
            }
        };
        let digests = ReferenceDigests::Tdx {
            mrtd: require(self.mrtds()),
            rtmr0,
            rtmr1: require([self.rtmr1()]),
            rtmr2: require(self.rtmr2s()),
            rtmr3: require([[0; 48]]),
        };
        Ok(Registers { digests, steps })
    }

    /// MRTD in both orders in which hosts add and measure pages.
    pub fn mrtds(&self) -> [[u8; 48]; 2] {
        [mrtd(&self.tdvf, PageOrder::Interleaved), mrtd(&self.tdvf, PageOrder::TwoPass)]
    }

    /// RTMR1: the kernel and what the firmware says around it.
    pub fn rtmr1(&self) -> [u8; 48] {
        rtmr::replay(self.boot_events().map(|(_, digest)| digest))
    }

    /// RTMR2 for each place in which firmware puts `initrd=initrd`.
    pub fn rtmr2s(&self) -> Vec<[u8; 48]> {
        self.load_options()
            .into_iter()
            .map(|options| rtmr::replay(options.into_iter().chain(self.initrd)))
            .collect()
    }

    /// The events of RTMR1 in order.
    fn boot_events(&self) -> impl Iterator<Item = (&'static str, [u8; 48])> {
        [
            ("kernel", self.kernel),
            ("firmware starts the kernel", sha384(b"Calling EFI Application from Boot Option")),
            ("separator", sha384(&[0; 4])),
            ("kernel leaves boot services", sha384(b"Exit Boot Services Invocation")),
            ("boot services were left", sha384(b"Exit Boot Services Returned with Success")),
        ]
        .into_iter()
    }

    /// Digests of the load options: one list of events for each place of `initrd=initrd`.
    ///
    /// OVMF up to 2025.05 appends it, later builds put it first. Load options are UTF-16 with a final
    /// NUL; empty ones are not measured.
    fn load_options(&self) -> Vec<Option<[u8; 48]>> {
        let line = self.command_line.as_str();
        if self.initrd.is_none() {
            return vec![(!line.is_empty()).then(|| load_options_digest(line))];
        }
        [format!("initrd=initrd {line}"), format!("{line} initrd=initrd")]
            .iter()
            .map(|options| Some(load_options_digest(options)))
            .collect()
    }

    /// The digest of the TD HOB, where the memory's size is known.
    fn td_hob_digest(&self) -> Result<Option<[u8; 48]>, Error> {
        self.memory_bytes.map(|bytes| td_hob(&self.tdvf, bytes).map(|hob| sha384(&hob))).transpose()
    }
}

fn load_options_digest(options: &str) -> [u8; 48] {
    let utf16: Vec<u8> = options.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    sha384(&utf16)
}

fn require(digests: impl IntoIterator<Item = [u8; 48]>) -> Digests {
    Rule::Require(digests.into_iter().map(Hex).collect())
}

#[cfg(test)]
mod tests;
