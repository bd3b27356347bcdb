//! Real SEV-SNP reports, judged as two independent programs judged them.

mod common;

use common::{SnpCase, fixtures, snp_evidence, snp_file};
use serde_json::Value;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::snp::{Product, Report, VekKind};
use vouchsafe_verifier::{
    Endorsements, Error, RootKind, SnpEndorsements, TrustRoots, UnixSeconds, VerifiedEvidence, verify,
};

fn judge(case: &SnpCase, endorsements: SnpEndorsements, at: UnixSeconds) -> Result<VerifiedEvidence, Error> {
    let endorsements = Endorsements::SevSnp(endorsements);
    verify(&case.evidence(), Some(&endorsements), &TrustRoots::vendor_pinned(), at, &Ring)
}

fn with_vek(vek: &[u8]) -> SnpEndorsements {
    SnpEndorsements { vek: Some(Base64(vek.to_vec())), ..SnpEndorsements::default() }
}

fn code(result: Result<VerifiedEvidence, Error>) -> &'static str {
    result.expect_err("must be rejected").code()
}

#[test]
fn every_report_is_judged_as_expected() {
    let Some(fixtures) = fixtures("snp vectors") else { return };
    let mut valid = 0;
    for case in SnpCase::all(&fixtures) {
        let result = verify(
            &case.evidence(),
            Some(&case.endorsements()),
            &TrustRoots::vendor_pinned(),
            case.at(),
            &Ring,
        );
        match case.expect["verdict"]["cryptographic"].as_str() {
            Some("VALID") => {
                let verified = result.unwrap_or_else(|error| panic!("{}: {error}", case.id));
                assert_eq!(verified.root(), RootKind::Vendor, "{}", case.id);
                let claims = serde_json::to_value(verified.claims()).unwrap();
                assert_eq!(claims["platform"], "sev-snp");
                compare_claims(&case, &claims);
                compare_vek(&case, &claims["vek"]);
                valid += 1;
            }
            Some("CANNOT VERIFY") => {
                assert_eq!(code(result), "snp_vek_missing", "{}", case.id);
                let claims = Report::parse(&case.report).unwrap().claims();
                compare_claims(&case, &serde_json::to_value(claims).unwrap());
            }
            other => panic!("{}: unknown verdict {other:?}", case.id),
        }
    }
    assert_eq!(valid, 11);
}

/// Every fact about the report that `expect.json` states is claimed, with that name and value.
fn compare_claims(case: &SnpCase, claims: &Value) {
    const NOT_OF_THE_REPORT: [&str; 10] = [
        "id",
        "kind",
        "source",
        "sha256",
        "vek",
        "checks",
        "verdict",
        "peer_sev_8_0_0",
        "other_veks",
        "other_files",
    ];
    let expected = case.expect.as_object().unwrap();
    let facts = expected.iter().filter(|(name, _)| !NOT_OF_THE_REPORT.contains(&name.as_str()));
    let mut compared = 0;
    for (name, expected) in facts {
        assert_eq!(&claims[name], expected, "{}: {name}", case.id);
        compared += 1;
    }
    assert!(compared >= 27, "{}: only {compared} facts", case.id);
}

fn compare_vek(case: &SnpCase, claims: &Value) {
    let expected = &case.expect["vek"];
    for name in ["type", "product_name", "struct_version", "tcb", "hwid", "csp_id"] {
        assert_eq!(claims[name], expected[name], "{}: vek.{name}", case.id);
    }
    for name in ["not_before", "not_after"] {
        let expected = expected[name].as_str().unwrap().replace(' ', "T").replace("+00:00", "Z");
        assert_eq!(claims[name], expected, "{}: vek.{name}", case.id);
    }
}

#[test]
fn a_reissued_certificate_for_the_same_key_serves_as_well() {
    let Some(fixtures) = fixtures("reissued VCEK") else { return };
    let case = SnpCase::named(&fixtures, "milan-v3-aci");
    judge(&case, with_vek(&case.file("vek-reissued.der")), case.at()).unwrap();
}

