//! Evidence and endorsements as they travel: raw bytes in JSON, judged by nobody yet.

use alloc::string::String;

use serde::Serialize;

use crate::encoding::Base64;
use crate::strict_json::{Fault, Fields, FromValue, Value};
use crate::{Platform, json_deserialize, json_fields, json_record};

/// What a machine said about itself: the bytes its security processor or quoting enclave signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "platform")]
#[non_exhaustive]
pub enum Evidence {
    /// AMD SEV-SNP.
    #[serde(rename = "sev-snp")]
    SevSnp {
        /// The attestation report, 1184 bytes (AMD 56860, table "ATTESTATION_REPORT").
        report: Base64,
    },
    /// Intel TDX.
    #[serde(rename = "tdx")]
    Tdx {
        /// The quote, version 4 or 5.
        quote: Base64,
        /// The CCEL event log the guest kernel kept, where there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        event_log: Option<Base64>,
    },
}

impl FromValue for Evidence {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match Fields::of(value, &[])?.take("platform")? {
            Platform::SevSnp => json_fields!(value, ["platform"], Self::SevSnp { report }),
            Platform::Tdx => json_fields!(value, ["platform"], Self::Tdx { quote, event_log }),
        }
    }
}

json_deserialize!(Evidence);

/// What others say about the machine: certificates, revocation lists, TCB information. Stapled by
/// the host, replaceable by newer ones, never part of what a receipt points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "platform")]
#[non_exhaustive]
pub enum Endorsements {
    /// AMD's certificates for one chip.
    #[serde(rename = "sev-snp")]
    SevSnp(SnpEndorsements),
    /// Intel's collateral for one platform.
    #[serde(rename = "tdx")]
    Tdx(TdxCollateral),
}

impl FromValue for Endorsements {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        match Fields::of(value, &[])?.take("platform")? {
            Platform::SevSnp => snp_endorsements(value).map(Self::SevSnp),
            // Intel may add to its collateral.
            Platform::Tdx => TdxCollateral::from_value(value).map(Self::Tdx),
        }
    }
}

fn snp_endorsements(value: &Value) -> Result<SnpEndorsements, Fault> {
    json_fields!(value, ["platform"], SnpEndorsements { vek, intermediate, root, crl })
}

json_deserialize!(Endorsements);

/// AMD certificates, each in DER. What is pinned in the verifier may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SnpEndorsements {
    /// The VCEK or VLEK certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vek: Option<Base64>,
    /// The ASK or ASVK certificate, where it is not one of AMD's that the verifier pins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate: Option<Base64>,
    /// The ARK certificate. Believed only if it is a trust root already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Base64>,
    /// The ARK's revocation list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<Base64>,
}

/// Intel's collateral for a quote, in the field names of the DCAP library's `QuoteCollateralV3`.
///
/// `tcb_info` and `qe_identity` are the exact signed JSON texts. A part that is absent from the JSON is empty,
/// so that verification says which one is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TdxCollateral {
    /// PEM chain of the PCK CRL's issuer.
    pub pck_crl_issuer_chain: String,
    /// Root CA CRL, DER in hexadecimal.
    pub root_ca_crl: String,
    /// PCK CRL, DER in hexadecimal.
    pub pck_crl: String,
    /// PEM chain of the TCB info's signer.
    pub tcb_info_issuer_chain: String,
    /// The signed TCB info, exactly as signed.
    pub tcb_info: String,
    /// ECDSA signature r‖s over `tcb_info`, in hexadecimal.
    pub tcb_info_signature: String,
    /// PEM chain of the QE identity's signer.
    pub qe_identity_issuer_chain: String,
    /// The signed QE identity, exactly as signed.
    pub qe_identity: String,
    /// ECDSA signature r‖s over `qe_identity`, in hexadecimal.
    pub qe_identity_signature: String,
    /// PEM chain of the PCK certificate, where the quote does not carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pck_certificate_chain: Option<String>,
}

impl FromValue for TdxCollateral {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        let read = CollateralInJson::from_value(value)?;
        Ok(Self {
            pck_crl_issuer_chain: read.pck_crl_issuer_chain.unwrap_or_default(),
            root_ca_crl: read.root_ca_crl.unwrap_or_default(),
            pck_crl: read.pck_crl.unwrap_or_default(),
            tcb_info_issuer_chain: read.tcb_info_issuer_chain.unwrap_or_default(),
            tcb_info: read.tcb_info.unwrap_or_default(),
            tcb_info_signature: read.tcb_info_signature.unwrap_or_default(),
            qe_identity_issuer_chain: read.qe_identity_issuer_chain.unwrap_or_default(),
            qe_identity: read.qe_identity.unwrap_or_default(),
            qe_identity_signature: read.qe_identity_signature.unwrap_or_default(),
            pck_certificate_chain: read.pck_certificate_chain,
        })
    }
}

json_deserialize!(TdxCollateral);

/// [`TdxCollateral`] as it travels.
#[derive(Debug)]
struct CollateralInJson {
    pck_crl_issuer_chain: Option<String>,
    root_ca_crl: Option<String>,
    pck_crl: Option<String>,
    tcb_info_issuer_chain: Option<String>,
    tcb_info: Option<String>,
    tcb_info_signature: Option<String>,
    qe_identity_issuer_chain: Option<String>,
    qe_identity: Option<String>,
    qe_identity_signature: Option<String>,
    pck_certificate_chain: Option<String>,
}

json_record!(open CollateralInJson {
    pck_crl_issuer_chain,
    root_ca_crl,
    pck_crl,
    tcb_info_issuer_chain,
    tcb_info,
    tcb_info_signature,
    qe_identity_issuer_chain,
    qe_identity,
    qe_identity_signature,
    pck_certificate_chain,
});
