//! The quote, part by part.
//!
//! Intel TDX DCAP Quoting Library API, appendix A.3 ("Quote Format, version 4" and "version 5");
//! Intel SGX "REPORT Body" for the quoting enclave's report. Little-endian throughout.

/// Length of a quote's header, bytes.
pub const HEADER_BYTES: usize = 48;
/// Length of the quoting enclave's report, bytes.
pub const QE_REPORT_BYTES: usize = 384;
/// Body type of a TD 1.0 report in a quote of version 5.
pub const BODY_TYPE_TD10: u16 = 2;
/// Body type of a TD 1.5 report in a quote of version 5.
pub const BODY_TYPE_TD15: u16 = 3;

/// Intel's QE vendor id.
const INTEL_QE_VENDOR_ID: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
/// Certification data: the QE report and what certifies it.
const CERTIFICATION_QE_REPORT: u16 = 6;
/// Certification data: the PCK certificate chain in PEM.
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// The header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteHeader {
    /// 4 or 5.
    pub version: u16,
    /// 2 is ECDSA on P-256.
    pub attestation_key_type: u16,
    /// 0x81 is TDX, 0 is SGX.
    pub tee_type: u32,
    /// Reserved.
    pub reserved: [u8; 4],
    /// Whose quoting enclave.
    pub qe_vendor_id: [u8; 16],
    /// The quoting enclave's own.
    pub user_data: [u8; 20],
}

impl QuoteHeader {
    /// A TDX quote of this version.
    pub fn typical(version: u16) -> Self {
        Self {
            version,
            attestation_key_type: 2,
            tee_type: 0x81,
            reserved: [0; 4],
            qe_vendor_id: INTEL_QE_VENDOR_ID,
            user_data: [0; 20],
        }
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.attestation_key_type.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.tee_type.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.reserved);
        bytes[12..28].copy_from_slice(&self.qe_vendor_id);
        bytes[28..].copy_from_slice(&self.user_data);
        bytes
    }
}

/// The report body of a TD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdBody {
    /// TEE_TCB_SVN.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM: the TDX module.
    pub mr_seam: [u8; 48],
    /// MRSIGNERSEAM: zero for Intel's module.
    pub mr_signer_seam: [u8; 48],
    /// SEAMATTRIBUTES.
    pub seam_attributes: [u8; 8],
    /// TDATTRIBUTES: bit 0 DEBUG, bit 28 SEPT_VE_DISABLE.
    pub td_attributes: [u8; 8],
    /// XFAM.
    pub xfam: [u8; 8],
    /// MRTD: the build-time measurement.
    pub mr_td: [u8; 48],
    /// MRCONFIGID.
    pub mr_config_id: [u8; 48],
    /// MROWNER.
    pub mr_owner: [u8; 48],
    /// MROWNERCONFIG.
    pub mr_owner_config: [u8; 48],
    /// RTMR0 to RTMR3.
    pub rtmrs: [[u8; 48]; 4],
    /// REPORTDATA, what the guest wanted signed.
    pub report_data: [u8; 64],
    /// What TD 1.5 adds; `None` for TD 1.0.
    pub td15: Option<Td15Fields>,
}

/// What the report body of TD 1.5 adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Td15Fields {
    /// TEE_TCB_SVN2: the module that is loaded now.
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD.
    pub mr_service_td: [u8; 48],
}

impl TdBody {
    /// What an ordinary TD reports: SEPT_VE_DISABLE and nothing else.
    pub fn typical(tee_tcb_svn: [u8; 16], mr_td: [u8; 48]) -> Self {
        Self {
            tee_tcb_svn,
            mr_seam: [0x5e; 48],
            mr_signer_seam: [0; 48],
            seam_attributes: [0; 8],
            td_attributes: [0, 0, 0, 0x10, 0, 0, 0, 0],
            xfam: [0xe7, 0x02, 0x06, 0, 0, 0, 0, 0],
            mr_td,
            mr_config_id: [0; 48],
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            rtmrs: [[0; 48]; 4],
            report_data: [0; 64],
            td15: None,
        }
    }

    /// The body's bytes: 584 for TD 1.0, 648 for TD 1.5.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let common: [&[u8]; 10] = [
            &self.tee_tcb_svn,
            &self.mr_seam,
            &self.mr_signer_seam,
            &self.seam_attributes,
            &self.td_attributes,
            &self.xfam,
            &self.mr_td,
            &self.mr_config_id,
            &self.mr_owner,
            &self.mr_owner_config,
        ];
        bytes.extend(common.concat());
        bytes.extend(self.rtmrs.concat());
        bytes.extend(self.report_data);
        if let Some(td15) = &self.td15 {
            bytes.extend(td15.tee_tcb_svn2);
            bytes.extend(td15.mr_service_td);
        }
        bytes
    }

    /// The body type of quotes of version 5.
    pub fn body_type(&self) -> u16 {
        if self.td15.is_some() { BODY_TYPE_TD15 } else { BODY_TYPE_TD10 }
    }
}

/// The quoting enclave's own report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QeReport {
    /// CPUSVN.
    pub cpu_svn: [u8; 16],
    /// MISCSELECT.
    pub misc_select: [u8; 4],
    /// ATTRIBUTES: bit 1 DEBUG.
    pub attributes: [u8; 16],
    /// MRENCLAVE.
    pub mr_enclave: [u8; 32],
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// ISVPRODID: 2 is the quoting enclave for TDX.
    pub isv_prod_id: u16,
    /// ISVSVN.
    pub isv_svn: u16,
    /// REPORTDATA: SHA-256 of attestation key and authentication data, then zeros.
    pub report_data: [u8; 64],
}