#[test]
fn altered_certificates_are_refused() {
    let Some(fixtures) = fixtures("altered VCEKs") else { return };
    let case = SnpCase::named(&fixtures, "milan-v2-azure");
    for name in ["neg-vek-invalid-legacy.der", "neg-vek-invalid-new.der"] {
        let result = judge(&case, with_vek(&case.file(name)), case.at());
        assert_eq!(code(result), "snp_certificate_signature_invalid", "{name}");
    }
}

#[test]
fn the_chain_may_be_given_or_left_out() {
    let Some(fixtures) = fixtures("given chains") else { return };
    for (id, intermediate, root) in [
        ("milan-v3-aci", "chains/milan-ask.der", "chains/milan-ark.der"),
        ("milan-v3-vlek-aws", "chains/milan-asvk.der", "chains/milan-ark.der"),
        ("genoa-v5-siena", "chains/genoa-ask.der", "chains/genoa-ark.der"),
        ("turin-v5-aci", "chains/turin-ask.der", "chains/turin-ark.der"),
    ] {
        let case = SnpCase::named(&fixtures, id);
        let given = SnpEndorsements {
            intermediate: Some(Base64(snp_file(&fixtures, intermediate))),
            root: Some(Base64(snp_file(&fixtures, root))),
            ..with_vek(case.vek.as_ref().unwrap())
        };
        judge(&case, given, case.at()).unwrap_or_else(|error| panic!("{id}: {error}"));
    }
}

#[test]
fn certificates_of_the_wrong_kind_product_or_chip_are_refused() {
    let Some(fixtures) = fixtures("mixed certificates") else { return };
    let vek_of = |id| SnpCase::named(&fixtures, id).vek.unwrap();
    let file = |name| Some(Base64(snp_file(&fixtures, name)));
    let milan = SnpCase::named(&fixtures, "milan-v3-aci");
    let vlek = SnpCase::named(&fixtures, "milan-v3-vlek-aws");
    let turin = SnpCase::named(&fixtures, "turin-v5-aci");
    let own = |case: &SnpCase| with_vek(case.vek.as_ref().unwrap());
    for (what, case, endorsements, expected) in [
        ("VLEK for a VCEK report", &milan, with_vek(&vek_of("milan-v3-vlek-aws")), "snp_vek_kind_mismatch"),
        ("VCEK for a VLEK report", &vlek, with_vek(&vek_of("milan-v3-aci")), "snp_vek_kind_mismatch"),
        ("Genoa's VCEK", &milan, with_vek(&vek_of("genoa-v3-aci")), "snp_cpuid_product_mismatch"),
        ("Milan's VCEK", &turin, with_vek(&vek_of("milan-v3-aci")), "snp_cpuid_product_mismatch"),
        ("another TCB's VCEK", &milan, with_vek(&vek_of("milan-v5-gcp")), "snp_vek_tcb_mismatch"),
        (
            "VCEK under the ASVK",
            &milan,
            SnpEndorsements { intermediate: file("chains/milan-asvk.der"), ..own(&milan) },
            "snp_vek_issuer_kind",
        ),
        (
            "VLEK under the ASK",
            &vlek,
            SnpEndorsements { intermediate: file("chains/milan-ask.der"), ..own(&vlek) },
            "snp_vek_issuer_kind",
        ),
        (
            "another product's ASK",
            &milan,
            SnpEndorsements { intermediate: file("chains/genoa-ask.der"), ..own(&milan) },
            "snp_certificate_issuer_mismatch",
        ),
        (
            "another product's ARK",
            &milan,
            SnpEndorsements { root: file("chains/genoa-ark.der"), ..own(&milan) },
            "snp_root_not_trusted",
        ),
        (
            "an ASK as the ARK",
            &milan,
            SnpEndorsements { root: file("chains/milan-ask.der"), ..own(&milan) },
            "snp_root_not_trusted",
        ),
        (
            "a VCEK as the ASK",
            &milan,
            SnpEndorsements { intermediate: milan.vek.clone().map(Base64), ..own(&milan) },
            "snp_chain_name_unknown",
        ),
        ("no VEK", &milan, SnpEndorsements::default(), "snp_vek_missing"),
    ] {
        judge(case, own(case), case.at()).unwrap_or_else(|error| panic!("control of {what}: {error}"));
        assert_eq!(code(judge(case, endorsements, case.at())), expected, "{what}");
    }
}

