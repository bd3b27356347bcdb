//! What AMD's own certificates, lists and processors say, written by the simulator: same bytes.

use std::fs;
use std::path::Path;

use der::Decode;
use serde_json::Value;
use vouchsafe_simulator::amd::{
    CpuId, FirmwareVersion, Product, ReportFields, SIGNED_BYTES, Tcb, certificate,
};
use vouchsafe_simulator::x509::{PssParameters, Revoked, SignatureAlgorithm};
use vouchsafe_verifier::UnixSeconds;
use x509_cert::crl::CertificateList;

use crate::certificates::{amd_key_id, assert_same, seconds, spki, validity};
use crate::common::{array, text, unhex};

#[test]
fn ca_certificates_have_amds_bytes() {
    let Some(snp) = crate::common::vectors("snp/chains") else { return };
    for product in Product::ALL {
        let read = |kind: &str| {
            let name = format!("{}-{kind}.der", product.name().to_lowercase());
            fs::read(snp.join(name)).unwrap()
        };
        let ark_key_id = amd_key_id(&read("ark"));
        for kind in ["ark", "ask", "asvk"] {
            let real = read(kind);
            let (validity, spki) = (validity(&real), spki(&real));
            let own = amd_key_id(&real);
            let spec = match kind {
                "ark" => certificate::ark(product, validity, &spki, &own),
                "ask" => certificate::ask(product, validity, &spki, &own, &ark_key_id),
                _ => certificate::asvk(product, validity, &spki, &own, &ark_key_id),
            };
            assert_same(&spec, &real, ("kdsintf.amd.com", "kds.sim.invalid"), &format!("{product:?} {kind}"));
        }
    }
}

#[test]
fn chip_certificates_have_amds_bytes() {
    let Some(snp) = crate::common::vectors("snp") else { return };
    let mut seen = 0;
    for (name, expect) in cases(&snp) {
        let Some(vek) = expect.get("vek") else { continue };
        let real = fs::read(snp.join(&name).join("vek.der")).unwrap();
        let product = Product::from_name(text(&expect["product"])).unwrap();
        let part = |key: &str| vek["tcb"][key].as_u64().unwrap_or(0) as u8;
        let tcb = Tcb {
            fmc: part("fmc"),
            boot_loader: part("bl"),
            tee: part("tee"),
            snp: part("snp"),
            microcode: part("ucode"),
        };
        let (validity, spki) = (validity(&real), spki(&real));
        let mut spec = match vek["csp_id"].as_str() {
            None => certificate::vcek(product, tcb, &unhex(&vek["hwid"]), validity, &spki),
            Some(csp_id) => certificate::vlek(product, tcb, csp_id, validity, &spki),
        };
        // AMD's change of encoding: see the vectors' README, "Parser trap".
        if validity.not_before < UnixSeconds::from_rfc3339("2024-01-01T00:00:00Z").unwrap() {
            spec.algorithm = SignatureAlgorithm::RsaPss(PssParameters::AMD_EXPLICIT_TRAILER);
        }
        assert_same(&spec, &real, ("kdsintf.amd.com", "kds.sim.invalid"), &name);
        seen += 1;
    }
    assert!(seen >= 11, "only {seen} certificates");
}

#[test]
fn revocation_lists_have_amds_bytes() {
    let Some(snp) = crate::common::vectors("snp") else { return };
    let genoa_ask = Revoked {
        serial: vec![2, 0, 1],
        at: UnixSeconds::from_rfc3339("2022-10-31T12:00:00Z").unwrap(),
        extensions: Vec::new(),
    };
    for (file, product, number, revoked) in [
        ("milan-crl6.der", Product::Milan, 6, vec![]),
        ("genoa-crl9.der", Product::Genoa, 9, vec![genoa_ask]),
    ] {
        let real = fs::read(snp.join("crl").join(file)).unwrap();
        let parsed = CertificateList::from_der(&real).unwrap();
        let ark = format!("chains/{}-ark.der", product.name().to_lowercase());
        let ark_key_id = amd_key_id(&fs::read(snp.join(ark)).unwrap());
        let next = seconds(parsed.tbs_cert_list.next_update.unwrap());
        let this = seconds(parsed.tbs_cert_list.this_update);
        let mut spec = certificate::crl(product, number, this, next, &ark_key_id);
        spec.revoked = revoked;
        let signature = parsed.signature.as_bytes().unwrap();
        assert_eq!(spec.with_signature(signature).unwrap(), real, "{file}");
    }
}

