//! TCB info made by hand: what is refused, and which level a platform reaches.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use serde_json::{Value, json};

use super::*;
use crate::UnixSeconds;

/// A document with two levels, two TDX module identities and nothing unusual.
fn document() -> Value {
    let level = |sgx: u8, pcesvn: u16, tdx: u8, status: &str, date: &str| {
        json!({
            "tcb": {
                "sgxtcbcomponents": vec![json!({"svn": sgx, "category": "BIOS"}); 16],
                "pcesvn": pcesvn,
                "tdxtcbcomponents": vec![json!({"svn": tdx}); 16],
            },
            "tcbDate": date,
            "tcbStatus": status,
            "advisoryIDs": [format!("INTEL-SA-{status}")],
        })
    };
    let identity = |id: &str, levels: Value| {
        json!({
            "id": id, "mrsigner": "00".repeat(48), "attributes": "00".repeat(8),
            "attributesMask": "FF".repeat(8), "tcbLevels": levels,
        })
    };
    let module = |isvsvn: u8, status: &str| json!({"tcb": {"isvsvn": isvsvn}, "tcbDate": "2024-11-13T00:00:00Z", "tcbStatus": status});
    json!({
        "id": "TDX", "version": 3,
        "issueDate": "2026-02-18T13:58:55Z", "nextUpdate": "2026-03-20T13:58:55Z",
        "fmspc": "90C06F000000", "pceId": "0001", "tcbType": 0, "tcbEvaluationDataNumber": 18,
        "tdxModule": {
            "mrsigner": "00".repeat(48), "attributes": "00".repeat(8), "attributesMask": "FF".repeat(8),
        },
        "tdxModuleIdentities": [
            identity("TDX_01", json!([module(6, "UpToDate"), module(4, "OutOfDate")])),
            identity("TDX_0A", json!([module(2, "Revoked")])),
        ],
        "tcbLevels": [
            level(5, 13, 5, "UpToDate", "2024-11-13T00:00:00Z"),
            level(3, 11, 3, "OutOfDate", "2024-03-13T00:00:00Z"),
        ],
    })
}

fn parse(document: &Value) -> Result<TcbInfo, Error> {
    TcbInfo::parse(&document.to_string())
}

fn code(document: &Value) -> &'static str {
    parse(document).err().map_or("accepted", |error| error.code())
}

#[test]
fn an_ordinary_document_is_read() {
    let info = parse(&document()).unwrap();
    assert_eq!(info.fmspc, [0x90, 0xc0, 0x6f, 0, 0, 0]);
    assert_eq!(info.pce_id, [0, 1]);
    assert_eq!(info.evaluation_number, 18);
    assert_eq!(info.window.issued, UnixSeconds::from_rfc3339("2026-02-18T13:58:55Z").unwrap());
}