#[test]
fn certificates_have_a_first_and_a_last_second() {
    let Some(fixtures) = fixtures("validity") else { return };
    let vlek = SnpCase::named(&fixtures, "milan-v3-vlek-aws");
    let own = || with_vek(vlek.vek.as_ref().unwrap());
    let at = |text| UnixSeconds::from_rfc3339(text).unwrap();
    for (moment, expected) in [
        ("2024-12-10T22:14:20Z", Some("snp_certificate_not_yet_valid")),
        ("2024-12-10T22:14:21Z", None),
        ("2025-12-10T22:14:21Z", None),
        ("2025-12-10T22:14:22Z", Some("snp_certificate_expired")),
        ("2026-01-01T00:00:00Z", Some("snp_certificate_expired")),
    ] {
        let result = judge(&vlek, own(), at(moment));
        assert_eq!(result.err().map(|error| error.code()), expected, "{moment}");
    }
}

#[test]
fn amd_revocation_lists_in_and_out_of_their_windows() {
    let Some(fixtures) = fixtures("CRLs") else { return };
    let milan = SnpCase::named(&fixtures, "milan-v3-vlek-aws");
    let genoa = SnpCase::named(&fixtures, "genoa-v5-siena");
    let at = |text| UnixSeconds::from_rfc3339(text).unwrap();
    let with_crl = |case: &SnpCase, crl: Vec<u8>| SnpEndorsements {
        crl: Some(Base64(crl)),
        ..with_vek(case.vek.as_ref().unwrap())
    };
    let milan_crl = || snp_file(&fixtures, "crl/milan-crl6.der");
    // Lists the retired Genoa ASK 0x20001; the one in use, 0x20002, must pass.
    let genoa_crl = || snp_file(&fixtures, "crl/genoa-crl9.der");
    let mut broken = milan_crl();
    *broken.last_mut().unwrap() ^= 1;
    let mut longer = milan_crl();
    longer.push(0);
    for (what, case, crl, moment, expected) in [
        ("first second", &milan, milan_crl(), "2025-05-06T12:39:06Z", None),
        ("before", &milan, milan_crl(), "2025-05-06T12:39:05Z", Some("snp_crl_future")),
        ("current", &genoa, genoa_crl(), "2026-08-01T00:00:00Z", None),
        ("last second", &genoa, genoa_crl(), "2026-09-09T00:00:00Z", None),
        ("after", &genoa, genoa_crl(), "2026-09-09T00:00:01Z", Some("snp_crl_stale")),
        ("another ARK's", &milan, genoa_crl(), "2025-06-01T00:00:00Z", Some("snp_crl_issuer_mismatch")),
        ("badly signed", &milan, broken, "2025-06-01T00:00:00Z", Some("snp_crl_signature_invalid")),
        ("with a byte after it", &milan, longer, "2025-06-01T00:00:00Z", Some("snp_crl_malformed")),
        ("empty", &milan, vec![], "2025-06-01T00:00:00Z", Some("snp_crl_malformed")),
    ] {
        match (judge(case, with_crl(case, crl), at(moment)), expected) {
            (Ok(verified), None) => {
                let snp = verified.snp().unwrap();
                assert!(snp.crl_checked(), "{what}");
                assert!(snp.crl().unwrap().number().is_some(), "{what}");
            }
            (result, Some(expected)) => assert_eq!(code(result), expected, "{what}"),
            (Err(error), None) => panic!("{what}: {error}"),
        }
    }
    let without = judge(&milan, with_vek(milan.vek.as_ref().unwrap()), milan.at()).unwrap();
    assert!(!without.snp().unwrap().crl_checked());
}

