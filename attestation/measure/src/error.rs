//! Everything that can be wrong with what is to be measured, each with a stable code.

use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::tdx;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The firmware is longer than any that is mapped below 4 GiB.
    #[error("the firmware has {len} bytes, more than {max}")]
    FirmwareTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The firmware is empty or not made of whole pages.
    #[error("the firmware has {len} bytes, not a positive multiple of 4096")]
    FirmwareNotPages {
        /// Its length.
        len: usize,
    },
    /// The firmware does not end with OVMF's table of GUIDs.
    #[error("the firmware has no table of GUIDs 32 bytes before its end")]
    FirmwareTable,
    /// An entry of that table lies outside of it, or there are too many.
    #[error("the firmware's table of GUIDs is malformed {position} bytes before its end")]
    FirmwareTableEntry {
        /// Where, counted from the end of the table.
        position: usize,
    },
    /// Two entries of the table have the same GUID.
    #[error("the firmware's table of GUIDs names {what} twice")]
    FirmwareTableTwice {
        /// What the entry is for.
        what: &'static str,
    },
    /// The firmware lacks what the technology needs.
    #[error("the firmware has no {what}: it is no build for this technology")]
    FirmwareLacks {
        /// What is missing.
        what: &'static str,
    },
    /// A descriptor in the firmware is out of bounds or of an unknown version.
    #[error("the firmware's {what} is malformed: {field} is {found:#x}")]
    FirmwareField {
        /// Which descriptor.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// A section of the descriptor is one that QEMU refuses or that could not be loaded.
    #[error("section {index} of the firmware's {what} is malformed: {field} is {found:#x}")]
    FirmwareSection {
        /// Which descriptor.
        what: &'static str,
        /// Which section, from 0.
        index: usize,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// The sections together are larger than any firmware asks for.
    #[error("the sections of the firmware's {what} have {bytes} bytes together, more than {max}")]
    FirmwareSectionsTooLong {
        /// Which descriptor.
        what: &'static str,
        /// Their size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Two sections cover the same memory, which no launch survives.
    #[error("sections of the firmware's {what} overlap at {address:#x}")]
    FirmwareSectionsOverlap {
        /// Which descriptor.
        what: &'static str,
        /// Where.
        address: u64,
    },
    /// The variable store is malformed.
    #[error("the firmware's variable store is malformed at byte {position}: {field}")]
    VariableStore {
        /// Where, counted from the start of the configuration volume.
        position: usize,
        /// What is wrong.
        field: &'static str,
    },
    /// The kernel is no EFI program.
    #[error("the kernel is no EFI program: {field} at byte {position}")]
    Kernel {
        /// Where.
        position: usize,
        /// What is wrong.
        field: &'static str,
    },
    /// A file is longer than its kind may be.
    #[error("the {what} has {len} bytes, more than {max}")]
    TooLong {
        /// Which.
        what: &'static str,
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// An initrd without content: QEMU and the firmware treat it as none.
    #[error("the initrd is empty")]
    InitrdEmpty,
    /// The command line is longer than the kernel keeps.
    #[error("the command line has {len} bytes, more than {max}")]
    CommandLineTooLong {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The command line holds a byte that is not printable ASCII.
    #[error("byte {position} of the command line is {byte:#04x}, not printable ASCII")]
    CommandLineByte {
        /// Where.
        position: usize,
        /// What.
        byte: u8,
    },
    /// The command line starts or ends with a space, which tools measure differently.
    #[error("the command line starts or ends with a space")]
    CommandLineSpace,
    /// The number of vCPUs is out of range.
    #[error("{found} vCPUs, not 1 to {max}")]
    VcpuCount {
        /// How many were asked for.
        found: u32,
        /// The limit.
        max: u32,
    },
    /// No such vCPU type.
    #[error("no vCPU type is called {name:?}")]
    VcpuType {
        /// What was asked for.
        name: String,
    },
    /// The memory's size is out of range, or leaves no room for what the firmware occupies.
    #[error("{bytes} bytes of memory cannot hold the firmware's range at {address:#x}")]
    Memory {
        /// The size.
        bytes: u64,
        /// What does not fit.
        address: u64,
    },
    /// The TD HOB does not fit its section.
    #[error("the TD HOB has {len} bytes, its section {max}")]
    HobTooLong {
        /// Its length.
        len: usize,
        /// The section's.
        max: u64,
    },
    /// The crate that computes launch digests refused what passed our own checks.
    #[error("the launch digest cannot be computed: {0}")]
    Sev(#[from] sev::error::MeasurementError),
    /// A temporary file could not be written.
    #[error("a temporary file cannot be written: {0}")]
    Temporary(#[from] std::io::Error),
    /// The observed quote or event log is malformed, or they do not belong together.
    #[error("the observed boot is unusable: {0}")]
    Observed(#[from] tdx::Error),
    /// The observed log lacks an event that every boot has.
    #[error("the observed log has no event for {what}")]
    ObservedLacks {
        /// Which.
        what: String,
    },
    /// The observed boot was of something else.
    #[error("the observed boot measured {what} as {found}, computed is {computed}")]
    ObservedDiffers {
        /// What differs.
        what: String,
        /// The digest in the log or quote.
        found: Hex<48>,
        /// The digest of what was given; the first, where there are several.
        computed: Hex<48>,
    },
    /// The observed log has more events in a register than a boot of this kind.
    #[error("the observed log has an unexpected event {index} in RTMR{rtmr}: {found}")]
    ObservedUnexpected {
        /// The register.
        rtmr: usize,
        /// Which event of that register, from 0.
        index: usize,
        /// Its digest.
        found: Hex<48>,
    },
}

impl Error {
    /// A stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::FirmwareTooLong { .. } => "firmware_too_long",
            Self::FirmwareNotPages { .. } => "firmware_not_pages",
            Self::FirmwareTable => "firmware_table",
            Self::FirmwareTableEntry { .. } => "firmware_table_entry",
            Self::FirmwareTableTwice { .. } => "firmware_table_twice",
            Self::FirmwareLacks { .. } => "firmware_lacks",
            Self::FirmwareField { .. } => "firmware_field",
            Self::FirmwareSection { .. } => "firmware_section",
            Self::FirmwareSectionsTooLong { .. } => "firmware_sections_too_long",
            Self::FirmwareSectionsOverlap { .. } => "firmware_sections_overlap",
            Self::VariableStore { .. } => "variable_store",
            Self::Kernel { .. } => "kernel",
            Self::TooLong { .. } => "too_long",
            Self::InitrdEmpty => "initrd_empty",
            Self::CommandLineTooLong { .. } => "command_line_too_long",
            Self::CommandLineByte { .. } => "command_line_byte",
            Self::CommandLineSpace => "command_line_space",
            Self::VcpuCount { .. } => "vcpu_count",
            Self::VcpuType { .. } => "vcpu_type",
            Self::Memory { .. } => "memory",
            Self::HobTooLong { .. } => "hob_too_long",
            Self::Sev(_) => "sev",
            Self::Temporary(_) => "temporary",
            Self::Observed(_) => "observed",
            Self::ObservedLacks { .. } => "observed_lacks",
            Self::ObservedDiffers { .. } => "observed_differs",
            Self::ObservedUnexpected { .. } => "observed_unexpected",
        }
    }

    /// Whether the inputs were well-formed and an observed boot contradicts them, or is no evidence.
    pub fn is_rejection(&self) -> bool {
        matches!(
            self,
            Self::Observed(_)
                | Self::ObservedLacks { .. }
                | Self::ObservedDiffers { .. }
                | Self::ObservedUnexpected { .. }
        )
    }
}
