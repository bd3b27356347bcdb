//! What the TD says of itself, and its event log (50 to 54).

use vouchsafe_simulator::intel::{EventLog, LoggedEvent, TdxMachine, event_type};
use vouchsafe_verifier::tdx::TdAttributes;

use crate::world::{Change, Expected, MRTD, Minted, Row, World, in_machine, row};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = attributes();
    rows.extend(measurements());
    rows.extend(event_log());
    rows
}

/// A row whose refusal is a policy's business.
fn fact(
    clause: u8,
    what: impl Into<String>,
    change: impl Fn(&mut TdxMachine) + 'static,
    holds: fn(&vouchsafe_verifier::tdx::VerifiedTdx) -> bool,
) -> Row {
    row(clause, what, Change::Machine(Box::new(move |_, m| change(m))), Expected::Fact(holds))
}

fn set_bit(m: &mut TdxMachine, bit: usize) {
    m.body_mut().td_attributes[bit / 8] |= 1 << (bit % 8);
}

fn attributes() -> Vec<Row> {
    let mut rows = vec![
        fact(50, "DEBUG", |m| set_bit(m, 0), |v| v.report().td_attributes.contains(TdAttributes::DEBUG)),
        fact(
            50,
            "SEPT_VE_DISABLE clear",
            |m| m.body_mut().td_attributes[3] = 0,
            |v| !v.report().td_attributes.contains(TdAttributes::SEPT_VE_DISABLE),
        ),
        fact(
            50,
            "MIGRATABLE",
            |m| set_bit(m, 29),
            |v| v.report().td_attributes.contains(TdAttributes::MIGRATABLE),
        ),
    ];
    for bit in [0, 4, 5, 6] {
        rows.push(fact(
            50,
            format!("bit {bit}, under debug or profiled"),
            move |m| set_bit(m, bit),
            |v| v.report().td_attributes.is_under_debug(),
        ));
    }
    for bit in 0..64 {
        let set = move |_: &World, m: &mut TdxMachine| set_bit(m, bit);
        rows.push(match bit {
            1..=3 | 7..=15 | 23..=26 | 32..=61 => {
                in_machine(50, format!("reserved bit {bit}"), set, "tdx_td_attributes_reserved")
            }
            _ => row(
                50,
                format!("control: bit {bit}, which may be set"),
                Change::Machine(Box::new(set)),
                Expected::Status("UpToDate"),
            ),
        });
    }
    rows
}

fn measurements() -> Vec<Row> {
    let service =
        |v: &vouchsafe_verifier::tdx::VerifiedTdx| v.report().td_1_5.unwrap().mrservicetd != [0; 48];
    let mut rows = vec![
        fact(
            51,
            "MRSERVICETD, first byte",
            |m| m.body_mut().td15.as_mut().unwrap().mr_service_td[0] = 1,
            service,
        )
        .on_v5(),
        fact(
            51,
            "MRSERVICETD, last byte",
            |m| m.body_mut().td15.as_mut().unwrap().mr_service_td[47] = 1,
            service,
        )
        .on_v5(),
        fact(52, "another MRTD", |m| m.body_mut().mr_td[47] ^= 1, |v| v.report().mrtd != MRTD),
    ];
    for rtmr in 0..4 {
        rows.push(in_machine(
            52,
            format!("RTMR{rtmr} is not what the log replays to"),
            move |_, m| m.body_mut().rtmrs[rtmr][47] ^= 1,
            "tdx_event_log_replay",
        ));
    }
    // Without a log a TD may have RTMRs of zeros (a paravisor keeps its measurements elsewhere); with
    // the empty log that goes with it, only a policy can refuse.
    rows.push(fact(
        54,
        "RTMRs all zero",
        |m| m.boot(EventLog::default()),
        |v| v.report().rtmr == [[0; 48]; 4],
    ));
    rows
}

