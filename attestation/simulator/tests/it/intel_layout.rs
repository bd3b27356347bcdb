//! What Intel's own certificates, lists and documents say, and what real platforms quote, written by
//! the simulator: same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use const_oid::ObjectIdentifier;
use der::Decode;
use serde_json::Value;
use vouchsafe_simulator::intel::{
    EventLog, IntelIssuer, LoggedEvent, PckCa, PckFacts, PlatformFacts, QeIdentity, QeReport, QuoteHeader,
    QuoteParts, TcbInfo, Td15Fields, TdBody, certificate, event_type, oid,
};
use vouchsafe_simulator::x509::standard;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;

use crate::certificates::{assert_same, intel_key_id, seconds, spki, validity};
use crate::common::{array, text, unhex};

/// The distribution points' host, Intel's and ours.
const HOSTS: (&str, &str) = ("services.intel.com", "services.s.invalid");

#[test]
fn ca_certificates_have_intels_bytes() {
    let mut seen = BTreeSet::new();
    for collateral in collaterals() {
        for chain in ["pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain"] {
            let chain = unpem(text(&collateral[chain]));
            let [certificate, root] = chain.as_slice() else { panic!("{} certificates", chain.len()) };
            let issuer = if chain[0] == unpem(text(&collateral["pck_crl_issuer_chain"]))[0] {
                IntelIssuer::PckCa(PckCa::Platform)
            } else {
                IntelIssuer::TcbSigning
            };
            for (subject, real) in [(issuer, certificate), (IntelIssuer::Root, root)] {
                let spec = certificate::ca(
                    subject,
                    validity(real),
                    &spki(real),
                    &intel_key_id(real),
                    &intel_key_id(root),
                );
                assert_same(&spec, real, HOSTS, &format!("{subject:?}"));
                seen.insert(format!("{subject:?}"));
            }
        }
    }
    // No certificate of the Processor CA is among the vectors: TDX platforms are the Platform CA's.
    let all = ["PckCa(Platform)", "Root", "TcbSigning"].map(str::to_owned).into();
    assert!(seen.is_empty() || seen == all, "{seen:?}");
}

#[test]
fn platform_certificates_have_intels_bytes() {
    for (name, expect, quote) in quotes() {
        let chain = unpem(&String::from_utf8_lossy(&pem_part(&quote)));
        let (real, ca) = (&chain[0], &chain[1]);
        let facts = facts(real);
        let pck = &expect["pck"];
        assert_eq!(facts.ppid, array(&pck["ppid"]), "{name}");
        assert_eq!(u64::from(facts.pcesvn), pck["pcesvn"].as_u64().unwrap(), "{name}");
        let components: Vec<u64> =
            pck["cpusvn_components"].as_array().unwrap().iter().map(|svn| svn.as_u64().unwrap()).collect();
        assert!(facts.components.iter().map(|&svn| u64::from(svn)).eq(components), "{name}");

        let parsed = Certificate::from_der(real).unwrap().tbs_certificate;
        let serial = parsed.serial_number.as_bytes();
        let mut spec = certificate::pck(
            PckCa::Platform,
            &facts,
            serial,
            validity(real),
            &spki(real),
            &intel_key_id(real),
            &intel_key_id(ca),
        );
        // Issued before version 4 of Intel's service.
        if name == "v4-debug-td" {
            let points = spec.extension_mut(standard::CRL_DISTRIBUTION_POINTS).unwrap();
            *points = standard::crl_distribution_point(
                "https://api.trustedservices.s.invalid/sgx/certification/v3/pckcrl?ca=platform&encoding=der",
            );
        }
        assert_same(&spec, real, HOSTS, &name);
    }
}

#[test]
fn revocation_lists_have_intels_bytes() {
    let mut revoked = 0;
    for collateral in collaterals() {
        let chain = unpem(text(&collateral["pck_crl_issuer_chain"]));
        for (field, issuer, certificate) in [
            ("root_ca_crl", IntelIssuer::Root, &chain[1]),
            ("pck_crl", IntelIssuer::PckCa(PckCa::Platform), &chain[0]),
        ] {
            let real = unhex(&collateral[field]);
            let parsed = CertificateList::from_der(&real).unwrap();
            let list = parsed.tbs_cert_list;
            let (this, next) = (seconds(list.this_update), seconds(list.next_update.unwrap()));
            let mut spec = certificate::crl(issuer, this, next, &intel_key_id(certificate));
            for entry in list.revoked_certificates.unwrap_or_default() {
                let at = seconds(entry.revocation_date);
                spec.revoked.push(certificate::revoked(entry.serial_number.as_bytes(), at));
                revoked += 1;
            }
            let minted = spec.with_signature(parsed.signature.as_bytes().unwrap()).unwrap();
            assert!(minted == real, "{field}:\n{minted:02x?}\n{real:02x?}");
        }
    }
    assert!(revoked > 0 || collaterals().is_empty());
}

