//! The stable words of this crate's own findings.
//!
//! Together with the words of `vouchsafe-verifier` and `vouchsafe-receipt` they are explained in
//! `docs/rejection-codes.md`; a test holds that table and the sources against each other.

macro_rules! codes {
    ($($name:ident = $word:literal;)*) => {
        $(pub(crate) const $name: &str = $word;)*
    };
}

codes! {
    PREREQUISITE_FAILED = "prerequisite_failed";
    POLICY_PURPOSE = "policy_purpose";
    DOCUMENT_VERSION = "document_version_unknown";
    PLATFORM_NOT_ACCEPTED = "platform_not_accepted";
    EVIDENCE_UNSUPPORTED = "evidence_unsupported";
    ROOT_SIMULATED = "root_simulated";
    ROOT_UNUSABLE = "root_unusable";
    MACHINE_MISMATCH = "machine_mismatch";
    MEASUREMENT_MISMATCH = "measurement_mismatch";
    MEASUREMENT_REVOKED = "measurement_revoked";
    MEASUREMENT_EXPIRED = "measurement_expired";
    MEASUREMENT_NOT_YET_VALID = "measurement_not_yet_valid";

    SNP_PRODUCT = "snp_product_not_accepted";
    SNP_TCB = "snp_tcb_below_minimum";
    SNP_VMPL = "snp_vmpl_above_policy";
    SNP_DEBUG = "snp_debug_mismatch";
    SNP_MIGRATION = "snp_migration_mismatch";
    SNP_SMT = "snp_smt_mismatch";
    SNP_SINGLE_SOCKET = "snp_single_socket_mismatch";
    SNP_ECC = "snp_ecc_mismatch";
    SNP_RAPL = "snp_rapl_mismatch";
    SNP_CIPHERTEXT_HIDING = "snp_ciphertext_hiding_mismatch";
    SNP_ALIAS_CHECK = "snp_alias_check_mismatch";
    SNP_CRL = "snp_crl_missing";
    SNP_SIGNING_KEY = "snp_signing_key_not_accepted";
    SNP_ID_KEY = "snp_id_key_mismatch";
    SNP_AUTHOR_KEY = "snp_author_key_mismatch";
    SNP_HOST_DATA = "snp_host_data_mismatch";
    SNP_CHIP = "snp_chip_not_accepted";

    TDX_TCB_STATUS = "tdx_tcb_status_not_accepted";
    TDX_TCB_NO_LEVEL = "tdx_tcb_no_matching_level";
    TDX_TCB_CURRENT = "tdx_tcb_current_not_accepted";
    TDX_TCB_GRACE = "tdx_tcb_grace_expired";
    TDX_ADVISORY_DENIED = "tdx_advisory_denied";
    TDX_ADVISORY_NOT_TOLERATED = "tdx_advisory_not_tolerated";
    TDX_EVALUATION_NUMBER = "tdx_evaluation_number_below_minimum";
    TDX_DEBUG = "tdx_debug_mismatch";
    TDX_SEPT_VE_DISABLE = "tdx_sept_ve_disable_mismatch";
    TDX_MIGRATABLE = "tdx_migratable_mismatch";
    TDX_SERVICE_TD = "tdx_service_td_bound";
    TDX_PADDING = "tdx_padding_not_accepted";
    TDX_TRAILING = "tdx_trailing_bytes";
    TDX_RTMRS_ZERO = "tdx_rtmrs_zero";
    TDX_EVENT_LOG = "tdx_event_log_missing";
    TDX_MRCONFIGID = "tdx_mrconfigid_mismatch";
    TDX_MROWNER = "tdx_mrowner_mismatch";
    TDX_MROWNERCONFIG = "tdx_mrownerconfig_mismatch";
    TDX_REGISTER = "tdx_register_mismatch";
    TDX_PPID = "tdx_ppid_not_accepted";

    REPORT_DATA_MISMATCH = "report_data_mismatch";
    REPORT_DATA_NOT_GIVEN = "report_data_not_given";
    BOOT_REPORT_DATA = "boot_report_data_mismatch";
    EPOCH_REPORT_DATA = "epoch_report_data_mismatch";
    EPOCH_OTHER_BOOT = "epoch_of_other_boot";
    CHALLENGE_NOT_SENT = "challenge_not_sent";
    CHALLENGE_MISSING = "challenge_missing";
    CHALLENGE_NONCE = "challenge_nonce_mismatch";
    CHALLENGE_PATH = "challenge_path_malformed";
    CHALLENGE_REPORT_DATA = "challenge_report_data_mismatch";

    REVOCATIONS_MISSING = "revocations_missing";
    REVOCATIONS_STALE = "revocations_stale";
    REVOCATION_UNDECIDED = "revocation_undecided";
    BOOT_REVOKED = "boot_revoked";
    RECEIPT_KEY_REVOKED = "receipt_key_revoked";
    CHIP_REVOKED = "chip_revoked";
    IMAGE_REVOKED = "image_revoked";
    PROCESSOR_REVOKED = "processor_revoked";

    IMAGE_RELEASE_MISSING = "image_release_missing";
    IMAGE_NOT_RELEASED = "image_not_released";
    IMAGE_RELEASED_LATER = "image_released_later";

    EPOCH_EXPIRED = "epoch_expired";
    EPOCH_TOO_LONG = "epoch_too_long";
    RECEIPT_TOO_OLD = "receipt_too_old";
    RECEIPT_FROM_FUTURE = "receipt_from_future";
    OPERATOR_MISMATCH = "operator_mismatch";
    SETTLEMENT_NONE = "settlement_none";
    SETTLEMENT_BOUND = "settlement_bound_above_policy";
    SETTLEMENT_KEYS = "settlement_keys_malformed";
    LOG_UNTRUSTED = "log_not_trusted";
    WITNESSES_UNTRUSTED = "witnesses_not_trusted";

    ANSWER_EMPTY = "answer_empty";
    EPOCH_MISMATCH = "epoch_mismatch";
    STREAM_MISMATCH = "stream_mismatch";
    STREAM_START_MISSING = "stream_start_missing";
    STREAM_HEAD_MISSING = "stream_head_missing";
    MODEL_ABSENT = "model_absent";
    MODEL_NOT_ATTESTED = "model_not_attested";
    MODEL_MISMATCH = "model_mismatch";
    ENGINE_NOT_ATTESTED = "engine_not_attested";
    ENGINE_MISMATCH = "engine_mismatch";
    REQUEST_MISMATCH = "request_mismatch";
    REQUEST_NOT_GIVEN = "request_not_given";
    REQUEST_OPENING_MISSING = "request_opening_missing";
    RESPONSE_MISMATCH = "response_mismatch";
    RESPONSE_NOT_GIVEN = "response_not_given";
    RESPONSE_OPENING_MISSING = "response_opening_missing";
    EXECUTION_MISMATCH = "execution_mismatch";
    EXECUTION_MALFORMED = "execution_malformed";
    EXECUTION_OPENING_MISSING = "execution_opening_missing";
    PARAMETER_MISMATCH = "parameter_mismatch";

    SETTLE_BY_MISMATCH = "settle_by_mismatch";
    PROOF_MISSING = "proof_missing";
    PROOF_PENDING = "proof_pending";
    SETTLED_WITHOUT_PROOF = "settled_without_proof";
    PROOF_WITHOUT_RECEIPT = "proof_without_receipt";
    PROOF_WITHOUT_LOG = "proof_without_log";
    LOGGED_BEFORE_CHECKPOINT = "logged_before_checkpoint";
}