#[test]
fn reports_have_the_processors_bytes() {
    let Some(snp) = crate::common::vectors("snp") else { return };
    let mut versions = std::collections::BTreeSet::new();
    for (name, expect) in cases(&snp) {
        let real = fs::read(snp.join(&name).join("report.bin")).unwrap();
        let fields = fields(&expect);
        versions.insert(fields.version);
        assert_eq!(fields.to_bytes()[..], real[..SIGNED_BYTES], "{name}");

        // Any key will do to compare how a signature is laid out: all but R and S.
        let authority = crate::common::authority(Product::Genoa);
        let key = authority.vcek_key(&fields.chip_id, Product::Genoa.typical_tcb());
        let mut minted = key.sign_report(&fields.to_bytes());
        for r_or_s in [0x2a0..0x2d0, 0x2e8..0x318] {
            assert_ne!(minted[r_or_s.clone()], real[r_or_s.clone()], "{name}");
            minted[r_or_s.clone()].copy_from_slice(&real[r_or_s]);
        }
        assert_eq!(minted[..], real[..], "{name}");
    }
    assert_eq!(versions, [2, 3, 4, 5].into());
}

fn fields(expect: &Value) -> ReportFields {
    let number = |key: &str| match &expect[key] {
        Value::String(hex) => u64::from_str_radix(hex.strip_prefix("0x").unwrap(), 16).unwrap(),
        Value::Null => 0,
        number => number.as_u64().unwrap(),
    };
    let tcb = |key: &str| array(&expect[key]["raw"]);
    let cpu = |key: &str| expect["cpuid_fms"][key].as_u64().unwrap_or(0) as u8;
    let firmware = |key: &str| {
        let parts: Vec<u8> = text(&expect[key]).split('.').map(|n| n.parse().unwrap()).collect();
        FirmwareVersion { build: parts[2], minor: parts[1], major: parts[0] }
    };
    let key = &expect["key_info"];
    let signing_key = u32::from(key["signing_key"] == "VLEK") << 2;
    let bit = |name: &str| key[name].as_u64().unwrap() as u32;
    ReportFields {
        version: number("version") as u32,
        guest_svn: number("guest_svn") as u32,
        policy: number("policy"),
        family_id: array(&expect["family_id"]),
        image_id: array(&expect["image_id"]),
        vmpl: number("vmpl") as u32,
        signature_algo: number("signature_algo") as u32,
        current_tcb: tcb("current_tcb"),
        platform_info: number("platform_info"),
        key_info: bit("author_key_en") | bit("mask_chip_key") << 1 | signing_key,
        report_data: array(&expect["report_data"]),
        measurement: array(&expect["measurement"]),
        host_data: array(&expect["host_data"]),
        id_key_digest: array(&expect["id_key_digest"]),
        author_key_digest: array(&expect["author_key_digest"]),
        report_id: array(&expect["report_id"]),
        report_id_ma: array(&expect["report_id_ma"]),
        reported_tcb: tcb("reported_tcb"),
        cpu_id: CpuId { family: cpu("family"), model: cpu("model"), stepping: cpu("stepping") },
        chip_id: array(&expect["chip_id"]),
        committed_tcb: tcb("committed_tcb"),
        current_firmware: firmware("current_fw"),
        committed_firmware: firmware("committed_fw"),
        launch_tcb: tcb("launch_tcb"),
        launch_mitigations: number("launch_mit_vector"),
        current_mitigations: number("current_mit_vector"),
    }
}

fn cases(snp: &Path) -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(snp).unwrap() {
        let entry = entry.unwrap();
        if let Ok(expect) = fs::read(entry.path().join("expect.json")) {
            let name = entry.file_name().into_string().unwrap();
            cases.push((name, serde_json::from_slice(&expect).unwrap()));
        }
    }
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    cases
}
