//! The command line of `vouchsafe measure`, and the files that it names.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use vouchsafe_measure::firmware::{FIRMWARE_BYTES_MAX, Firmware};
use vouchsafe_measure::{CommandLine, Error, INITRD_BYTES_MAX, KERNEL_BYTES_MAX, snp, tdx};

use crate::output;

/// Longest quote or event log, in bytes; their own readers have closer limits.
const EVIDENCE_BYTES_MAX: usize = 8 << 20;

/// Compute what a guest must measure to, before it is ever started
#[derive(Debug, Parser)]
#[command(name = "vouchsafe measure", version, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// AMD SEV-SNP: the launch digest for each vCPU type
    Snp(Snp),
    /// Intel TDX: MRTD and RTMR0 to RTMR3
    Tdx(Tdx),
}

/// What boots.
#[derive(Debug, Args)]
pub(crate) struct Boot {
    /// Firmware image: OVMF built for AmdSev or IntelTdx
    #[arg(long, value_name = "FILE")]
    firmware: PathBuf,
    /// Linux kernel, as given to QEMU's -kernel
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Initial RAM disk, as given to QEMU's -initrd
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Kernel command line, as given to QEMU's -append
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    append: String,
    /// What the reference values are called
    #[arg(long, value_name = "TEXT", default_value = "guest")]
    name: String,
}

#[derive(Debug, Args)]
struct Snp {
    #[command(flatten)]
    boot: Boot,
    /// Number of vCPUs
    #[arg(long, value_name = "N")]
    vcpus: u32,
    /// vCPU type by QEMU's name, repeatable; all models if left out
    #[arg(long, value_name = "TYPE")]
    vcpu_type: Vec<String>,
    /// SEV_FEATURES of the vCPUs, in hexadecimal: 0x1 for QEMU's default
    #[arg(long, value_name = "HEX", default_value = "0x1", value_parser = parse_features)]
    guest_features: u64,
}

#[derive(Debug, Args)]
struct Tdx {
    #[command(flatten)]
    boot: Boot,
    /// Memory as given to QEMU's -m, such as 4G: computes the memory layout's part of RTMR0
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    memory: Option<u64>,
    /// Quote of one boot of this guest on this kind of machine, with its --event-log: gives RTMR0
    #[arg(long, value_name = "FILE", requires = "event_log")]
    quote: Option<PathBuf>,
    /// Event log of that boot: the CCEL area, or dstack's JSON
    #[arg(long, value_name = "FILE", requires = "quote")]
    event_log: Option<PathBuf>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file that was named can't be read.
    #[error("can't read {path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is longer than any of its kind.
    #[error("{path} is longer than {max} bytes", path = path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        max: usize,
    },
    /// The inputs cannot be measured.
    #[error("{0} ({code})", code = .0.code())]
    Measure(#[from] Error),
    /// The result can't be written.
    #[error("can't write the result: {0}")]
    Output(std::io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Measure(error) if error.is_rejection() => 10,
            Self::Measure(Error::VcpuType { .. } | Error::VcpuCount { .. }) => 2,
            Self::Measure(Error::Temporary(_)) | Self::Output(_) => 1,
            Self::Unreadable { .. } | Self::TooLong { .. } | Self::Measure(_) => 30,
        })
    }
}

/// The files that boot, read.
pub(crate) struct Files {
    pub(crate) firmware: Vec<u8>,
    pub(crate) kernel: Vec<u8>,
    pub(crate) initrd: Option<Vec<u8>>,
    pub(crate) command_line: CommandLine,
    pub(crate) name: String,
}

impl Arguments {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Snp(arguments) => run_snp(arguments),
            Command::Tdx(arguments) => run_tdx(arguments),
        }
    }
}

fn run_snp(arguments: Snp) -> Result<(), Failure> {
    let named = arguments.vcpu_type.iter().map(|name| snp::VcpuType::named(name));
    let types = match arguments.vcpu_type.is_empty() {
        true => snp::VcpuType::models().collect(),
        false => named.collect::<Result<Vec<_>, _>>()?,
    };
    let files = read_files(arguments.boot)?;
    let firmware = Firmware::parse(&files.firmware)?;
    let guest = snp::Guest::new(
        &firmware,
        &files.kernel,
        files.initrd.as_deref(),
        files.command_line.clone(),
        arguments.vcpus,
        arguments.guest_features,
    )?;
    let digests = types
        .into_iter()
        .map(|vcpu_type| Ok((vcpu_type, guest.launch_digest(vcpu_type)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    output::snp(&files, arguments.vcpus, arguments.guest_features, &digests).map_err(Failure::Output)
}

fn run_tdx(arguments: Tdx) -> Result<(), Failure> {
    let files = read_files(arguments.boot)?;
    let observed = match arguments.quote.as_deref().zip(arguments.event_log.as_deref()) {
        None => None,
        Some((quote, log)) => {
            Some(tdx::Observed::parse(&read(quote, EVIDENCE_BYTES_MAX)?, &read(log, EVIDENCE_BYTES_MAX)?)?)
        }
    };
    let firmware = Firmware::parse(&files.firmware)?;
    let guest = tdx::Guest::new(
        &firmware,
        &files.kernel,
        files.initrd.as_deref(),
        files.command_line.clone(),
        arguments.memory,
    )?;
    let registers = guest.registers(observed.as_ref())?;
    output::tdx(&files, arguments.memory, registers).map_err(Failure::Output)
}

fn read_files(boot: Boot) -> Result<Files, Failure> {
    Ok(Files {
        command_line: CommandLine::new(&boot.append)?,
        firmware: read(&boot.firmware, FIRMWARE_BYTES_MAX)?,
        kernel: read(&boot.kernel, KERNEL_BYTES_MAX)?,
        initrd: boot.initrd.map(|path| read(&path, INITRD_BYTES_MAX)).transpose()?,
        name: boot.name,
    })
}

/// Reads a file of at most `max` bytes.
fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::Unreadable { path: path.into(), error };
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(Failure::TooLong { path: path.into(), max });
    }
    Ok(bytes)
}

fn parse_features(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").ok_or("expected hexadecimal, such as 0x1")?;
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

/// A size as QEMU's `-m` takes it: a number of MiB, or one with the unit K, M, G or T.
fn parse_memory(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (text.get(..at).unwrap_or_default(), unit),
        _ => (text, 'M'),
    };
    let shift = match unit.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return Err("expected a size such as 4G or 4096".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| "expected a size such as 4G or 4096".to_owned())?;
    let bytes = count.checked_mul(1 << shift).filter(|bytes| (1..=tdx::MEMORY_BYTES_MAX).contains(bytes));
    bytes.ok_or_else(|| "no machine has that much memory".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_qemus() {
        assert_eq!(parse_memory("4G"), Ok(4 << 30));
        assert_eq!(parse_memory("512"), Ok(512 << 20));
        assert_eq!(parse_memory("2048m"), Ok(2 << 30));
        for text in ["", "G", "4X", "-1", "0", "99999T", "4 G"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
        assert_eq!(parse_features("0x21"), Ok(0x21));
        assert!(parse_features("21").is_err());
    }
}
