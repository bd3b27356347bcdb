//! TCB info and QE identity as signed documents (38 to 43, 55).

use serde_json::Value;
use vouchsafe_simulator::intel::TcbComponent;
use vouchsafe_verifier::{TdxCollateral, UnixSeconds};

use crate::world::{AT, Change, Expected, Row, World, in_collateral, in_machine, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = signatures();
    rows.extend(windows_and_ids());
    rows.extend(platform());
    rows.extend(text());
    rows
}

/// The same JSON value as another program would write it.
fn reserialise(text: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(text).unwrap()).unwrap()
}

fn flip_last_digit(hex: &mut String) {
    let last = hex.pop().unwrap();
    hex.push(if last == '0' { '1' } else { '0' });
}

fn signatures() -> Vec<Row> {
    let (tcb, qe) = ("tdx_tcb_info_signature", "tdx_qe_identity_signature");
    vec![
        in_collateral(
            38,
            "a bit of the TCB info's signature",
            |_, c| flip_last_digit(&mut c.tcb_info_signature),
            tcb,
        ),
        in_collateral(
            38,
            "a bit of the QE identity's signature",
            |_, c| flip_last_digit(&mut c.qe_identity_signature),
            qe,
        ),
        in_collateral(38, "half a signature on the TCB info", |_, c| c.tcb_info_signature.truncate(64), tcb),
        in_collateral(
            38,
            "half a signature on the QE identity",
            |_, c| c.qe_identity_signature.truncate(64),
            qe,
        ),
        in_collateral(38, "TCB info re-serialised", |_, c| c.tcb_info = reserialise(&c.tcb_info), tcb),
        in_collateral(
            38,
            "QE identity re-serialised",
            |_, c| c.qe_identity = reserialise(&c.qe_identity),
            qe,
        ),
        in_collateral(38, "a space after the TCB info", |_, c| c.tcb_info.push(' '), tcb),
        in_collateral(38, "a space after the QE identity", |_, c| c.qe_identity.push(' '), qe),
        in_collateral(
            38,
            "TCB info of a better status",
            |_, c| c.tcb_info = c.tcb_info.replace("OutOfDate", "UpToDate"),
            tcb,
        ),
        in_collateral(
            38,
            "QE identity of a lower floor",
            |_, c| c.qe_identity = c.qe_identity.replace("\"isvsvn\":4", "\"isvsvn\":3"),
            qe,
        ),
        in_collateral(
            38,
            "TCB info signed by a stranger",
            |w, c| c.tcb_info_signature = w.stranger.sign_text(&c.tcb_info),
            tcb,
        ),
        in_collateral(
            38,
            "QE identity signed by a stranger",
            |w, c| c.qe_identity_signature = w.stranger.sign_text(&c.qe_identity),
            qe,
        ),
        in_collateral(
            38,
            "the QE identity's signature on the TCB info",
            |_, c| c.tcb_info_signature = c.qe_identity_signature.clone(),
            tcb,
        ),
    ]
}