impl QeReport {
    /// Intel's quoting enclave for TDX on a platform with this CPUSVN.
    pub fn typical(cpu_svn: [u8; 16]) -> Self {
        Self {
            cpu_svn,
            misc_select: [0; 4],
            attributes: [0x15, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 0, 0, 0, 0, 0, 0],
            mr_enclave: [0x9e; 32],
            mr_signer: super::collateral::QE_MRSIGNER,
            isv_prod_id: 2,
            isv_svn: 7,
            report_data: [0; 64],
        }
    }

    /// The report's bytes.
    pub fn to_bytes(&self) -> [u8; QE_REPORT_BYTES] {
        let mut bytes = [0; QE_REPORT_BYTES];
        let mut put =
            |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(0, &self.cpu_svn);
        put(16, &self.misc_select);
        put(48, &self.attributes);
        put(64, &self.mr_enclave);
        put(128, &self.mr_signer);
        put(256, &self.isv_prod_id.to_le_bytes());
        put(258, &self.isv_svn.to_le_bytes());
        put(320, &self.report_data);
        bytes
    }
}

/// A whole quote in parts that can be changed one by one. Sizes are computed unless they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteParts {
    /// What the attestation key signs: header, in version 5 the body's type and size, and body.
    pub signed: Vec<u8>,
    /// Size of the signature data, where it is to be wrong.
    pub signature_data_size: Option<u32>,
    /// Signature over `signed`, r‖s.
    pub signature: [u8; 64],
    /// Public attestation key, x‖y.
    pub attestation_key: [u8; 64],
    /// Type of the outer certification data: 6.
    pub certification_type: u16,
    /// Size of the outer certification data, where it is to be wrong.
    pub certification_size: Option<u32>,
    /// The quoting enclave's report.
    pub qe_report: [u8; QE_REPORT_BYTES],
    /// The PCK's signature over `qe_report`, r‖s.
    pub qe_report_signature: [u8; 64],
    /// Authentication data: the quoting enclave's own, bound in its report.
    pub auth_data: Vec<u8>,
    /// Size of `auth_data`, where it is to be wrong.
    pub auth_data_size: Option<u16>,
    /// Type of the inner certification data: 5.
    pub inner_certification_type: u16,
    /// Size of the inner certification data, where it is to be wrong.
    pub inner_certification_size: Option<u32>,
    /// The inner certification data: the PCK chain in PEM, with a final NUL as Intel's library writes.
    pub inner_certification: Vec<u8>,
    /// What follows the quote.
    pub trailing: Vec<u8>,
}

impl QuoteParts {
    /// Parts with the usual types, and signatures yet to be made.
    pub fn unsigned(
        header: &QuoteHeader,
        body: &TdBody,
        qe_report: &QeReport,
        attestation_key: [u8; 64],
        auth_data: Vec<u8>,
        pck_chain: &str,
    ) -> Self {
        Self {
            signed: signed_bytes(header, body),
            signature_data_size: None,
            signature: [0; 64],
            attestation_key,
            certification_type: CERTIFICATION_QE_REPORT,
            certification_size: None,
            qe_report: qe_report.to_bytes(),
            qe_report_signature: [0; 64],
            auth_data,
            auth_data_size: None,
            inner_certification_type: CERTIFICATION_PCK_CHAIN,
            inner_certification_size: None,
            inner_certification: [pck_chain.as_bytes(), b"\0"].concat(),
            trailing: Vec::new(),
        }
    }

    /// The quote's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let auth_size = self.auth_data_size.unwrap_or(self.auth_data.len() as u16);
        let inner_size = self.inner_certification_size.unwrap_or(size(&self.inner_certification));
        let mut certification = Vec::new();
        certification.extend(self.qe_report);
        certification.extend(self.qe_report_signature);
        certification.extend(auth_size.to_le_bytes());
        certification.extend(&self.auth_data);
        certification.extend(self.inner_certification_type.to_le_bytes());
        certification.extend(inner_size.to_le_bytes());
        certification.extend(&self.inner_certification);

        let mut signature_data = Vec::new();
        signature_data.extend(self.signature);
        signature_data.extend(self.attestation_key);
        signature_data.extend(self.certification_type.to_le_bytes());
        signature_data.extend(self.certification_size.unwrap_or(size(&certification)).to_le_bytes());
        signature_data.extend(certification);

        let mut quote = self.signed.clone();
        quote.extend(self.signature_data_size.unwrap_or(size(&signature_data)).to_le_bytes());
        quote.extend(signature_data);
        quote.extend(&self.trailing);
        quote
    }
}

/// Header, in version 5 the body's type and size, and body.
fn signed_bytes(header: &QuoteHeader, body: &TdBody) -> Vec<u8> {
    let bytes = body.to_bytes();
    let mut signed = header.to_bytes().to_vec();
    if header.version >= 5 {
        signed.extend(body.body_type().to_le_bytes());
        signed.extend(size(&bytes).to_le_bytes());
    }
    signed.extend(bytes);
    signed
}

fn size(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
