//! One bit changed anywhere in a real quote, or anything changed in its collateral: a named rejection.

mod common;
mod tdx_support;

use std::ops::Range;

use tdx_support::{Case, case, code, verify, verify_log};
use vouchsafe_verifier::TdxCollateral;
use vouchsafe_verifier::tdx::{Quote, TD_1_0_LEN, TD_1_5_LEN};

/// Where a bit may be flipped and what must come of it.
struct Region {
    what: &'static str,
    bytes: Range<usize>,
    codes: &'static [&'static str],
}

/// The regions of a quote, from start to end and without a gap. `body` is where the TD report starts.
fn regions(body: usize, td_len: usize, case: &Case) -> Vec<Region> {
    let mut start = 0;
    let mut regions = Vec::new();
    let mut region = |what, len, codes| {
        regions.push(Region { what, bytes: start..start + len, codes });
        start += len;
    };
    // A version 4 quote whose version becomes 5 has a body type made of its TEE_TCB_SVN; a version 5
    // quote whose version becomes 4 has a length field in the middle of its body.
    region("version", 2, &["tdx_quote_version", "tdx_body_type", "tdx_quote_length"]);
    region("attestation key type", 2, &["tdx_key_type"]);
    region("TEE type", 4, &["tdx_tee_type"]);
    region("reserved header bytes", 4, &["tdx_quote_signature"]);
    region("QE vendor id", 16, &["tdx_qe_vendor"]);
    region("user data", 20, &["tdx_quote_signature"]);
    if body > 48 {
        region("body type", 2, &["tdx_body_type", "tdx_body_size"]);
        region("body size", 4, &["tdx_body_size"]);
    }
    region("TD report", td_len, &["tdx_quote_signature"]);
    region("signature data length", 4, &["tdx_quote_length", "tdx_quote_truncated", "tdx_surplus_bytes"]);
    region("quote signature", 64, &["tdx_quote_signature"]);
    region("attestation key", 64, &["tdx_attestation_key_unbound"]);
    region("certification type", 2, &["tdx_certification_type"]);
    region("certification length", 4, &["tdx_quote_length", "tdx_quote_truncated", "tdx_surplus_bytes"]);
    region("QE report", 384, &["tdx_qe_report_signature"]);
    region("QE report signature", 64, &["tdx_qe_report_signature"]);
    region(
        "authentication data length",
        2,
        &["tdx_quote_length", "tdx_quote_truncated", "tdx_surplus_bytes"],
    );
    region("authentication data", 32, &["tdx_attestation_key_unbound"]);
    region("PCK certification type", 2, &["tdx_pck_chain_missing"]);
    region("PCK chain length", 4, &["tdx_quote_length", "tdx_quote_truncated", "tdx_surplus_bytes"]);
    assert_eq!(
        case.bare_quote().len() - start,
        Quote::parse(&case.quote).unwrap().pck_chain_pem().unwrap().len()
    );
    regions
}

fn flip_everywhere(id: &str, body: usize, td_len: usize) {
    let Some(case) = case(id) else { return };
    let appraisal = case.appraisal();
    let judge = |quote: &[u8]| code(verify(quote, &appraisal.collateral, appraisal.at));
    assert_eq!(judge(case.bare_quote()), "accepted", "control");
    let mut flipped = 0;
    for region in regions(body, td_len, &case) {
        for offset in region.bytes {
            for bit in 0..8 {
                let mut quote = case.bare_quote().to_vec();
                quote[offset] ^= 1 << bit;
                let code = judge(&quote);
                assert!(region.codes.contains(&code), "{}, offset {offset} bit {bit}: {code}", region.what);
                flipped += 1;
            }
        }
    }
    assert!(flipped > 8 * (body + td_len), "{flipped}");
}

#[test]
fn a_flipped_bit_in_a_version_4_quote_is_refused_by_name() {
    flip_everywhere("v4-azure-uptodate", 48, TD_1_0_LEN);
}

#[test]
fn a_flipped_bit_in_a_version_5_quote_is_refused_by_name() {
    flip_everywhere("v5-google-uptodate", 54, TD_1_5_LEN);
}