fn windows_and_ids() -> Vec<Row> {
    let (before, after) = (UnixSeconds(AT.0 - 1).to_string(), UnixSeconds(AT.0 + 1).to_string());
    let (before_2, after_2) = (before.clone(), after.clone());
    vec![
        in_machine(
            39,
            "expired TCB info",
            move |_, m| m.collateral_mut().tcb_info.next_update = before.clone(),
            "tdx_tcb_info_expired",
        ),
        in_machine(
            39,
            "expired QE identity",
            move |_, m| m.collateral_mut().qe_identity.next_update = before_2.clone(),
            "tdx_qe_identity_expired",
        ),
        in_machine(
            39,
            "TCB info of the future",
            move |_, m| m.collateral_mut().tcb_info.issue_date = after.clone(),
            "tdx_tcb_info_not_yet_valid",
        ),
        in_machine(
            39,
            "QE identity of the future",
            move |_, m| m.collateral_mut().qe_identity.issue_date = after_2.clone(),
            "tdx_qe_identity_not_yet_valid",
        ),
        in_machine(
            39,
            "TCB info of id SGX",
            |_, m| m.collateral_mut().tcb_info.id = "SGX".into(),
            "tdx_tcb_info_id",
        ),
        in_machine(
            39,
            "TCB info of version 2",
            |_, m| m.collateral_mut().tcb_info.version = 2,
            "tdx_tcb_info_version",
        ),
        in_machine(
            39,
            "TCB info of version 4",
            |_, m| m.collateral_mut().tcb_info.version = 4,
            "tdx_tcb_info_version",
        ),
        in_machine(
            39,
            "QE identity of version 1",
            |_, m| m.collateral_mut().qe_identity.version = 1,
            "tdx_qe_identity_version",
        ),
        in_machine(
            39,
            "TCB info of another type",
            |_, m| m.collateral_mut().tcb_info.tcb_type = 1,
            "tdx_tcb_info_field",
        ),
        in_machine(
            39,
            "QE identity with a signer of another length",
            |_, m| m.collateral_mut().qe_identity.mrsigner.truncate(62),
            "tdx_qe_identity_field",
        ),
        in_machine(
            39,
            "TCB info with a module of a status that modules cannot have",
            |_, m| {
                m.collateral_mut().tcb_info.tdx_module_identities[0].tcb_levels[0].tcb_status =
                    "SWHardeningNeeded".into();
            },
            "tdx_tcb_info_status",
        ),
        in_machine(
            39,
            "QE identity with a status that enclaves cannot have",
            |_, m| m.collateral_mut().qe_identity.tcb_levels[0].tcb_status = "SWHardeningNeeded".into(),
            "tdx_qe_identity_status",
        ),
        in_machine(
            39,
            "TCB info with 513 module identities",
            |_, m| {
                let identities = &mut m.collateral_mut().tcb_info.tdx_module_identities;
                let mut other = identities[0].clone();
                other.tcb_levels.clear();
                identities.resize(513, other);
            },
            "tdx_tcb_info_too_many",
        ),
        in_machine(
            39,
            "QE identity with 513 levels",
            |_, m| {
                let levels = &mut m.collateral_mut().qe_identity.tcb_levels;
                let level = levels[0].clone();
                levels.resize(513, level);
            },
            "tdx_qe_identity_too_many",
        ),
        in_collateral(39, "no TCB info", |_, c| c.tcb_info.clear(), "tdx_collateral_incomplete"),
        in_collateral(39, "no QE identity", |_, c| c.qe_identity.clear(), "tdx_collateral_incomplete"),
    ]
}

fn platform() -> Vec<Row> {
    let mut rows = Vec::new();
    for byte in 0..6 {
        rows.push(row(
            40,
            format!("FMSPC byte {byte} of the platform"),
            Change::Machine(Box::new(move |_, m| flip_hex(&mut m.collateral_mut().tcb_info.fmspc, byte))),
            Expected::Code("tdx_fmspc_mismatch"),
        ));
    }
    for byte in 0..2 {
        rows.push(row(
            41,
            format!("pceId byte {byte} of the platform"),
            Change::Machine(Box::new(move |_, m| flip_hex(&mut m.collateral_mut().tcb_info.pce_id, byte))),
            Expected::Code("tdx_pceid_mismatch"),
        ));
    }
    // The minimum is a policy's; the verifier must report the lower of the two numbers.
    rows.push(row(
        42,
        "an older evaluation of the TCB info",
        Change::Machine(Box::new(|_, m| m.collateral_mut().tcb_info.tcb_evaluation_data_number = 17)),
        Expected::Fact(|v| v.evaluation_number() == 17),
    ));
    rows.push(row(
        42,
        "an older evaluation of the QE identity",
        Change::Machine(Box::new(|_, m| m.collateral_mut().qe_identity.tcb_evaluation_data_number = 17)),
        Expected::Fact(|v| v.evaluation_number() == 17),
    ));
    let code = "tdx_tcb_info_component_count";
    for (what, level) in [("first", 0), ("last", 2)] {
        rows.push(in_machine(
            43,
            format!("15 SGX components, {what} level"),
            move |_, m| {
                m.collateral_mut().tcb_info.tcb_levels[level].tcb.sgxtcbcomponents.pop();
            },
            code,
        ));
        rows.push(in_machine(
            43,
            format!("17 SGX components, {what} level"),
            move |_, m| {
                m.collateral_mut().tcb_info.tcb_levels[level].tcb.sgxtcbcomponents.push(zero());
            },
            code,
        ));
        rows.push(in_machine(
            43,
            format!("15 TDX components, {what} level"),
            move |_, m| {
                m.collateral_mut().tcb_info.tcb_levels[level].tcb.tdxtcbcomponents.pop();
            },
            code,
        ));
        rows.push(in_machine(
            43,
            format!("17 TDX components, {what} level"),
            move |_, m| {
                m.collateral_mut().tcb_info.tcb_levels[level].tcb.tdxtcbcomponents.push(zero());
            },
            code,
        ));
    }
    rows
}

