//! The SEV-SNP launch digest of a guest that QEMU boots with measured kernel hashes.
//!
//! The digest covers the firmware, a page with the hashes of kernel, initrd and command line, and each
//! vCPU's initial state, which depends on the vCPU type's signature and on the guest features. It is
//! computed by the crate `sev` (SEV-SNP Firmware ABI Specification, section 8.17, SNP_LAUNCH_UPDATE),
//! after [`SevMetadata`] has checked everything that the crate follows in the firmware.

use std::io::Write;
use std::path::PathBuf;

use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};
use sev::parser::ByteParser as _;
use tempfile::NamedTempFile;

use crate::firmware::{Firmware, SevMetadata};
use crate::{CommandLine, Digest384, Error, INITRD_BYTES_MAX, KERNEL_BYTES_MAX};

/// Most vCPUs of a guest: what q35 offers by default.
pub const VCPUS_MAX: u32 = 288;
/// SEV_FEATURES with SNP active and nothing else: QEMU's default.
pub const GUEST_FEATURES_DEFAULT: u64 = 1;

/// A vCPU type by QEMU's name for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VcpuType(CpuType);

/// One name per signature; the versions (`EPYC-v4`, …) have their model's signature, which is all that
/// the digest sees.
const MODELS: [CpuType; 5] =
    [CpuType::Epyc, CpuType::EpycRome, CpuType::EpycMilan, CpuType::EpycGenoa, CpuType::EpycTurin];

impl VcpuType {
    /// By name, such as `EPYC-Milan` or `EPYC-v4`.
    ///
    /// # Errors
    /// [`Error::VcpuType`].
    pub fn named(name: &str) -> Result<Self, Error> {
        CpuType::try_from(name).map(Self).map_err(|_| Error::VcpuType { name: name.to_owned() })
    }

    /// One of each signature: together they cover every supported type.
    pub fn models() -> impl Iterator<Item = Self> {
        MODELS.into_iter().map(Self)
    }

    /// QEMU's name.
    pub fn name(&self) -> String {
        self.0.to_string()
    }

    /// CPUID signature (family, model, stepping).
    pub fn signature(&self) -> i32 {
        self.0.sig()
    }
}

/// Everything that the digest covers except the vCPU type, checked and ready to be measured.
///
/// The `sev` crate reads files by path. What it reads are copies of the bytes that were checked, in
/// files that only this process knows.
#[derive(Debug)]
pub struct Guest {
    firmware: NamedTempFile,
    kernel: NamedTempFile,
    initrd: Option<NamedTempFile>,
    command_line: CommandLine,
    vcpus: u32,
    features: u64,
}

impl Guest {
    /// Checks the inputs.
    ///
    /// # Errors
    /// When the firmware is no AmdSev build or malformed, a file too long, the initrd empty, the number
    /// of vCPUs out of range, or a temporary file cannot be written.
    pub fn new(
        firmware: &Firmware<'_>,
        kernel: &[u8],
        initrd: Option<&[u8]>,
        command_line: CommandLine,
        vcpus: u32,
        features: u64,
    ) -> Result<Self, Error> {
        let metadata = SevMetadata::parse(firmware)?;
        if !(1..=VCPUS_MAX).contains(&vcpus) {
            return Err(Error::VcpuCount { found: vcpus, max: VCPUS_MAX });
        }
        check_files(kernel, initrd)?;
        Ok(Self {
            firmware: copy(metadata.image())?,
            kernel: copy(kernel)?,
            initrd: initrd.map(copy).transpose()?,
            command_line,
            vcpus,
            features,
        })
    }

    /// The launch digest on vCPUs of a type.
    ///
    /// # Errors
    /// [`Error::Sev`] when the crate refuses, which nothing that passed [`Guest::new`] is known to
    /// cause.
    pub fn launch_digest(&self, vcpu_type: VcpuType) -> Result<Digest384, Error> {
        let path = |file: &NamedTempFile| -> PathBuf { file.path().to_path_buf() };
        let digest = snp_calc_launch_digest(SnpMeasurementArgs {
            vcpus: self.vcpus,
            vcpu_type: vcpu_type.0,
            ovmf_file: path(&self.firmware),
            guest_features: GuestFeatures(self.features),
            kernel_file: Some(path(&self.kernel)),
            initrd_file: self.initrd.as_ref().map(path),
            append: Some(self.command_line.as_str()),
            ovmf_hash_str: None,
            vmm_type: Some(VMMType::QEMU),
        })?;
        Ok(digest.to_bytes()?)
    }
}

/// Limits on kernel and initrd, for both technologies.
pub(crate) fn check_files(kernel: &[u8], initrd: Option<&[u8]>) -> Result<(), Error> {
    let check = |what, bytes: &[u8], max| {
        let len = bytes.len();
        if len > max { Err(Error::TooLong { what, len, max }) } else { Ok(()) }
    };
    check("kernel", kernel, KERNEL_BYTES_MAX)?;
    if let Some(initrd) = initrd {
        check("initrd", initrd, INITRD_BYTES_MAX)?;
        if initrd.is_empty() {
            return Err(Error::InitrdEmpty);
        }
    }
    Ok(())
}

fn copy(bytes: &[u8]) -> Result<NamedTempFile, Error> {
    let mut file = NamedTempFile::with_prefix("vouchsafe-measure-")?;
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