#[test]
fn each_wrong_field_is_refused_by_name() {
    let rows: &[(&str, Value, &str)] = &[
        ("/version", json!(3), "accepted"),
        ("/id", json!("SGX"), "tdx_tcb_info_id"),
        ("/id", json!("TDX "), "tdx_tcb_info_id"),
        ("/version", json!(2), "tdx_tcb_info_version"),
        ("/version", json!(4), "tdx_tcb_info_version"),
        ("/version", json!("3"), "tdx_tcb_info_json"),
        ("/tcbType", json!(1), "tdx_tcb_info_field"),
        ("/issueDate", json!("2026-02-18"), "tdx_tcb_info_field"),
        ("/nextUpdate", json!("never"), "tdx_tcb_info_field"),
        ("/fmspc", json!("90C06F0000"), "tdx_tcb_info_field"),
        ("/pceId", json!("00 1"), "tdx_tcb_info_field"),
        ("/tcbEvaluationDataNumber", json!(-1), "tdx_tcb_info_json"),
        ("/tdxModule", Value::Null, "tdx_tcb_info_json"),
        ("/tdxModule/mrsigner", json!("00"), "tdx_tcb_info_field"),
        ("/tdxModule/attributes", json!("00".repeat(9)), "tdx_tcb_info_field"),
        ("/tdxModule/attributesMask", json!("xx".repeat(8)), "tdx_tcb_info_field"),
        ("/tdxModuleIdentities/0/mrsigner", json!(""), "tdx_tcb_info_field"),
        ("/tdxModuleIdentities/0/tcbLevels/0/tcb/isvsvn", json!(256), "tdx_tcb_info_json"),
        ("/tdxModuleIdentities/0/tcbLevels/0/tcbStatus", json!("ConfigurationNeeded"), "tdx_tcb_info_status"),
        ("/tcbLevels", json!({}), "tdx_tcb_info_json"),
        ("/tcbLevels/0/tcbStatus", json!("Splendid"), "tdx_tcb_info_json"),
        ("/tcbLevels/0/tcbStatus", json!("NoMatchingLevel"), "tdx_tcb_info_status"),
        ("/tcbLevels/0/tcbStatus", json!("TDRelaunchAdvised"), "tdx_tcb_info_status"),
        ("/tcbLevels/0/tcbDate", json!("2024"), "tdx_tcb_info_field"),
        ("/tcbLevels/0/tcb/pcesvn", json!(65_536), "tdx_tcb_info_json"),
        (
            "/tcbLevels/0/tcb/sgxtcbcomponents",
            json!(vec![json!({"svn": 1}); 15]),
            "tdx_tcb_info_component_count",
        ),
        (
            "/tcbLevels/0/tcb/sgxtcbcomponents",
            json!(vec![json!({"svn": 1}); 17]),
            "tdx_tcb_info_component_count",
        ),
        (
            "/tcbLevels/0/tcb/tdxtcbcomponents",
            json!(vec![json!({"svn": 1}); 15]),
            "tdx_tcb_info_component_count",
        ),
        ("/tcbLevels/0/tcb/tdxtcbcomponents", json!([]), "tdx_tcb_info_component_count"),
        ("/tcbLevels/1/tcb/sgxtcbcomponents/7/svn", json!(256), "tdx_tcb_info_json"),
        (
            "/tdxModuleIdentities",
            json!(vec![document()["tdxModuleIdentities"][0].clone(); 513]),
            "tdx_tcb_info_too_many",
        ),
    ];
    for (pointer, value, expected) in rows {
        let mut changed = document();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(code(&changed), *expected, "{pointer} = {value}");
    }
}

#[test]
fn text_that_two_readers_could_read_differently_is_refused() {
    let text = document().to_string();
    let code = |text: &str| TcbInfo::parse(text).err().map_or("accepted", |error| error.code());
    assert_eq!(code(&text), "accepted");
    let twice = text.replacen("\"id\":\"TDX\"", "\"id\":\"TDX\",\"id\":\"TDX\"", 1);
    assert_ne!(twice, text);
    assert_eq!(code(&twice), "tdx_tcb_info_json");
    let twice = text.replacen("\"svn\":5", "\"svn\":5,\"svn\":5", 1);
    assert_ne!(twice, text);
    assert_eq!(code(&twice), "tdx_tcb_info_json");
    assert_eq!(code(&format!("{text}x")), "tdx_tcb_info_json");
    assert_eq!(code(&text[..text.len() - 1]), "tdx_tcb_info_json");

    let nested =
        |depth: usize| text.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(depth), "]".repeat(depth)), 1);
    assert_eq!(code(&nested(11)), "accepted", "an unknown field is Intel's affair");
    assert_eq!(code(&nested(12)), "tdx_tcb_info_json");
    assert_eq!(code(&nested(20_000)), "tdx_tcb_info_json");
    let padded = |len: usize| format!("{text}{}", " ".repeat(len - text.len()));
    assert_eq!(code(&padded(256 * 1024)), "accepted");
    assert_eq!(code(&padded(256 * 1024 + 1)), "tdx_tcb_info_too_long");
}

/// Component versions that reach the level of 5s, with an own module identity and without.
const TEE_TCB_SVN: [u8; 16] = [6, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5];
const SVNS: PlatformSvns = PlatformSvns { components: [5; 16], pcesvn: 13 };

#[test]
fn every_component_below_its_level_misses_it() {
    let info = parse(&document()).unwrap();
    let status = |svns, tdx: &[u8; 16]| info.platform(svns, tdx).status();
    assert_eq!(status(SVNS, &TEE_TCB_SVN), TcbStatus::UpToDate);
    for component in 0..16 {
        let mut lower = SVNS;
        lower.components[component] = 4;
        assert_eq!(status(lower, &TEE_TCB_SVN), TcbStatus::OutOfDate, "SGX component {component}");
        lower.components[component] = 2;
        assert_eq!(status(lower, &TEE_TCB_SVN), TcbStatus::NoMatchingLevel, "SGX component {component}");
        // A higher one elsewhere does not make up for it.
        lower.components[(component + 1) % 16] = 255;
        assert_eq!(status(lower, &TEE_TCB_SVN), TcbStatus::NoMatchingLevel, "SGX component {component}");
    }
    let lower = PlatformSvns { pcesvn: 12, ..SVNS };
    assert_eq!(status(lower, &TEE_TCB_SVN), TcbStatus::OutOfDate);
    assert_eq!(status(PlatformSvns { pcesvn: 10, ..SVNS }, &TEE_TCB_SVN), TcbStatus::NoMatchingLevel);
    for component in 2..16 {
        let mut lower = TEE_TCB_SVN;
        lower[component] = 4;
        assert_eq!(status(SVNS, &lower), TcbStatus::OutOfDate, "TDX component {component}");
        lower[component] = 2;
        assert_eq!(status(SVNS, &lower), TcbStatus::NoMatchingLevel, "TDX component {component}");
    }
}

