//! Minimal logs made by hand: each rule beside a log that breaks it and nothing else.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::crypto::Ring;

const EV_IPL: u32 = 0xd;
const EV_EFI_ACTION: u32 = 0x8000_0007;
const EV_EFI_VARIABLE_BOOT: u32 = 0x8000_0002;
const EV_EFI_BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
const DSTACK: u32 = 0x0800_0001;

fn sha384(bytes: &[u8]) -> Measurement {
    Ring.sha384(bytes)
}

/// A CCEL header event that names SHA-384 alone.
fn header() -> Vec<u8> {
    let mut spec = b"Spec ID Event03\0".to_vec();
    spec.extend([0, 0, 0, 0, 0, 2, 0, 2]);
    spec.extend(1u32.to_le_bytes());
    spec.extend([0x0c, 0, 48, 0, 0]);
    let mut bytes = Vec::new();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(EV_NO_ACTION.to_le_bytes());
    bytes.extend([0; 20]);
    bytes.extend(u32::try_from(spec.len()).unwrap().to_le_bytes());
    bytes.extend(spec);
    bytes
}

fn event(register: u32, event_type: u32, digest: &Measurement, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(register.to_le_bytes());
    bytes.extend(event_type.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend([0x0c, 0]);
    bytes.extend(digest);
    bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    bytes.extend(content);
    bytes
}

/// A log of these events, and the registers it should replay to.
fn log(events: &[(u32, u32, Measurement, &[u8])]) -> (Vec<u8>, [Measurement; 4]) {
    let mut bytes = header();
    let mut registers = [[0; 48]; 4];
    for (register, event_type, digest, content) in events {
        bytes.extend(event(*register, *event_type, digest, content));
        if let Some(rtmr) = (*register as usize).checked_sub(1).filter(|_| *event_type != EV_NO_ACTION) {
            registers[rtmr] = sha384(&[registers[rtmr], *digest].concat());
        }
    }
    bytes.extend([0xff; 64]);
    (bytes, registers)
}

fn replay(bytes: &[u8], registers: &[Measurement; 4]) -> Result<ReplayedLog, Error> {
    EventLog::parse(bytes)?.replay(registers, &Ring)
}

fn variable(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7; 16];
    bytes.extend((name.len() as u64).to_le_bytes());
    bytes.extend((value.len() as u64).to_le_bytes());
    bytes.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    bytes.extend(value);
    bytes
}

#[test]
fn each_event_type_binds_what_its_definition_says() {
    let boot = variable("Boot0001", b"device path");
    type Row<'a> = (u32, &'a [u8], Measurement, Binding, Option<&'a [u8]>);
    let cases: &[Row<'_>] = &[
        (EV_EFI_ACTION, b"go", sha384(b"go"), Binding::Content, Some(b"go")),
        (EV_EFI_VARIABLE_BOOT, &boot, sha384(b"device path"), Binding::VariableValue, Some(b"device path")),
        (EV_EFI_VARIABLE_BOOT, &boot, sha384(&boot), Binding::Content, Some(&boot)),
        (EV_IPL, b"grub_cmd: ls\0", sha384(b"ls"), Binding::TextAfterLabel, Some(b"ls")),
        (EV_IPL, b"/boot/grub.cfg\0", sha384(b"the file"), Binding::DigestOnly, None),
        (EV_IPL, b"text", sha384(b"text"), Binding::Content, Some(b"text")),
        (EV_EFI_BOOT_SERVICES_APPLICATION, b"path", sha384(b"image"), Binding::DigestOnly, None),
    ];
    for (event_type, content, digest, binding, bound) in cases {
        let (bytes, registers) = log(&[(2, *event_type, *digest, content)]);
        let log = replay(&bytes, &registers).unwrap();
        let [event] = log.events() else { panic!("one event") };
        assert_eq!((event.binding(), event.bound_content()), (*binding, *bound), "{content:?}");
        assert_eq!((event.rtmr(), event.event_type(), event.digest()), (Some(1), *event_type, digest));
        assert_eq!(event.unverified_content(), *content);
    }
}

#[test]
fn a_true_digest_with_a_forged_content_is_refused() {
    let boot = variable("Boot0001", b"device path");
    let forged_boot = variable("Boot0001", b"other path!");
    let cases: &[(u32, &[u8], &[u8], Measurement)] = &[
        (EV_EFI_ACTION, b"go", b"no", sha384(b"go")),
        (EV_EFI_VARIABLE_BOOT, &boot, &forged_boot, sha384(b"device path")),
        (EV_IPL, b"kernel_cmdline: ro\0", b"kernel_cmdline: rw\0", sha384(b"ro")),
    ];
    for (event_type, honest, forged, digest) in cases {
        let (bytes, registers) = log(&[(3, *event_type, *digest, honest)]);
        replay(&bytes, &registers).unwrap();
        let (bytes, same_registers) = log(&[(3, *event_type, *digest, forged)]);
        assert_eq!(registers, same_registers, "the digests, and so the registers, stay the same");
        let error = replay(&bytes, &registers).unwrap_err();
        assert_eq!(error.code(), "tdx_event_content", "{error}");
    }
}

#[test]
fn another_digest_order_or_register_does_not_replay() {
    let (a, b) = ((1, EV_IPL, sha384(b"a"), &b"a"[..]), (1, EV_IPL, sha384(b"b"), &b"b"[..]));
    let (honest, registers) = log(&[a, b]);
    replay(&honest, &registers).unwrap();
    for events in [&[b, a][..], &[a], &[a, b, b], &[a, (2, EV_IPL, sha384(b"b"), b"b")], &[]] {
        let (bytes, _) = log(events);
        assert_eq!(replay(&bytes, &registers).unwrap_err().code(), "tdx_event_log_replay");
    }
}