#[test]
fn roots_are_believed_only_where_the_caller_says_so() {
    let Some(fixtures) = fixtures("roots") else { return };
    let case = SnpCase::named(&fixtures, "turin-v5-aci");
    let judge =
        |roots: &TrustRoots| verify(&case.evidence(), Some(&case.endorsements()), roots, case.at(), &Ring);
    assert_eq!(code(judge(&TrustRoots::none())), "snp_root_not_trusted");
    let milan_only =
        TrustRoots::none().with_test_amd_root(&snp_file(&fixtures, "chains/milan-ark.der")).unwrap();
    assert_eq!(code(judge(&milan_only)), "snp_root_not_trusted");
    // AMD's own ARK, added as a test root, makes test evidence: what a caller adds is never the vendor's.
    let ark = snp_file(&fixtures, "chains/turin-ark.der");
    let as_test = TrustRoots::none().with_test_amd_root(&ark).unwrap();
    assert!(matches!(judge(&as_test).unwrap().root(), RootKind::Test { .. }));
    // Beside the pinned one it changes nothing.
    let both = TrustRoots::vendor_pinned().with_test_amd_root(&ark).unwrap();
    assert_eq!(judge(&both).unwrap().root(), RootKind::Vendor);

    for not_a_root in ["chains/turin-ask.der", "turin-v5-aci/vek.der", "turin-v5-aci/report.bin"] {
        TrustRoots::none().with_test_amd_root(&snp_file(&fixtures, not_a_root)).unwrap_err();
    }
}

#[test]
fn accessors_tell_what_policy_needs() {
    let Some(fixtures) = fixtures("accessors") else { return };
    let verified = |id| {
        let case = SnpCase::named(&fixtures, id);
        judge(&case, with_vek(case.vek.as_ref().unwrap()), case.at()).unwrap()
    };
    let dstack = verified("milan-v3-dstack");
    let dstack = dstack.snp().unwrap();
    assert_eq!((dstack.reported_tcb().snp, dstack.committed_tcb().snp), (0x17, 0x18));
    assert_eq!(dstack.product(), Product::Milan);
    assert!(dstack.report().platform_info().alias_check_complete());
    assert!(dstack.report().id_key_digest().is_none());

    let debug = verified("milan-v2-debug");
    let debug = debug.snp().unwrap().report();
    assert!(debug.policy().debug_allowed());
    assert!(!debug.platform_info().alias_check_complete());
    assert_eq!(debug.cpuid(), None);

    let vlek = verified("milan-v3-vlek-aws");
    let vlek = vlek.snp().unwrap();
    assert_eq!((vlek.vek_kind(), vlek.report().vmpl()), (VekKind::Vlek, 1));
    assert!(vlek.report().chip_id().is_none());

    let turin = verified("turin-v5-aci");
    let turin = turin.snp().unwrap();
    assert_eq!(turin.reported_tcb().fmc, Some(1));
    assert_eq!(turin.report().launch_mitigations(), Some(0x3f));
    assert!(turin.report().id_key_digest().is_some());
    assert!(turin.report().author_key_digest().is_none());
}

#[test]
fn an_early_turin_certificate_parses() {
    let Some(fixtures) = fixtures("early Turin VCEK") else { return };
    let turin = SnpCase::named(&fixtures, "turin-v5-aci");
    let vek = snp_file(&fixtures, "certs/turin-vcek-virtee.der");
    let at = UnixSeconds::from_rfc3339("2026-02-06T00:00:00Z").unwrap();
    // Chain and shape pass: what is refused is that it is another TCB's.
    assert_eq!(code(judge(&turin, with_vek(&vek), at)), "snp_vek_tcb_mismatch");
}

#[test]
fn endorsements_of_the_other_vendor_are_refused() {
    let Some(fixtures) = fixtures("vendors") else { return };
    let case = SnpCase::named(&fixtures, "turin-v5-aci");
    let quote = vouchsafe_verifier::Evidence::Tdx { quote: Base64(vec![]), event_log: None };
    let roots = TrustRoots::vendor_pinned();
    let result = verify(&quote, Some(&case.endorsements()), &roots, case.at(), &Ring);
    assert_eq!(code(result), "endorsements_platform_mismatch");
    assert_eq!(code(verify(&snp_evidence(&case.report), None, &roots, case.at(), &Ring)), "snp_vek_missing");
}
