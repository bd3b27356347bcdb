//! The stable word for each reason, distinct per clause.

use super::{Document, DocumentFault, Error, PckExtensionFault, Place};
use crate::strict_json::JsonError;

impl Error {
    /// The stable word for this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::QuoteTooLong { .. } => "tdx_quote_too_long",
            Self::QuoteTruncated(_) => "tdx_quote_truncated",
            Self::QuoteLength(_) => "tdx_quote_length",
            Self::QuoteVersion { .. } => "tdx_quote_version",
            Self::TeeType { .. } => "tdx_tee_type",
            Self::KeyType { .. } => "tdx_key_type",
            Self::BodyType { .. } => "tdx_body_type",
            Self::BodySize { .. } => "tdx_body_size",
            Self::CertificationType { .. } => "tdx_certification_type",
            Self::SurplusBytes(_) => "tdx_surplus_bytes",
            Self::QeVendor { .. } => "tdx_qe_vendor",
            Self::QuoteSignature => "tdx_quote_signature",
            Self::AttestationKeyUnbound { .. } => "tdx_attestation_key_unbound",
            Self::QeReportDataTail { .. } => "tdx_qe_report_data_tail",
            Self::QeReportSignature => "tdx_qe_report_signature",
            Self::PckChainMissing => "tdx_pck_chain_missing",
            Self::ChainLength { .. } => "tdx_chain_length",
            Self::CertificateName { place: Place::Pck, .. } => "tdx_pck_name",
            Self::CertificateName { place: Place::PckCa, .. } => "tdx_pck_ca_type",
            Self::CertificateName { place: Place::TcbSigning, .. } => "tdx_tcb_signing_name",
            Self::PckExtension(PckExtensionFault::Missing { .. }) => "tdx_pck_extension_missing",
            Self::PckExtension(PckExtensionFault::Duplicate { .. }) => "tdx_pck_extension_duplicate",
            Self::PckExtension(PckExtensionFault::Malformed(_)) => "tdx_pck_extension_malformed",
            Self::CollateralMissing => "tdx_collateral_missing",
            Self::CollateralIncomplete { is_crl: true, .. } => "tdx_crl_missing",
            Self::CollateralIncomplete { is_crl: false, .. } => "tdx_collateral_incomplete",
            Self::CollateralEncoding { .. } => "tdx_collateral_encoding",
            Self::Document { document: Document::TcbInfo, fault } => fault.tcb_info_code(),
            Self::Document { document: Document::QeIdentity, fault } => fault.qe_identity_code(),
            Self::Fmspc { .. } => "tdx_fmspc_mismatch",
            Self::PceId { .. } => "tdx_pceid_mismatch",
            Self::ModuleUnknown { .. } => "tdx_module_unknown",
            Self::ModuleSigner { .. } => "tdx_module_mrsigner",
            Self::ModuleAttributes { .. } => "tdx_module_attributes",
            Self::QeDebug { .. } => "tdx_qe_debug",
            Self::QeSigner { .. } => "tdx_qe_mrsigner",
            Self::QeProduct { .. } => "tdx_qe_isvprodid",
            Self::QeMiscselect { .. } => "tdx_qe_miscselect",
            Self::QeAttributes { .. } => "tdx_qe_attributes",
            Self::QeIsvsvn { .. } => "tdx_qe_isvsvn",
            Self::TdAttributesReserved { .. } => "tdx_td_attributes_reserved",
            Self::EventLogTooLong { .. } => "tdx_event_log_too_long",
            Self::EventLogTruncated(_) => "tdx_event_log_truncated",
            Self::EventLogMalformed { .. } | Self::EventLogJson(_) => "tdx_event_log_malformed",
            Self::EventLogReplay { .. } => "tdx_event_log_replay",
            Self::EventContent { .. } => "tdx_event_content",
        }
    }
}

impl DocumentFault {
    fn tcb_info_code(&self) -> &'static str {
        match self {
            Self::Signature => "tdx_tcb_info_signature",
            Self::Json(JsonError::TooLong { .. }) => "tdx_tcb_info_too_long",
            Self::Json(_) => "tdx_tcb_info_json",
            Self::Id { .. } => "tdx_tcb_info_id",
            Self::Version { .. } => "tdx_tcb_info_version",
            Self::Field { .. } => "tdx_tcb_info_field",
            Self::Status { .. } => "tdx_tcb_info_status",
            Self::ComponentCount { .. } => "tdx_tcb_info_component_count",
            Self::TooMany { .. } => "tdx_tcb_info_too_many",
            Self::NotYetValid { .. } => "tdx_tcb_info_not_yet_valid",
            Self::Expired { .. } => "tdx_tcb_info_expired",
        }
    }

    fn qe_identity_code(&self) -> &'static str {
        match self {
            Self::Signature => "tdx_qe_identity_signature",
            Self::Json(JsonError::TooLong { .. }) => "tdx_qe_identity_too_long",
            Self::Json(_) => "tdx_qe_identity_json",
            Self::Id { .. } => "tdx_qe_identity_id",
            Self::Version { .. } => "tdx_qe_identity_version",
            Self::Field { .. } => "tdx_qe_identity_field",
            Self::Status { .. } => "tdx_qe_identity_status",
            // TCB info alone has component arrays.
            Self::ComponentCount { .. } | Self::TooMany { .. } => "tdx_qe_identity_too_many",
            Self::NotYetValid { .. } => "tdx_qe_identity_not_yet_valid",
            Self::Expired { .. } => "tdx_qe_identity_expired",
        }
    }
}