#[test]
fn the_first_two_tdx_components_count_only_for_the_base_module() {
    let info = parse(&document()).unwrap();
    let status = |isvsvn, version| {
        let mut tdx = [5; 16];
        (tdx[0], tdx[1]) = (isvsvn, version);
        info.platform(SVNS, &tdx).status()
    };
    // A module with an identity of its own is judged there.
    assert_eq!(status(0, 1), TcbStatus::UpToDate);
    // The base module's version 0 is below the level's 5, and below the lower one's 3.
    assert_eq!(status(5, 0), TcbStatus::NoMatchingLevel);
    let mut relaxed = document();
    for level in [0, 1] {
        relaxed["tcbLevels"][level]["tcb"]["tdxtcbcomponents"][1]["svn"] = json!(0);
    }
    let info = parse(&relaxed).unwrap();
    let status = |isvsvn| {
        let mut tdx = [5; 16];
        (tdx[0], tdx[1]) = (isvsvn, 0);
        info.platform(SVNS, &tdx).status()
    };
    assert_eq!(
        (status(5), status(4), status(2)),
        (TcbStatus::UpToDate, TcbStatus::OutOfDate, TcbStatus::NoMatchingLevel)
    );
}

#[test]
fn levels_are_tried_from_the_highest_whatever_their_order() {
    let mut document = document();
    document["tcbLevels"].as_array_mut().unwrap().reverse();
    document["tdxModuleIdentities"][0]["tcbLevels"].as_array_mut().unwrap().reverse();
    let info = parse(&document).unwrap();
    assert_eq!(info.platform(SVNS, &TEE_TCB_SVN).status(), TcbStatus::UpToDate);
    let module = info.module(&TEE_TCB_SVN).unwrap();
    assert_eq!(module.part().unwrap().status(), TcbStatus::UpToDate);
}

#[test]
fn a_level_brings_its_date_and_advisories() {
    let info = parse(&document()).unwrap();
    let part = info.platform(PlatformSvns { pcesvn: 11, ..SVNS }, &TEE_TCB_SVN);
    assert_eq!(part.tcb_date(), UnixSeconds::from_rfc3339("2024-03-13T00:00:00Z"));
    assert_eq!(part.advisories().iter().collect::<Vec<_>>(), ["INTEL-SA-OutOfDate"]);
    let none = info.platform(PlatformSvns { pcesvn: 0, ..SVNS }, &TEE_TCB_SVN);
    assert_eq!((none.tcb_date(), none.advisories().len()), (None, 0));
}

#[test]
fn the_module_is_judged_by_the_identity_of_its_version() {
    let info = parse(&document()).unwrap();
    let module = |isvsvn, version| {
        let mut tdx = [5; 16];
        (tdx[0], tdx[1]) = (isvsvn, version);
        info.module(&tdx).map(|module| (module.id().to_string(), module.part().map(TcbPart::status)))
    };
    for (isvsvn, version, id, status) in [
        (6, 1, "TDX_01", Some(TcbStatus::UpToDate)),
        (255, 1, "TDX_01", Some(TcbStatus::UpToDate)),
        (5, 1, "TDX_01", Some(TcbStatus::OutOfDate)),
        (3, 1, "TDX_01", Some(TcbStatus::NoMatchingLevel)),
        (2, 10, "TDX_0A", Some(TcbStatus::Revoked)),
        (1, 10, "TDX_0A", Some(TcbStatus::NoMatchingLevel)),
        (0, 0, "TDX_00", None),
    ] {
        assert_eq!(module(isvsvn, version).unwrap(), (id.to_string(), status), "{isvsvn} {version}");
    }
    assert_eq!(module(6, 3), Err(Error::ModuleUnknown { id: "TDX_03".to_string() }));
    assert_eq!(module(6, 16), Err(Error::ModuleUnknown { id: "TDX_10".to_string() }));
}
