//! Every byte of a real report counts: changing any of them is refused, and by the clause that the
//! byte belongs to.

mod common;

use common::{SnpCase, fixtures, snp_evidence};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{TrustRoots, verify};

/// One stretch of the report, and what a change in it may be refused for.
struct Region {
    from: usize,
    until: usize,
    field: &'static str,
    codes: &'static [&'static str],
}

const SIGNATURE: &str = "snp_report_signature_invalid";

/// The whole report, in order (AMD 56860, table "ATTESTATION_REPORT Structure"). Where a field has
/// rules of its own, breaking them is named first; else the signature speaks.
const REGIONS: &[Region] = &[
    // Another known version moves fields into reserved bytes or out of them.
    region(
        0x000,
        0x004,
        "VERSION",
        &["snp_report_version", "snp_report_reserved", "snp_cpuid_product_mismatch", SIGNATURE],
    ),
    region(0x004, 0x008, "GUEST_SVN", &[SIGNATURE]),
    region(0x008, 0x00a, "POLICY, ABI version", &[SIGNATURE]),
    region(0x00a, 0x00b, "POLICY, bits 16 to 23", &["snp_guest_policy_bit17", SIGNATURE]),
    region(0x00b, 0x00c, "POLICY, bits 24 to 31", &["snp_guest_policy_reserved", SIGNATURE]),
    region(0x00c, 0x010, "POLICY, reserved", &["snp_guest_policy_reserved"]),
    region(0x010, 0x020, "FAMILY_ID", &[SIGNATURE]),
    region(0x020, 0x030, "IMAGE_ID", &[SIGNATURE]),
    region(0x030, 0x034, "VMPL", &["snp_vmpl_not_guest", SIGNATURE]),
    region(0x034, 0x038, "SIGNATURE_ALGO", &["snp_signature_algorithm"]),
    region(0x038, 0x040, "CURRENT_TCB", &["snp_tcb_reserved", SIGNATURE]),
    region(0x040, 0x048, "PLATFORM_INFO", &[SIGNATURE]),
    region(
        0x048,
        0x04c,
        "KEY_INFO",
        &[
            "snp_key_info_reserved",
            "snp_signing_key_unknown",
            "snp_vek_kind_mismatch",
            "snp_chip_key_masked",
            SIGNATURE,
        ],
    ),
    region(0x04c, 0x050, "reserved", &["snp_report_reserved"]),
    region(0x050, 0x090, "REPORT_DATA", &[SIGNATURE]),
    region(0x090, 0x0c0, "MEASUREMENT", &[SIGNATURE]),
    region(0x0c0, 0x0e0, "HOST_DATA", &[SIGNATURE]),
    region(0x0e0, 0x110, "ID_KEY_DIGEST", &[SIGNATURE]),
    region(0x110, 0x140, "AUTHOR_KEY_DIGEST", &[SIGNATURE]),
    region(0x140, 0x160, "REPORT_ID", &[SIGNATURE]),
    region(0x160, 0x180, "REPORT_ID_MA", &[SIGNATURE]),
    region(
        0x180,
        0x188,
        "REPORTED_TCB",
        &["snp_tcb_reserved", "snp_vek_tcb_mismatch", "snp_vek_tcb_is_current"],
    ),
    // Zero before version 3. Some changed models and every stepping are of the same product.
    region(0x188, 0x18b, "CPUID", &["snp_report_reserved", "snp_cpuid_product_mismatch", SIGNATURE]),
    region(0x18b, 0x1a0, "reserved", &["snp_report_reserved"]),
    region(0x1a0, 0x1e0, "CHIP_ID", &["snp_hwid_mismatch", "snp_chip_id_tail", SIGNATURE]),
    region(0x1e0, 0x1e8, "COMMITTED_TCB", &["snp_tcb_reserved", SIGNATURE]),
    region(0x1e8, 0x1eb, "CURRENT firmware", &[SIGNATURE]),
    region(0x1eb, 0x1ec, "reserved", &["snp_report_reserved"]),
    region(0x1ec, 0x1ef, "COMMITTED firmware", &[SIGNATURE]),
    region(0x1ef, 0x1f0, "reserved", &["snp_report_reserved"]),
    region(0x1f0, 0x1f8, "LAUNCH_TCB", &["snp_tcb_reserved", SIGNATURE]),
    // Reserved before version 5.
    region(0x1f8, 0x208, "mitigation vectors", &["snp_report_reserved", SIGNATURE]),
    region(0x208, 0x2a0, "reserved", &["snp_report_reserved"]),
    region(0x2a0, 0x2d0, "R", &["snp_signature_range", SIGNATURE]),
    region(0x2d0, 0x2e8, "R above its 48 bytes", &["snp_signature_high_bytes"]),
    region(0x2e8, 0x318, "S", &["snp_signature_range", SIGNATURE]),
    region(0x318, 0x330, "S above its 48 bytes", &["snp_signature_high_bytes"]),
    region(0x330, 0x4a0, "signature padding", &["snp_signature_padding"]),
];