#[test]
fn a_changed_pck_chain_is_refused_or_means_the_same() {
    // PEM has bytes that mean nothing (line ends, text between certificates): a change there must not
    // change what is verified.
    let Some(case) = case("v4-azure-uptodate") else { return };
    let appraisal = case.appraisal();
    let control = verify(case.bare_quote(), &appraisal.collateral, appraisal.at).unwrap().claims();
    let chain_len = Quote::parse(&case.quote).unwrap().pck_chain_pem().unwrap().len();
    let start = case.bare_quote().len() - chain_len;
    let mut same = 0;
    for offset in start..case.bare_quote().len() {
        let mut quote = case.bare_quote().to_vec();
        quote[offset] ^= 1 << (offset % 7);
        if let Ok(verified) = verify(&quote, &appraisal.collateral, appraisal.at) {
            assert_eq!(verified.claims(), control, "offset {offset}");
            same += 1;
        }
    }
    assert!(same < chain_len / 20, "{same} of {chain_len} bytes of the chain mean nothing");
}

#[test]
fn every_prefix_of_a_quote_is_refused() {
    let Some(case) = case("v5-google-uptodate") else { return };
    let quote = case.bare_quote();
    for len in 0..quote.len() {
        assert!(Quote::parse(&quote[..len]).is_err(), "{len}");
    }
    assert!(Quote::parse(quote).is_ok());
}

/// A change to the collateral.
type Change = fn(&mut TdxCollateral);

/// Flips the lowest bit of the hexadecimal digit at `position`.
fn flip_digit(text: &mut String, position: usize) {
    let digit = text.as_bytes()[position];
    let flipped = char::from_digit(char::from(digit).to_digit(16).unwrap() ^ 1, 16).unwrap();
    text.replace_range(position..=position, &flipped.to_string());
}

/// The same JSON value, written by another program.
fn reserialise(text: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap()
}