fn zero() -> TcbComponent {
    TcbComponent { svn: 0, category: None, kind: None }
}

/// Changes one byte of a hexadecimal text.
fn flip_hex(text: &mut String, byte: usize) {
    let other = if &text[2 * byte..2 * byte + 2] == "01" { "02" } else { "01" };
    text.replace_range(2 * byte..2 * byte + 2, other);
}

/// A row that rewrites a document's text and has it signed again by the right key.
fn resigned(
    what: &str,
    is_tcb_info: bool,
    edit: impl Fn(&str) -> String + 'static,
    code: &'static str,
) -> Row {
    in_collateral(
        55,
        what,
        move |w: &World, c: &mut TdxCollateral| {
            let (text, signature) = if is_tcb_info {
                (&mut c.tcb_info, &mut c.tcb_info_signature)
            } else {
                (&mut c.qe_identity, &mut c.qe_identity_signature)
            };
            let edited = edit(text);
            assert_ne!(edited, *text);
            *signature = w.authority.sign_text(&edited);
            *text = edited;
        },
        code,
    )
}

fn text() -> Vec<Row> {
    let (tcb, qe) = ("tdx_tcb_info_json", "tdx_qe_identity_json");
    let nested = |text: &str| format!("{{\"x\":{}{},{}", "[".repeat(100), "]".repeat(100), &text[1..]);
    vec![
        resigned("TCB info: id twice", true, |t| t.replacen("\"id\"", "\"id\":\"TDX\",\"id\"", 1), tcb),
        resigned(
            "TCB info: tcbStatus twice",
            true,
            |t| t.replacen("\"tcbStatus\"", "\"tcbStatus\":\"UpToDate\",\"tcbStatus\"", 1),
            tcb,
        ),
        resigned(
            "TCB info: a component's svn twice",
            true,
            |t| t.replacen("\"svn\"", "\"svn\":255,\"svn\"", 1),
            tcb,
        ),
        resigned(
            "TCB info: an escaped key twice",
            true,
            |t| t.replacen("\"fmspc\"", "\"\\u0066mspc\":\"90C06F000000\",\"fmspc\"", 1),
            tcb,
        ),
        resigned(
            "QE identity: mrsigner twice",
            false,
            |t| t.replacen("\"mrsigner\"", "\"mrsigner\":\"\",\"mrsigner\"", 1),
            qe,
        ),
        resigned(
            "QE identity: isvsvn twice",
            false,
            |t| t.replacen("\"isvsvn\"", "\"isvsvn\":0,\"isvsvn\"", 1),
            qe,
        ),
        resigned("TCB info nested 100 deep", true, nested, tcb),
        resigned("QE identity nested 100 deep", false, nested, qe),
        resigned(
            "TCB info of 1 MiB",
            true,
            |t| format!("{t}{}", " ".repeat(1 << 20)),
            "tdx_tcb_info_too_long",
        ),
        resigned(
            "QE identity of 1 MiB",
            false,
            |t| format!("{t}{}", " ".repeat(1 << 20)),
            "tdx_qe_identity_too_long",
        ),
        resigned("TCB info followed by more", true, |t| format!("{t}{{}}"), tcb),
        resigned("QE identity followed by more", false, |t| format!("{t}{{}}"), qe),
        resigned("TCB info of another shape", true, |_| "[]".to_owned(), tcb),
        resigned("QE identity of another shape", false, |_| "null".to_owned(), qe),
    ]
}
