//! A second opinion on every row: the crate `dcap-qvl` judges the same minted evidence.
//!
//! It never sees the event log or another set of roots, so rows about those are left out. Where it
//! accepts what we refuse, or refuses what we leave to policies, the difference is recorded below with
//! its reason; an unrecorded difference fails, and so does a record of one that no longer occurs.

use std::collections::BTreeSet;

use crate::dcap::theirs;
use crate::world::{Change, Expected, Row, World};

/// Codes of ours for evidence that `dcap-qvl` accepts, in order, and what it does not look at.
const ACCEPTED_THERE: &[(&str, &str)] = &[
    ("tdx_certificate_extensions_too_many", "how many extensions a certificate has"),
    ("tdx_certificate_issuer_key_usage", "an absent keyUsage on a CA"),
    ("tdx_certificate_too_long", "the length of a certificate"),
    ("tdx_certification_type", "the type of the outer certification data"),
    ("tdx_crl_extension_duplicate", "extensions of a list that occur twice"),
    ("tdx_crl_extensions_too_many", "how many extensions a list has"),
    ("tdx_crl_future", "thisUpdate of a CRL"),
    ("tdx_pceid_mismatch", "pceId of the TCB info"),
    ("tdx_pck_extension_duplicate", "fields of the SGX extension that occur twice: the first counts"),
    ("tdx_pck_extension_malformed", "the single TCB components and field lengths of the SGX extension"),
    ("tdx_pck_extension_missing", "the single TCB components of the SGX extension, only CPUSVN"),
    ("tdx_pck_name", "names of certificates"),
    ("tdx_pem_malformed", "certificates beyond the chain"),
    ("tdx_qe_identity_json", "unknown fields, in which nesting is accepted"),
    ("tdx_qe_identity_too_long", "the length of a document"),
    ("tdx_qe_identity_too_many", "how many levels a document has"),
    ("tdx_qe_report_data_tail", "the second half of the QE report's REPORTDATA"),
    ("tdx_quote_too_long", "the length of the quote's buffer"),
    ("tdx_surplus_bytes", "bytes in the signature data that no field accounts for"),
    ("tdx_tcb_info_component_count", "levels below the one that matches"),
    ("tdx_tcb_info_field", "tcbType"),
    ("tdx_tcb_info_json", "unknown fields, in which nesting is accepted"),
    ("tdx_tcb_info_status", "statuses that a TDX module cannot have, of one that is not this platform's"),
    ("tdx_tcb_info_too_long", "the length of a document"),
    ("tdx_tcb_info_too_many", "how many identities a document has"),
    ("tdx_tcb_info_version", "versions of TCB info above 3"),
    ("tdx_tcb_signing_name", "names of certificates"),
];

/// What `dcap-qvl` has only an error for, by a part of its text.
const REFUSED_THERE: &[&str] = &[
    // A platform below every level: a status here, so that the claims can be shown with it.
    "No matching TCB level found",
    // The same of the TDX module.
    "is below minimum required from TDX module TCB levels",
    // A status like the others here; every policy in the repository refuses it.
    "TCB status is invalid: Revoked",
    // Attributes are policies' business here.
    "SEPT_VE_DISABLE is not enabled",
    "TD migration is enabled",
    "SERVTD_EXT is enabled",
];

/// Rows whose status differs, always towards the worse here. A quoting enclave that needs to be configured
/// otherwise does not count there (45), and a current TCB (TEE_TCB_SVN2) only where it is better than the TCB at
/// launch, or revoked (47).
const STATUS_DIFFERS: &[(u8, &str)] = &[
    (45, "ConfigurationAndSWHardeningNeeded here, SWHardeningNeeded there"),
    (45, "ConfigurationNeeded here, UpToDate there"),
    (45, "OutOfDateConfigurationNeeded here, UpToDate there"),
    (47, "OutOfDate here, UpToDate there"),
];

pub(crate) fn compare(rows: &[Row]) {
    let world = World::new();
    let (mut accepted, mut refused, mut differs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for row in rows {
        let is_out_of_sight =
            matches!(row.change, Change::Roots(_) | Change::Rooted(..) | Change::EventLog(_));
        if is_out_of_sight || is_of_the_log(row) {
            continue;
        }
        let minted = world.mint_changed(row.base, &row.change);
        // Without collateral there is nothing to ask it.
        let Some(collateral) = &minted.collateral else { continue };
        let theirs = theirs(&minted.quote, collateral, minted.at, Some(world.authority.root_der()));
        match (minted.verify(), theirs) {
            (Err(_), Err(_)) => {}
            (Ok(ours), Ok((status, advisories))) if ours.tcb().status().as_str() == status => {
                let ours = ours.tcb().advisories();
                if *ours != advisories {
                    wrong.push(format!("({}) {}: {ours:?} here, {advisories:?} there", row.clause, row.what));
                }
            }
            (Err(ours), Ok(_)) => {
                accepted.insert(ours.code());
            }
            (Ok(_), Err(why)) => match REFUSED_THERE.iter().find(|known| why.contains(**known)) {
                Some(known) => {
                    refused.insert(*known);
                }
                None => wrong.push(format!("({}) {}: dcap-qvl refuses: {why}", row.clause, row.what)),
            },
            (Ok(ours), Ok((status, _))) => {
                let statuses = format!("{} here, {status} there", ours.tcb().status());
                match STATUS_DIFFERS.iter().find(|known| **known == (row.clause, statuses.as_str())) {
                    Some(known) => drop(differs.insert(*known)),
                    None => wrong.push(format!("({}) {}: {statuses}", row.clause, row.what)),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let recorded: Vec<&str> = ACCEPTED_THERE.iter().map(|(code, _)| *code).collect();
    assert_eq!(accepted.into_iter().collect::<Vec<_>>(), recorded);
    assert_eq!(differs.into_iter().collect::<Vec<_>>(), STATUS_DIFFERS);
    assert_eq!(refused, REFUSED_THERE.iter().copied().collect());
}

/// Whether the row's refusal comes from the event log alone.
fn is_of_the_log(row: &Row) -> bool {
    matches!(row.expected, Expected::Code(code) if code.starts_with("tdx_event_"))
}