#[test]
fn changed_collateral_is_refused_by_name() {
    let rows: &[(&str, Change, &str)] = &[
        ("nothing changed", |_| {}, "accepted"),
        ("root CA CRL absent", |c| c.root_ca_crl.clear(), "tdx_crl_missing"),
        ("PCK CRL absent", |c| c.pck_crl.clear(), "tdx_crl_missing"),
        (
            "root CA CRL's last bit",
            |c| {
                let end = c.root_ca_crl.len() - 1;
                flip_digit(&mut c.root_ca_crl, end)
            },
            "tdx_crl_signature_invalid",
        ),
        (
            "PCK CRL's last bit",
            |c| {
                let end = c.pck_crl.len() - 1;
                flip_digit(&mut c.pck_crl, end)
            },
            "tdx_crl_signature_invalid",
        ),
        ("the root's CRL as PCK CRL", |c| c.pck_crl = c.root_ca_crl.clone(), "tdx_crl_issuer_mismatch"),
        ("the PCK CRL as the root's", |c| c.root_ca_crl = c.pck_crl.clone(), "tdx_crl_issuer_mismatch"),
        (
            "root CA CRL not hexadecimal",
            |c| c.root_ca_crl.replace_range(0..1, "x"),
            "tdx_collateral_encoding",
        ),
        ("PCK CRL cut", |c| c.pck_crl.truncate(100), "tdx_crl_malformed"),
        ("TCB info absent", |c| c.tcb_info.clear(), "tdx_collateral_incomplete"),
        (
            "TCB info signature's last bit",
            |c| flip_digit(&mut c.tcb_info_signature, 127),
            "tdx_tcb_info_signature",
        ),
        ("TCB info signature too long", |c| c.tcb_info_signature.push_str("00"), "tdx_collateral_encoding"),
        ("TCB info re-serialised", |c| c.tcb_info = reserialise(&c.tcb_info), "tdx_tcb_info_signature"),
        ("TCB info with a space more", |c| c.tcb_info.push(' '), "tdx_tcb_info_signature"),
        (
            "TCB info of a better status",
            |c| c.tcb_info = c.tcb_info.replace("OutOfDate", "UpToDate"),
            "tdx_tcb_info_signature",
        ),
        ("QE identity absent", |c| c.qe_identity.clear(), "tdx_collateral_incomplete"),
        (
            "QE identity signature's last bit",
            |c| flip_digit(&mut c.qe_identity_signature, 127),
            "tdx_qe_identity_signature",
        ),
        (
            "QE identity re-serialised",
            |c| c.qe_identity = reserialise(&c.qe_identity),
            "tdx_qe_identity_signature",
        ),
        (
            "documents exchanged",
            |c| std::mem::swap(&mut c.tcb_info, &mut c.qe_identity),
            "tdx_tcb_info_signature",
        ),
        (
            "documents and signatures exchanged",
            |c| {
                std::mem::swap(&mut c.tcb_info, &mut c.qe_identity);
                std::mem::swap(&mut c.tcb_info_signature, &mut c.qe_identity_signature);
            },
            "tdx_tcb_info_json",
        ),
        ("issuer chain absent", |c| c.tcb_info_issuer_chain.clear(), "tdx_collateral_incomplete"),
        ("issuer chain not PEM", |c| c.tcb_info_issuer_chain = "Intel".into(), "tdx_pem_malformed"),
        (
            "a PCK CA as the signer",
            |c| c.tcb_info_issuer_chain = c.pck_crl_issuer_chain.clone(),
            "tdx_tcb_signing_name",
        ),
        (
            "a PCK CA as the QE identity's signer",
            |c| c.qe_identity_issuer_chain = c.pck_crl_issuer_chain.clone(),
            "tdx_tcb_signing_name",
        ),
        ("the PCK CRL's issuer chain is not asked", |c| c.pck_crl_issuer_chain.clear(), "accepted"),
    ];
    let Some(case) = case("v4-azure-uptodate") else { return };
    for (what, change, expected) in rows {
        let mut appraisal = case.appraisal();
        change(&mut appraisal.collateral);
        assert_eq!(code(verify(case.bare_quote(), &appraisal.collateral, appraisal.at)), *expected, "{what}");
    }
}

#[test]
fn collateral_of_another_platform_is_refused() {
    // Both of 2026-03-16, both Intel's; one is for FMSPC 90C06F000000, the other for 50806F000000.
    let (Some(ours), Some(other)) = (case("v4-dstack-eventlog"), case("v4-debug-td")) else { return };
    let (ours_appraisal, mut mixed) = (ours.appraisal(), ours.appraisal());
    mixed.collateral.tcb_info = other.appraisal().collateral.tcb_info;
    mixed.collateral.tcb_info_signature = other.appraisal().collateral.tcb_info_signature;
    let at = ours_appraisal.at;
    assert_eq!(code(verify(ours.bare_quote(), &ours_appraisal.collateral, at)), "accepted", "control");
    assert_eq!(code(verify(ours.bare_quote(), &mixed.collateral, at)), "tdx_fmspc_mismatch");
}

#[test]
fn an_event_log_of_another_boot_is_refused_with_the_quote() {
    let (Some(ours), Some(other)) = (case("v4-gcp-cos113-ccel"), case("v4-live-ccel-pair")) else { return };
    let appraisal = ours.appraisal();
    let judge =
        |log: &[u8]| code(verify_log(ours.bare_quote(), Some(log), &appraisal.collateral, appraisal.at));
    let log = ours.file("ccel_data.bin");
    assert_eq!(judge(&log), "accepted", "control");
    assert_eq!(judge(&other.file("ccel-good.bin")), "tdx_event_log_replay");

    let mut forged = log.clone();
    let at = forged.windows(9).position(|w| w == b"rootwait ").unwrap();
    forged[at] = b'R';
    assert_eq!(judge(&forged), "tdx_event_content");
    assert_eq!(judge(&log[..log.len() / 64]), "tdx_event_log_truncated");
    assert_eq!(judge(b"not a log"), "tdx_event_log_malformed");
}