#[test]
fn documents_have_intels_text() {
    for collateral in collaterals() {
        let tcb_info: TcbInfo = serde_json::from_str(text(&collateral["tcb_info"])).unwrap();
        assert_eq!(tcb_info.to_json(), text(&collateral["tcb_info"]));
        let qe_identity: QeIdentity = serde_json::from_str(text(&collateral["qe_identity"])).unwrap();
        assert_eq!(qe_identity.to_json(), text(&collateral["qe_identity"]));
    }
}

#[test]
fn quotes_have_the_platforms_bytes() {
    let mut kinds = BTreeSet::new();
    for (name, expect, quote) in quotes() {
        let (header, body) = (header(&expect), body(&expect));
        kinds.insert((header.version, body.td15.is_some()));
        // Where things are depends on nothing but the body's length.
        let signed_bytes = if header.version == 5 { 54 } else { 48 } + body.to_bytes().len();
        let signature = &quote[signed_bytes + 4..];
        let certification = &signature[134..];
        let qe_report = qe_report(&expect, certification);
        let auth_data = unhex(&expect["qe_report"]["auth_data"]);
        let pem = pem_part(&quote);
        let chain = String::from_utf8(pem.clone()).unwrap();
        let attestation_key = signature[64..128].try_into().unwrap();
        let mut parts = QuoteParts::unsigned(
            &header,
            &body,
            &qe_report,
            attestation_key,
            auth_data,
            chain.trim_end_matches('\0'),
        );
        // Older quoting libraries leave the final NUL out.
        parts.inner_certification = pem;
        parts.signature = signature[..64].try_into().unwrap();
        parts.qe_report_signature = certification[384..448].try_into().unwrap();
        let length = expect["quote_len"].as_u64().unwrap() as usize;
        parts.trailing = quote[length..].to_vec();
        let minted = parts.to_bytes();
        assert!(minted == quote, "{name}:\n{minted:02x?}\n{quote:02x?}");
    }
    assert!(kinds.is_empty() || kinds == [(4, false), (5, true)].into(), "{kinds:?}");
}

#[test]
fn event_logs_have_the_firmwares_bytes() {
    let Some(tdx) = crate::common::vectors("tdx") else { return };
    for (case, file) in [
        ("v4-gcp-cos113-ccel", "ccel_data.bin"),
        ("v4-live-ccel-pair", "ccel-good.bin"),
        ("v4-live-ccel-pair", "neg-ccel-stale.bin"),
    ] {
        let real = fs::read(tdx.join(case).join(file)).unwrap();
        let log = read_ccel(&real);
        assert!(log.to_ccel() == real, "{case}/{file}");
        let expect: Value =
            serde_json::from_slice(&fs::read(tdx.join(case).join("expect.json")).unwrap()).unwrap();
        let quoted = body(&expect).rtmrs;
        assert_eq!(log.rtmrs() == quoted, file != "neg-ccel-stale.bin", "{case}/{file}");
    }

    let case = tdx.join("v4-dstack-eventlog");
    let real = fs::read_to_string(case.join("eventlog.json")).unwrap();
    let events: Vec<Value> = serde_json::from_str(&real).unwrap();
    let mut log = EventLog::default();
    for event in &events {
        let rtmr = event["imr"].as_u64().unwrap() as u32;
        let kind = event["event_type"].as_u64().unwrap() as u32;
        let content = unhex(&event["event_payload"]);
        if kind == event_type::DSTACK_RUNTIME {
            log.measure_dstack(text(&event["event"]), &content);
        } else {
            log.measure_digest(rtmr, kind, array(&event["digest"]), &content);
            log.events.last_mut().unwrap().name = text(&event["event"]).to_owned();
        }
    }
    assert_eq!(log.to_json(), real.trim_end());
    let expect = serde_json::from_slice(&fs::read(case.join("expect.json")).unwrap()).unwrap();
    assert_eq!(log.rtmrs(), body(&expect).rtmrs);
}

fn header(expect: &Value) -> QuoteHeader {
    let tee_type = text(&expect["tee_type"]).strip_prefix("0x").unwrap();
    QuoteHeader {
        version: expect["version"].as_u64().unwrap() as u16,
        attestation_key_type: expect["att_key_type"].as_u64().unwrap() as u16,
        tee_type: u32::from_str_radix(tee_type, 16).unwrap(),
        reserved: [0; 4],
        qe_vendor_id: array(&expect["qe_vendor"]),
        user_data: array(&expect["user_data"]),
    }
}

fn body(expect: &Value) -> TdBody {
    let td15 = expect
        .get("tee_tcb_svn2")
        .map(|svn| Td15Fields { tee_tcb_svn2: array(svn), mr_service_td: array(&expect["mrservicetd"]) });
    TdBody {
        tee_tcb_svn: array(&expect["tee_tcb_svn"]),
        mr_seam: array(&expect["mrseam"]),
        mr_signer_seam: array(&expect["mrsignerseam"]),
        seam_attributes: array(&expect["seamattributes"]),
        td_attributes: array(&expect["td_attributes"]),
        xfam: array(&expect["xfam"]),
        mr_td: array(&expect["mrtd"]),
        mr_config_id: array(&expect["mrconfigid"]),
        mr_owner: array(&expect["mrowner"]),
        mr_owner_config: array(&expect["mrownerconfig"]),
        rtmrs: ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].map(|rtmr| array(&expect[rtmr])),
        report_data: array(&expect["report_data"]),
        td15,
    }
}

