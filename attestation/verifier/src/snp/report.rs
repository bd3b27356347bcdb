//! The attestation report (AMD 56860, table "ATTESTATION_REPORT Structure").

use super::error::Error as SnpError;
use super::signature::SIGNATURE_LEN;
use super::{GuestPolicy, KeyInfo, PlatformInfo, Product, ReportSignature, TcbVersion, VekKind};

/// Length of a report, in bytes.
pub const REPORT_LEN: usize = 1184;
/// The signature covers the bytes before this offset.
pub(super) const SIGNED_LEN: usize = 0x2a0;
/// The only signature algorithm there is: ECDSA P-384 with SHA-384 (AMD 56860, "Signature algorithm").
const SIGNATURE_ALGO_ECDSA_P384_SHA384: u32 = 1;
/// Versions whose layout this crate knows.
const VERSION_MIN: u32 = 2;
const VERSION_MAX: u32 = 5;

/// A parsed report. Parsing establishes nothing but shape: until a [`VerifiedSnp`](super::VerifiedSnp)
/// holds it, anyone may have written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    signed: [u8; SIGNED_LEN],
    signature: ReportSignature,
    version: u32,
    guest_svn: u32,
    policy: GuestPolicy,
    family_id: [u8; 16],
    image_id: [u8; 16],
    vmpl: u8,
    current_tcb: TcbVersion,
    platform_info: PlatformInfo,
    key_info: KeyInfo,
    signing_key: VekKind,
    report_data: [u8; 64],
    measurement: [u8; 48],
    host_data: [u8; 32],
    id_key_digest: [u8; 48],
    author_key_digest: [u8; 48],
    report_id: [u8; 32],
    report_id_ma: [u8; 32],
    reported_tcb: TcbVersion,
    cpuid: Option<Cpuid>,
    chip_id: [u8; 64],
    committed_tcb: TcbVersion,
    current_firmware: FirmwareVersion,
    committed_firmware: FirmwareVersion,
    launch_tcb: TcbVersion,
    mitigations: Option<Mitigations>,
}

/// CPUID family, model and stepping that reports carry since version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cpuid {
    pub(super) family: u8,
    pub(super) model: u8,
    pub(super) stepping: u8,
}

/// Mitigation vectors that reports carry since version 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mitigations {
    launch: u64,
    current: u64,
}

/// Version of the SEV firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// Major version of the ABI.
    pub major: u8,
    /// Minor version of the ABI.
    pub minor: u8,
    /// Build number.
    pub build: u8,
}

impl core::fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

impl Report {
    /// Parses a report of version 2 to 5. Every byte has a place: reserved ones must be zero.
    ///
    /// # Errors
    /// The first field, in order of offset, that no genuine report has.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnpError> {
        let exact: &[u8; REPORT_LEN] = bytes
            .try_into()
            .map_err(|_| SnpError::ReportLength { len: bytes.len(), expected: REPORT_LEN })?;
        let mut fields = Fields { rest: exact, offset: 0 };
        let signed = *fields.peek::<SIGNED_LEN>()?;