const fn region(from: usize, until: usize, field: &'static str, codes: &'static [&'static str]) -> Region {
    Region { from, until, field, codes }
}

#[test]
fn the_regions_cover_the_report() {
    let mut next = 0;
    for region in REGIONS {
        assert_eq!(region.from, next, "{}", region.field);
        assert!(region.until > region.from, "{}", region.field);
        next = region.until;
    }
    assert_eq!(next, 1184);
}

/// One bit per byte, in every real report; all eight bits in one of them.
#[test]
fn no_bit_of_a_report_can_change() {
    let Some(fixtures) = fixtures("mutated reports") else { return };
    const ALL_BITS: &str = "turin-v5-aci";
    let roots = TrustRoots::vendor_pinned();
    let mut judged = 0;
    for case in SnpCase::all(&fixtures) {
        if case.vek.is_none() {
            continue;
        }
        let (endorsements, at) = (case.endorsements(), case.at());
        let judge = |report: &[u8]| verify(&snp_evidence(report), Some(&endorsements), &roots, at, &Ring);
        judge(&case.report).unwrap_or_else(|error| panic!("{}: {error}", case.id));
        for region in REGIONS {
            for offset in region.from..region.until {
                let all_bits = case.id == ALL_BITS;
                for bit in (0..8).filter(|bit| all_bits || offset % 8 == *bit) {
                    let mut report = case.report.clone();
                    report[offset] ^= 1 << bit;
                    let what = format!("{} {} ({offset:#05x} bit {bit})", case.id, region.field);
                    match judge(&report) {
                        Ok(_) => panic!("{what}: accepted"),
                        Err(error) => {
                            assert!(
                                region.codes.contains(&error.code()),
                                "{what}: {} ({error})",
                                error.code()
                            );
                        }
                    }
                    judged += 1;
                }
            }
        }
    }
    assert_eq!(judged, 1184 * 8 + 10 * 1184);
}

/// Every bit of a VEK certificate is signed or signs.
#[test]
fn no_bit_of_a_vek_certificate_can_change() {
    let Some(fixtures) = fixtures("mutated VEK certificates") else { return };
    let roots = TrustRoots::vendor_pinned();
    for id in ["milan-v2-debug", "milan-v3-vlek-aws", "turin-v5-aci"] {
        let mut case = SnpCase::named(&fixtures, id);
        let vek = case.vek.clone().unwrap();
        for offset in 0..vek.len() {
            let mut altered = vek.clone();
            altered[offset] ^= 1 << (offset % 8);
            case.vek = Some(altered);
            let result = verify(&case.evidence(), Some(&case.endorsements()), &roots, case.at(), &Ring);
            let code = result.expect_err("accepted").code();
            let clause =
                ["snp_certificate_", "snp_vek_", "snp_hwid_"].iter().any(|part| code.starts_with(part));
            assert!(clause, "{id} offset {offset}: {code}");
        }
    }
}