/// What `expect.json` does not tell of a QE report is taken from the report itself.
fn qe_report(expect: &Value, real: &[u8]) -> QeReport {
    let qe = &expect["qe_report"];
    QeReport {
        cpu_svn: real[..16].try_into().unwrap(),
        misc_select: real[16..20].try_into().unwrap(),
        attributes: array(&qe["attributes"]),
        mr_enclave: real[64..96].try_into().unwrap(),
        mr_signer: array(&qe["mrsigner"]),
        isv_prod_id: qe["isvprodid"].as_u64().unwrap() as u16,
        isv_svn: qe["isvsvn"].as_u64().unwrap() as u16,
        report_data: real[320..384].try_into().unwrap(),
    }
}

fn facts(pck: &[u8]) -> PckFacts {
    let number = |oid| value_of(pck, oid).iter().fold(0u16, |number, &byte| number << 8 | u16::from(byte));
    let fixed = |oid| value_of(pck, oid).try_into().unwrap();
    let flag = |oid| value_of(pck, oid) == [0xff];
    PckFacts {
        ppid: fixed(oid::PPID),
        components: core::array::from_fn(|index| number(oid::component(index as u8 + 1)) as u8),
        pcesvn: number(oid::PCESVN),
        cpu_svn: fixed(oid::CPUSVN),
        pce_id: value_of(pck, oid::PCE_ID).try_into().unwrap(),
        fmspc: value_of(pck, oid::FMSPC).try_into().unwrap(),
        sgx_type: number(oid::SGX_TYPE) as u8,
        platform: Some(PlatformFacts {
            instance_id: fixed(oid::PLATFORM_INSTANCE_ID),
            dynamic_platform: flag(oid::DYNAMIC_PLATFORM),
            cached_keys: flag(oid::CACHED_KEYS),
            smt_enabled: flag(oid::SMT_ENABLED),
        }),
    }
}

/// The content of the short element that follows an object identifier.
fn value_of(der: &[u8], oid: ObjectIdentifier) -> Vec<u8> {
    let oid = vouchsafe_simulator::der::oid(oid);
    let at = der.windows(oid.len()).position(|window| window == oid).unwrap() + oid.len();
    der[at + 2..at + 2 + usize::from(der[at + 1])].to_vec()
}

/// Reads a CCEL area of one algorithm.
fn read_ccel(area: &[u8]) -> EventLog {
    let number = |at: usize| u32::from_le_bytes(area[at..at + 4].try_into().unwrap());
    let mut log = EventLog { events: Vec::new(), area_bytes: area.len() };
    let mut at = 32 + number(28) as usize;
    while at < area.len() && number(at) != u32::MAX {
        let length = number(at + 62) as usize;
        log.events.push(LoggedEvent {
            rtmr: number(at) - 1,
            event_type: number(at + 4),
            digest: area[at + 14..at + 62].try_into().unwrap(),
            name: String::new(),
            content: area[at + 66..at + 66 + length].to_vec(),
        });
        at += 66 + length;
    }
    log
}

fn pem_part(quote: &[u8]) -> Vec<u8> {
    let find = |needle: &[u8], from: usize| {
        quote[from..].windows(needle.len()).position(|window| window == needle).unwrap() + from
    };
    let begin = find(b"-----BEGIN", 0);
    let size = u32::from_le_bytes(quote[begin - 4..begin].try_into().unwrap()) as usize;
    quote[begin..begin + size].to_vec()
}

fn unpem(chain: &str) -> Vec<Vec<u8>> {
    let chain = chain.trim_end_matches('\0');
    let blocks = chain.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks
        .map(|block| {
            let (base64, _) = block.split_once("-----END").unwrap();
            let base64: String = base64.split_whitespace().collect();
            data_encoding::BASE64.decode(base64.as_bytes()).unwrap()
        })
        .collect()
}

fn quotes() -> Vec<(String, Value, Vec<u8>)> {
    // Without the vectors there is nothing to compare, which `vectors` says or refuses.
    let Some(tdx) = crate::common::vectors("tdx") else { return Vec::new() };
    let mut quotes = Vec::new();
    for case in cases(&tdx) {
        let expect = serde_json::from_slice(&fs::read(case.join("expect.json")).unwrap()).unwrap();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        quotes.push((name, expect, fs::read(case.join("quote.bin")).unwrap()));
    }
    quotes
}

fn collaterals() -> Vec<Value> {
    let Some(tdx) = crate::common::vectors("tdx") else { return Vec::new() };
    let mut collaterals = Vec::new();
    for case in cases(&tdx) {
        for entry in fs::read_dir(case).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("collateral-") {
                collaterals.push(serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
            }
        }
    }
    assert!(collaterals.len() >= 12, "only {} collaterals", collaterals.len());
    collaterals
}

fn cases(tdx: &Path) -> Vec<std::path::PathBuf> {
    let cases: Vec<_> = fs::read_dir(tdx).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    cases
}
