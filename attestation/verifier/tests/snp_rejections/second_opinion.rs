//! A second opinion on every row: the crate `sev` judges the same report under the same chain.
//!
//! It is asked what it offers: the chain's signatures, and the report's. Validity, revocation lists, names and
//! constraints of certificates, and the report against its certificate it leaves to its callers, so most
//! of what is refused here passes there. Each code is recorded below with what `sev` does not look at; an
//! unrecorded difference fails, and so does a record of one that no longer occurs.

use std::collections::{BTreeMap, BTreeSet};

use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

use super::Row;

/// Codes of ours for what `sev` accepts, in order, and what it does not look at.
const ACCEPTED_THERE: &[(&str, &str)] = &[
    ("snp_certificate_expired", "validity"),
    ("snp_certificate_extension_critical_unknown", "critical extensions"),
    ("snp_certificate_extension_duplicate", "extensions that occur twice"),
    ("snp_certificate_issuer_key_usage", "keyUsage"),
    ("snp_certificate_issuer_mismatch", "the issuer's name"),
    ("snp_certificate_issuer_not_ca", "basicConstraints"),
    ("snp_certificate_leaf_is_ca", "basicConstraints"),
    ("snp_certificate_not_yet_valid", "validity"),
    ("snp_certificate_path_too_long", "basicConstraints"),
    ("snp_certificate_pss_algorithm", "the parameters of RSASSA-PSS"),
    ("snp_certificate_pss_malformed", "the parameters of RSASSA-PSS"),
    ("snp_certificate_revoked", "revocation lists"),
    ("snp_certificate_signature_algorithms_differ", "the algorithm inside the signed part"),
    ("snp_chain_name_unknown", "names"),
    ("snp_chain_product_mismatch", "names"),
    ("snp_chip_id_masked", "CHIP_ID"),
    ("snp_chip_id_tail", "CHIP_ID"),
    ("snp_chip_key_masked", "MASK_CHIP_KEY"),
    ("snp_cpuid_product_mismatch", "CPUID against the chain's product"),
    ("snp_crl_extension_critical_unknown", "revocation lists"),
    ("snp_crl_extension_duplicate", "revocation lists"),
    ("snp_crl_extensions_too_many", "revocation lists"),
    ("snp_crl_future", "revocation lists"),
    ("snp_crl_issuer_key_usage", "revocation lists"),
    ("snp_crl_issuer_mismatch", "revocation lists"),
    ("snp_crl_malformed", "revocation lists"),
    ("snp_crl_pss_algorithm", "revocation lists"),
    ("snp_crl_pss_malformed", "revocation lists"),
    ("snp_crl_pss_salt_length", "revocation lists"),
    ("snp_crl_scope", "revocation lists"),
    ("snp_crl_signature_algorithm", "revocation lists"),
    ("snp_crl_signature_algorithms_differ", "revocation lists"),
    ("snp_crl_signature_invalid", "revocation lists"),
    ("snp_crl_stale", "revocation lists"),
    ("snp_crl_too_long", "revocation lists"),
    ("snp_crl_without_next_update", "revocation lists"),
    ("snp_guest_policy_bit17", "bits of the guest policy"),
    ("snp_guest_policy_reserved", "bits of the guest policy"),
    ("snp_hwid_mismatch", "hwID"),
    ("snp_key_info_reserved", "reserved bits of KEY_INFO"),
    ("snp_report_unsigned", "SIGNING_KEY"),
    ("snp_report_version", "versions above 5, whose layout it takes for that of 5"),
    ("snp_root_not_trusted", "the issuer's name"),
    ("snp_signature_algorithm", "SIGNATURE_ALGO"),
    ("snp_signature_high_bytes", "24 of the 72 bytes of R and S"),
    ("snp_signature_padding", "the padding of the signature"),
    ("snp_signing_key_unknown", "SIGNING_KEY"),
    ("snp_vek_extension_malformed", "the VEK's extensions"),
    ("snp_vek_extension_missing", "the VEK's extensions"),
    ("snp_vek_extension_unexpected", "the VEK's extensions"),
    ("snp_vek_issuer_kind", "whether a VCEK is under an ASK, a VLEK under an ASVK"),
    ("snp_vek_kind_mismatch", "SIGNING_KEY against the certificate"),
    ("snp_vek_kind_unclear", "the VEK's extensions and name"),
    ("snp_vek_product_mismatch", "the VEK's extensions"),
    ("snp_vek_product_unknown", "the VEK's extensions"),
    ("snp_vek_struct_version", "the VEK's extensions"),
    ("snp_vek_tcb_is_current", "the VEK's TCB against the report's"),
    ("snp_vek_tcb_mismatch", "the VEK's TCB against the report's"),
    ("snp_vmpl_not_guest", "VMPL"),
];

pub(crate) fn compare(rows: &[&Row]) {
    let mut accepted = BTreeMap::<&str, Vec<&str>>::new();
    let mut both = 0;
    for row in rows {
        let mut draft = (row.control)();
        let control = draft.signed().map(|[report, vek, ca, ark]| theirs(&report, &vek, &ca, &ark));
        assert_eq!(control, Some(Ok(())), "sev refuses the control of: {}", row.clause);
        (row.change)(&mut draft);
        // It takes certificates from its caller alone: without one there is nothing to ask.
        let Some([report, vek, ca, ark]) = draft.signed().filter(|_| draft.offers_intermediate) else {
            continue;
        };
        match theirs(&report, &vek, &ca, &ark) {
            Ok(()) => accepted.entry(row.code).or_default().push(row.clause),
            Err(_) => both += 1,
        }
    }
    println!("{both} rows are refused by both; accepted by sev: {accepted:#?}");
    let recorded: BTreeSet<&str> = ACCEPTED_THERE.iter().map(|(code, _)| *code).collect();
    let occurred: BTreeSet<&str> = accepted.keys().copied().collect();
    assert_eq!(occurred, recorded);
}

/// `sev`'s verdict on a chain and a report.
fn theirs(report: &[u8], vek: &[u8], ca: &[u8], ark: &[u8]) -> Result<(), String> {
    let chain = Chain::from_der(ark, ca, vek).map_err(|error| format!("chain: {error}"))?;
    chain.verify().map_err(|error| format!("chain: {error}"))?;
    let report: [u8; 1184] = report.try_into().map_err(|_| "length".to_owned())?;
    let report = AttestationReport::from_bytes(&report).map_err(|error| format!("report: {error}"))?;
    (&chain.vek, &report).verify().map_err(|error| format!("report: {error}"))
}