#[test]
fn an_event_without_action_extends_nothing_and_proves_nothing() {
    let (bytes, registers) = log(&[(1, EV_NO_ACTION, [0; 48], b"StartupLocality\0\x03")]);
    assert_eq!(registers, [[0; 48]; 4]);
    let log = replay(&bytes, &registers).unwrap();
    assert_eq!(log.events()[0].binding(), Binding::NotMeasured);
    assert_eq!((log.events()[0].rtmr(), log.events()[0].bound_content()), (None, None));
}

#[test]
fn malformed_areas_are_refused_by_what_is_wrong_with_them() {
    let good = log(&[(1, EV_IPL, [1; 48], b"x")]).0;
    assert!(EventLog::parse(&good).is_ok());
    let end = good.len() - 64;
    let with = |position: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[position..position + bytes.len()].copy_from_slice(bytes);
        EventLog::parse(&bad).unwrap_err().to_string()
    };
    let first = header().len();
    for (position, bytes, why) in [
        (4, &[4][..], "not EV_NO_ACTION"),
        (32, b"spec", "not a TCG crypto-agile log"),
        (56, &[9], "too many hash algorithms"),
        (60, &[0x0b], "no SHA-384 digests"),
        (62, &[32], "of another length"),
        (64, &[1], "truncated"),
        (first, &[0], "extend MRTD"),
        (first, &[5], "beyond RTMR3"),
        (first + 8, &[2], "one per algorithm"),
        (first + 12, &[0x0b], "does not name"),
        (first + 62, &[0xff, 0xff, 0xff, 0xff], "truncated"),
        (end + 63, &[0], "one per algorithm"),
    ] {
        let error = with(position, bytes);
        assert!(error.contains(why), "{position}: {error}");
    }
    for len in 0..end {
        assert!(EventLog::parse(&good[..len]).is_err() || len == first, "{len}");
    }
    assert!(matches!(
        EventLog::parse(&vec![0; EVENT_LOG_LEN_MAX + 1]),
        Err(Error::EventLogTooLong { len, .. }) if len == EVENT_LOG_LEN_MAX + 1
    ));
}

/// A dstack event in JSON, its digest made of `name` and `payload` as told.
fn dstack(name: &str, payload: &str, digest: &Measurement) -> Vec<u8> {
    let digest = Hex(*digest);
    format!(
        r#"[{{"imr":3,"event_type":{DSTACK},"digest":"{digest}","event":"{name}","event_payload":"{payload}"}}]"#
    )
    .into_bytes()
}

fn dstack_digest(name: &str, payload: &[u8]) -> Measurement {
    sha384(&[&DSTACK.to_le_bytes(), &b":"[..], name.as_bytes(), b":", payload].concat())
}

#[test]
fn dstack_events_bind_name_and_payload() {
    let digest = dstack_digest("app-id", &[0xab]);
    let mut registers = [[0; 48]; 4];
    registers[3] = sha384(&[[0; 48], digest].concat());
    let log = replay(&dstack("app-id", "ab", &digest), &registers).unwrap();
    let event = &log.events()[0];
    assert_eq!((event.binding(), event.name()), (Binding::NameAndContent, Some("app-id")));
    assert_eq!(event.bound_content(), Some(&[0xab][..]));

    for forged in [dstack("app-id", "ac", &digest), dstack("app-ie", "ab", &digest)] {
        assert_eq!(replay(&forged, &registers).unwrap_err().code(), "tdx_event_content");
    }
}

#[test]
fn a_colon_cannot_move_between_name_and_payload() {
    // "a" ‖ ":" ‖ "b:c" and "a:b" ‖ ":" ‖ "c" hash alike.
    let digest = dstack_digest("a", b"b:c");
    assert_eq!(digest, dstack_digest("a:b", b"c"));
    let mut registers = [[0; 48]; 4];
    registers[3] = sha384(&[[0; 48], digest].concat());
    replay(&dstack("a", "623a63", &digest), &registers).unwrap();
    let error = replay(&dstack("a:b", "63", &digest), &registers).unwrap_err();
    assert_eq!(error, Error::EventLogMalformed { what: "a colon in an event's name" });
}

#[test]
fn json_logs_are_strict() {
    let event = |fields: &str| format!(r#"[{{"imr":0,"event_type":13,"event":"",{fields}}}]"#);
    let digest = Hex([1; 48]).to_string();
    let good = event(&format!(r#""digest":"{digest}","event_payload":"00""#));
    assert!(EventLog::parse(good.as_bytes()).is_ok());
    for fields in [
        format!(r#""digest":"{digest}","event_payload":"0""#),
        format!(r#""digest":"{digest}","event_payload":"00","more":1"#),
        format!(r#""digest":"{digest}","digest":"{digest}","event_payload":"00""#),
        format!(r#""digest":"{}","event_payload":"00""#, &digest[2..]),
        format!(r#""digest":"{digest}""#),
    ] {
        let error = EventLog::parse(event(&fields).as_bytes()).unwrap_err();
        assert_eq!(error.code(), "tdx_event_log_malformed", "{fields}");
    }
    let beyond = good.replace("\"imr\":0", "\"imr\":4");
    assert_eq!(EventLog::parse(beyond.as_bytes()).unwrap_err().code(), "tdx_event_log_malformed");
}