        let version = fields.u32()?; // 000h VERSION
        if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
            return Err(SnpError::ReportVersion { found: version, min: VERSION_MIN, max: VERSION_MAX });
        }
        let guest_svn = fields.u32()?; // 004h GUEST_SVN
        let policy = GuestPolicy::parse(fields.u64()?)?; // 008h POLICY
        let family_id = fields.array()?; // 010h FAMILY_ID
        let image_id = fields.array()?; // 020h IMAGE_ID
        let vmpl = parse_vmpl(fields.u32()?)?; // 030h VMPL
        let algorithm = fields.u32()?; // 034h SIGNATURE_ALGO
        if algorithm != SIGNATURE_ALGO_ECDSA_P384_SHA384 {
            let expected = SIGNATURE_ALGO_ECDSA_P384_SHA384;
            return Err(SnpError::SignatureAlgorithm { found: algorithm, expected });
        }
        let current_tcb = fields.tcb()?; // 038h CURRENT_TCB
        let platform_info = PlatformInfo::new(fields.u64()?); // 040h PLATFORM_INFO
        let key_info = KeyInfo::parse(fields.u32()?)?; // 048h
        let signing_key = VekKind::from_signing_key(key_info.signing_key())?;
        fields.reserved::<4>()?; // 04Ch
        let report_data = fields.array()?; // 050h REPORT_DATA
        let measurement = fields.array()?; // 090h MEASUREMENT
        let host_data = fields.array()?; // 0C0h HOST_DATA
        let id_key_digest = fields.array()?; // 0E0h ID_KEY_DIGEST
        let author_key_digest = fields.array()?; // 110h AUTHOR_KEY_DIGEST
        let report_id = fields.array()?; // 140h REPORT_ID
        let report_id_ma = fields.array()?; // 160h REPORT_ID_MA
        let reported_tcb = fields.tcb()?; // 180h REPORTED_TCB
        let cpuid = if version >= 3 {
            let [family, model, stepping] = fields.array()?; // 188h CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP
            Some(Cpuid { family, model, stepping })
        } else {
            fields.reserved::<3>()?;
            None
        };
        fields.reserved::<21>()?; // 18Bh
        let chip_id = fields.array()?; // 1A0h CHIP_ID
        let committed_tcb = fields.tcb()?; // 1E0h COMMITTED_TCB
        let current_firmware = fields.firmware()?; // 1E8h CURRENT_BUILD, CURRENT_MINOR, CURRENT_MAJOR
        let committed_firmware = fields.firmware()?; // 1ECh COMMITTED_BUILD, …
        let launch_tcb = fields.tcb()?; // 1F0h LAUNCH_TCB
        let mitigations = if version >= 5 {
            // 1F8h LAUNCH_MIT_VECTOR, 200h CURRENT_MIT_VECTOR
            Some(Mitigations { launch: fields.u64()?, current: fields.u64()? })
        } else {
            fields.reserved::<16>()?;
            None
        };
        fields.reserved::<152>()?; // 208h
        let signature = ReportSignature::parse(fields.peek::<SIGNATURE_LEN>()?)?; // 2A0h SIGNATURE
        Ok(Self {
            signed,
            signature,
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            current_tcb,
            platform_info,
            key_info,
            signing_key,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb,
            cpuid,
            chip_id,
            committed_tcb,
            current_firmware,
            committed_firmware,
            launch_tcb,
            mitigations,
        })
    }

    /// The bytes that the signature covers.
    pub(super) fn signed_bytes(&self) -> &[u8; SIGNED_LEN] {
        &self.signed
    }

    /// The signature.
    pub fn signature(&self) -> &ReportSignature {
        &self.signature
    }

    /// Version of the report's layout, 2 to 5.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Security version of the guest, from its id block.
    pub fn guest_svn(&self) -> u32 {
        self.guest_svn
    }

    /// The policy the guest was launched with.
    pub fn policy(&self) -> GuestPolicy {
        self.policy
    }

    /// Family of the guest, from its id block.
    pub fn family_id(&self) -> &[u8; 16] {
        &self.family_id
    }

    /// Image of the guest, from its id block.
    pub fn image_id(&self) -> &[u8; 16] {
        &self.image_id
    }

    /// Privilege level of the software that asked for the report, 0 (most privileged) to 3.
    pub fn vmpl(&self) -> u8 {
        self.vmpl
    }

    /// TCB that runs at present.
    pub fn current_tcb(&self) -> TcbVersion {
        self.current_tcb
    }

    /// What the platform had enabled.
    pub fn platform_info(&self) -> PlatformInfo {
        self.platform_info
    }

    /// Which key signed, and how.
    pub fn key_info(&self) -> KeyInfo {
        self.key_info
    }

    /// Which kind of key signed, by the report's own account.
    pub fn signing_key(&self) -> VekKind {
        self.signing_key
    }

    /// The 64 bytes that the guest chose.
    pub fn report_data(&self) -> &[u8; 64] {
        &self.report_data
    }

    /// Launch measurement.
    pub fn measurement(&self) -> &[u8; 48] {
        &self.measurement
    }

    /// What the host said at launch.
    pub fn host_data(&self) -> &[u8; 32] {
        &self.host_data
    }

    /// SHA-384 of the id key that signed the id block; `None` (all zero) without an id block.
    pub fn id_key_digest(&self) -> Option<&[u8; 48]> {
        Some(&self.id_key_digest).filter(|digest| **digest != [0; 48])
    }

    /// SHA-384 of the author key that signed the id key; `None` unless KEY_INFO says there is one.
    pub fn author_key_digest(&self) -> Option<&[u8; 48]> {
        Some(&self.author_key_digest).filter(|_| self.key_info.author_key_enabled())
    }

    /// AUTHOR_KEY_DIGEST as it stands, whatever KEY_INFO says; for showing.
    pub(super) fn author_key_digest_raw(&self) -> &[u8; 48] {
        &self.author_key_digest
    }

    /// ID_KEY_DIGEST as it stands; for showing.
    pub(super) fn id_key_digest_raw(&self) -> &[u8; 48] {
        &self.id_key_digest
    }

    /// Random id of this guest instance.
    pub fn report_id(&self) -> &[u8; 32] {
        &self.report_id
    }

    /// Id of the migration agent's report; all ones without one.
    pub fn report_id_ma(&self) -> &[u8; 32] {
        &self.report_id_ma
    }

    /// TCB for which the signing key was derived. The host may set it below the current one.
    pub fn reported_tcb(&self) -> TcbVersion {
        self.reported_tcb
    }

    /// CPUID family, model and stepping; `None` before version 3.
    pub fn cpuid(&self) -> Option<(u8, u8, u8)> {
        self.cpuid.map(|Cpuid { family, model, stepping }| (family, model, stepping))
    }

    /// The product line by CPUID; `None` before version 3 and for unknown models. Which product it is
    /// says the certificate chain; verification demands that both agree.
    pub fn cpuid_product(&self) -> Option<Product> {
        self.cpuid.and_then(|cpuid| Product::from_cpuid(cpuid.family, cpuid.model))
    }

    /// Id of the chip; `None` (all zero) where the host masks it.
    pub fn chip_id(&self) -> Option<&[u8; 64]> {
        Some(&self.chip_id).filter(|id| **id != [0; 64])
    }

    /// CHIP_ID as it stands; for showing.
    pub(super) fn chip_id_raw(&self) -> &[u8; 64] {
        &self.chip_id
    }

    /// TCB below which the platform can no longer go.
    pub fn committed_tcb(&self) -> TcbVersion {
        self.committed_tcb
    }

    /// Firmware that runs at present.
    pub fn current_firmware(&self) -> FirmwareVersion {
        self.current_firmware
    }

    /// Firmware below which the platform can no longer go.
    pub fn committed_firmware(&self) -> FirmwareVersion {
        self.committed_firmware
    }

    /// TCB when the guest was launched or imported.
    pub fn launch_tcb(&self) -> TcbVersion {
        self.launch_tcb
    }

    /// Mitigations in force when the guest was launched, one bit each; `None` before version 5.
    pub fn launch_mitigations(&self) -> Option<u64> {
        self.mitigations.map(|vectors| vectors.launch)
    }

    /// Mitigations in force now, one bit each; `None` before version 5.
    pub fn current_mitigations(&self) -> Option<u64> {
        self.mitigations.map(|vectors| vectors.current)
    }
}