fn event_log() -> Vec<Row> {
    let log = |clause, what: &str, change: fn(&mut EventLog), code| {
        row(clause, what, Change::EventLog(Box::new(change)), Expected::Code(code))
    };
    vec![
        log(52, "an event left out", |l| drop(l.events.remove(2)), "tdx_event_log_replay"),
        log(52, "an event added", |l| l.measure(2, event_type::IPL, b"more"), "tdx_event_log_replay"),
        log(52, "two events exchanged", |l| l.events.swap(0, 1), "tdx_event_log_replay"),
        log(52, "an event moved to another register", |l| l.events[5].rtmr = 3, "tdx_event_log_replay"),
        log(
            52,
            "an event called EV_NO_ACTION",
            |l| l.events[4].event_type = event_type::NO_ACTION,
            "tdx_event_log_replay",
        ),
        log(52, "a digest", |l| l.events[4].digest[0] ^= 1, "tdx_event_log_replay"),
        log(53, "a variable's value forged", |l| l.events[0].content[0] ^= 1, "tdx_event_content"),
        log(53, "a separator forged", |l| l.events[1].content[0] = 1, "tdx_event_content"),
        log(53, "an action's text forged", |l| l.events[2].content[0] ^= 1, "tdx_event_content"),
        log(53, "the kernel's command line forged", |l| l.events[5].content[20] ^= 1, "tdx_event_content"),
        log(
            53,
            "a command line longer than measured",
            |l| {
                l.events[5].content.pop();
                l.events[5].content.extend(b" init=/bin/sh\0");
            },
            "tdx_event_content",
        ),
        log(53, "an action's text emptied", |l| l.events[2].content.clear(), "tdx_event_content"),
        log(
            53,
            "a variable's value under another firmware's type forged",
            |l| {
                l.events[0].event_type = 0x8000_0002;
                l.events[0].content[0] ^= 1;
            },
            "tdx_event_content",
        ),
        // No digest covers an event's type or GRUB's label. Relabelled as something whose digest is made
        // elsewhere, a forged text stays in the log, and is proved of nothing: no bound content holds it.
        forged("relabelled as EV_EVENT_TAG", |e| e.event_type = 6),
        forged("relabelled as EV_POST_CODE", |e| e.event_type = 1),
        forged("relabelled as EV_EFI_BOOT_SERVICES_APPLICATION", |e| e.event_type = 0x8000_0003),
        forged("under a label that is none of GRUB's", |e| e.content[6] = b'-'),
        bytes(
            52,
            "a log of 4 MiB and a byte",
            |m| m.event_log.resize((4 << 20) + 1, 0xff),
            "tdx_event_log_too_long",
        ),
        bytes(52, "a log cut short in its header", |m| m.event_log.truncate(20), "tdx_event_log_truncated"),
        bytes(52, "a log cut short in an event", |m| m.event_log.truncate(100), "tdx_event_log_truncated"),
        bytes(52, "no log but an empty file", |m| m.event_log.clear(), "tdx_event_log_truncated"),
        bytes(52, "a log of another specification", |m| m.event_log[32] ^= 1, "tdx_event_log_malformed"),
        bytes(
            52,
            "a log in JSON that gives a key twice",
            |m| {
                m.event_log =
                    br#"[{"imr":0,"imr":0,"event_type":3,"digest":"","event":"","event_payload":""}]"#
                        .to_vec()
            },
            "tdx_event_log_malformed",
        ),
    ]
}

/// A forged command line in a log that replays: verified, and the forged text is not among what is proved.
fn forged(how: &str, relabel: fn(&mut LoggedEvent)) -> Row {
    let change = move |log: &mut EventLog| {
        let event = &mut log.events[5];
        let at = event.content.iter().position(|byte| *byte == b'=').unwrap();
        event.content[at] = b'!';
        relabel(event);
    };
    row(
        53,
        format!("the kernel's command line forged, {how}: not among what is proved"),
        Change::EventLog(Box::new(change)),
        Expected::Fact(|v| {
            let log = v.event_log().unwrap();
            let bound = log.events().iter().filter_map(|event| event.bound_content());
            let claims = v.claims().event_log.unwrap();
            let shown = claims.contents.iter().filter_map(|event| event.text.as_deref());
            // One more than the name of the image, of which the digest was made elsewhere in the control too.
            claims.digest_only == 2
                && bound.into_iter().all(|content| !content.starts_with(b"console"))
                && shown.into_iter().all(|text| !text.contains("console"))
        }),
    )
}

/// A row whose log is other bytes.
fn bytes(clause: u8, what: &str, change: fn(&mut Minted), code: &'static str) -> Row {
    row(clause, what, Change::Minted(change), Expected::Code(code))
}
