//! A QE identity made by hand: each field refused on its own, each enclave judged on its own.

use alloc::string::ToString;

use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    let level = |isvsvn: u16, status: &str| json!({"tcb": {"isvsvn": isvsvn}, "tcbDate": "2024-11-13T00:00:00Z", "tcbStatus": status});
    json!({
        "id": "TD_QE", "version": 2,
        "issueDate": "2026-02-18T13:42:19Z", "nextUpdate": "2026-03-20T13:42:19Z",
        "tcbEvaluationDataNumber": 18,
        "miscselect": "00000000", "miscselectMask": "FFFFFF7F",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": "D1".repeat(32), "isvprodid": 2,
        "tcbLevels": [level(3, "OutOfDate"), level(6, "UpToDate"), level(2, "Revoked")],
    })
}

fn report() -> EnclaveReport {
    let mut attributes = [0; 16];
    (attributes[0], attributes[8]) = (0x15, 0xe7);
    EnclaveReport {
        cpusvn: [1; 16],
        miscselect: [0; 4],
        attributes,
        mrenclave: [9; 32],
        mrsigner: [0xd1; 32],
        isvprodid: 2,
        isvsvn: 6,
        report_data: [0; 64],
    }
}

fn identity() -> QeIdentity {
    QeIdentity::parse(&document().to_string()).unwrap()
}

#[test]
fn each_wrong_field_is_refused_by_name() {
    let rows: &[(&str, Value, &str)] = &[
        ("/version", json!(2), "accepted"),
        ("/id", json!("QE"), "tdx_qe_identity_id"),
        ("/id", json!("QVE"), "tdx_qe_identity_id"),
        ("/version", json!(1), "tdx_qe_identity_version"),
        ("/version", json!(3), "tdx_qe_identity_version"),
        ("/issueDate", json!("yesterday"), "tdx_qe_identity_field"),
        ("/nextUpdate", json!(""), "tdx_qe_identity_field"),
        ("/miscselect", json!("00"), "tdx_qe_identity_field"),
        ("/miscselectMask", json!("0000000g"), "tdx_qe_identity_field"),
        ("/attributes", json!("11"), "tdx_qe_identity_field"),
        ("/attributesMask", json!("FB".repeat(17)), "tdx_qe_identity_field"),
        ("/mrsigner", json!("D1".repeat(31)), "tdx_qe_identity_field"),
        ("/isvprodid", json!(65_536), "tdx_qe_identity_json"),
        ("/tcbLevels/0/tcb/isvsvn", json!("3"), "tdx_qe_identity_json"),
        ("/tcbLevels/0/tcbStatus", json!("SWHardeningNeeded"), "tdx_qe_identity_status"),
        ("/tcbLevels/0/tcbDate", json!(0), "tdx_qe_identity_json"),
        (
            "/tcbLevels",
            json!(alloc::vec![document()["tcbLevels"][0].clone(); 513]),
            "tdx_qe_identity_too_many",
        ),
    ];
    for (pointer, value, expected) in rows {
        let mut changed = document();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        let result = QeIdentity::parse(&changed.to_string());
        let code = result.err().map_or("accepted", |error| error.code());
        assert_eq!(code, *expected, "{pointer} = {value}");
    }
    let twice = document().to_string().replacen("\"isvprodid\":2", "\"isvprodid\":2,\"isvprodid\":2", 1);
    assert_eq!(QeIdentity::parse(&twice).unwrap_err().code(), "tdx_qe_identity_json");
    let long = alloc::format!("{}{}", document(), " ".repeat(256 * 1024));
    assert_eq!(QeIdentity::parse(&long).unwrap_err().code(), "tdx_qe_identity_too_long");
}

#[test]
fn each_property_of_the_enclave_is_held_against_the_identity() {
    type Change = fn(&mut EnclaveReport);
    let rows: &[(&str, Change, &str)] = &[
        ("nothing changed", |_| {}, "accepted"),
        ("another build of the same product", |r| r.mrenclave = [8; 32], "accepted"),
        ("MODE64BIT, which the mask leaves open", |r| r.attributes[0] = 0x11, "accepted"),
        ("XFRM, which the mask leaves open", |r| r.attributes[8] = 0xff, "accepted"),
        ("DEBUG", |r| r.attributes[0] |= 0x02, "tdx_qe_debug"),
        ("an attribute that must be clear", |r| r.attributes[7] = 0x80, "tdx_qe_attributes"),
        ("an attribute that must be set", |r| r.attributes[0] = 0x05, "tdx_qe_attributes"),
        ("MISCSELECT", |r| r.miscselect[0] = 1, "tdx_qe_miscselect"),
        ("a MISCSELECT bit that the mask leaves open", |r| r.miscselect[3] = 0x80, "accepted"),
        ("MRSIGNER's first byte", |r| r.mrsigner[0] ^= 1, "tdx_qe_mrsigner"),
        ("MRSIGNER's last byte", |r| r.mrsigner[31] ^= 1, "tdx_qe_mrsigner"),
        ("ISVPRODID of the SGX QE", |r| r.isvprodid = 1, "tdx_qe_isvprodid"),
        ("ISVSVN below every level", |r| r.isvsvn = 1, "tdx_qe_isvsvn"),
    ];
    for (what, change, expected) in rows {
        let mut report = report();
        change(&mut report);
        let code = identity().appraise(&report).err().map_or("accepted", |error| error.code());
        assert_eq!(code, *expected, "{what}");
    }
}

#[test]
fn the_enclaves_version_gives_its_status() {
    for (isvsvn, expected) in [
        (u16::MAX, TcbStatus::UpToDate),
        (6, TcbStatus::UpToDate),
        (5, TcbStatus::OutOfDate),
        (3, TcbStatus::OutOfDate),
        (2, TcbStatus::Revoked),
    ] {
        let report = EnclaveReport { isvsvn, ..report() };
        assert_eq!(identity().appraise(&report).unwrap().status(), expected, "{isvsvn}");
    }
}