/// A guest asks at VMPL 0 to 3. A report that the hypervisor asked for says FFFFFFFFh: no guest chose
/// its REPORT_DATA, so it proves nothing to us.
fn parse_vmpl(vmpl: u32) -> Result<u8, SnpError> {
    match u8::try_from(vmpl) {
        Ok(level) if level <= 3 => Ok(level),
        _ => Err(SnpError::Vmpl { found: vmpl }),
    }
}

/// Takes fields off the report's front.
struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    fn peek<const N: usize>(&self) -> Result<&'a [u8; N], SnpError> {
        // Cannot fail: the fields' lengths sum to the report's. Totality needs an answer all the same.
        let missing =
            SnpError::ReportLength { len: self.offset.saturating_add(self.rest.len()), expected: REPORT_LEN };
        self.rest.first_chunk().ok_or(missing)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnpError> {
        let field = *self.peek()?;
        self.rest = self.rest.get(N..).unwrap_or_default();
        self.offset = self.offset.saturating_add(N);
        Ok(field)
    }

    fn u32(&mut self) -> Result<u32, SnpError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SnpError> {
        self.array().map(u64::from_le_bytes)
    }

    fn tcb(&mut self) -> Result<TcbVersion, SnpError> {
        self.array().map(TcbVersion::new)
    }

    fn firmware(&mut self) -> Result<FirmwareVersion, SnpError> {
        let [build, minor, major] = self.array()?;
        self.reserved::<1>()?;
        Ok(FirmwareVersion { major, minor, build })
    }

    fn reserved<const N: usize>(&mut self) -> Result<(), SnpError> {
        let offset = self.offset;
        match self.array::<N>()?.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(index) => Err(SnpError::ReportReserved { offset: offset.saturating_add(index) }),
        }
    }
}
