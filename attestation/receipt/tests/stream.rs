//! The chain over a streamed answer, its signed records, and the framing it relies on.

mod common;

use common::Signer;
use proptest::prelude::*;
use vouchsafe_receipt::PayloadType;
use vouchsafe_receipt::stream::{Head, StreamHead, StreamStart, comments, data_payloads, is_plain};
use vouchsafe_verifier::crypto::{Crypto, Ring};

fn chain(start: &vouchsafe_receipt::Envelope, events: &[&[u8]]) -> Head {
    events.iter().fold(Head::begin(start, &Ring), |head, event| head.extend(event, &Ring))
}

#[test]
fn the_chain_is_what_the_documentation_says() {
    let signer = Signer::new();
    let start = signer.sign(PayloadType::StreamStart, &signer.start_payload().to_bytes());
    let first = Ring.sha256(&[b"vouchsafe/stream/v1\0".as_slice(), &Ring.sha256(&start.pae())].concat());
    let second = Ring.sha256(&[&[1_u8], first.as_slice(), &[0, 0, 0, 0, 0, 0, 0, 2], b"ab"].concat());
    let head = chain(&start, &[b"ab"]);
    assert_eq!((head.events, head.value), (1, second));
    assert_eq!(head.committed(), [[0, 0, 0, 0, 0, 0, 0, 1].as_slice(), &second].concat());
}

#[test]
fn the_chain_depends_on_every_event_their_order_their_borders_and_the_start() {
    let signer = Signer::new();
    let start = signer.sign(PayloadType::StreamStart, &signer.start_payload().to_bytes());
    let mut other = signer.start_payload();
    other.stream.0[0] ^= 1;
    let other = signer.sign(PayloadType::StreamStart, &other.to_bytes());
    let head = chain(&start, &[b"ab", b"c", b"[DONE]"]);
    let different: [Head; 6] = [
        chain(&start, &[b"ab", b"c"]),
        chain(&start, &[b"c", b"ab", b"[DONE]"]),
        chain(&start, &[b"a", b"bc", b"[DONE]"]),
        chain(&start, &[b"abc", b"[DONE]"]),
        chain(&start, &[b"ab", b"c", b"[DONE]", b""]),
        chain(&other, &[b"ab", b"c", b"[DONE]"]),
    ];
    for changed in different {
        assert_ne!(changed.value, head.value);
    }
    assert_eq!(chain(&start, &[b"ab", b"c", b"[DONE]"]), head);
}

#[test]
fn records_verify_as_what_they_are_and_as_nothing_else() {
    let (signer, other) = (Signer::new(), Signer::new());
    let start = signer.sign(PayloadType::StreamStart, &signer.start_payload().to_bytes());
    let head = signer.sign(PayloadType::StreamHead, &signer.head_payload().to_bytes());
    assert_eq!(StreamStart::verify(&start, &signer.key, &Ring).unwrap(), signer.start_payload());
    assert_eq!(StreamHead::verify(&head, &signer.key, &Ring).unwrap(), signer.head_payload());
    assert_eq!(StreamHead::verify(&start, &signer.key, &Ring).unwrap_err().code(), "payload_type_wrong");
    assert_eq!(StreamStart::verify(&head, &signer.key, &Ring).unwrap_err().code(), "payload_type_wrong");
    assert_eq!(StreamStart::verify(&start, &other.key, &Ring).unwrap_err().code(), "receipt_key_mismatch");
}

#[test]
fn signed_nonsense_is_refused() {
    let signer = Signer::new();
    let head = String::from_utf8(signer.head_payload().to_bytes()).unwrap();
    let cases = [
        (head.replace(r#""events":2"#, r#""events":9007199254740992"#), "payload_malformed"),
        (head.replace(r#""version":1"#, r#""version":2"#), "version_unknown"),
        (head.replace(r#""events":2"#, r#""events": 2"#), "payload_not_canonical"),
        (head.replace(r#""events":2"#, r#""events":2,"events":2"#), "payload_malformed"),
        (head.replace(r#""events":2,"#, ""), "payload_malformed"),
    ];
    for (payload, code) in cases {
        assert_ne!(payload, head);
        let envelope = signer.sign(PayloadType::StreamHead, payload.as_bytes());
        assert_eq!(StreamHead::verify(&envelope, &signer.key, &Ring).unwrap_err().code(), code, "{payload}");
    }
    let mut foreign = signer.start_payload();
    foreign.boot.0[0] ^= 1;
    let envelope = signer.sign(PayloadType::StreamStart, &foreign.to_bytes());
    assert_eq!(StreamStart::verify(&envelope, &signer.key, &Ring).unwrap_err().code(), "boot_mismatch");
}

#[test]
fn payloads_and_comments_are_told_apart() {
    let text = b": vouchsafe-stream-start abc\r\n\r\ndata: one\n\n: other def\ndata:two\n\ndata:  three\n\n";
    let payloads: Vec<_> = data_payloads(text).collect();
    assert_eq!(payloads, [b"one".as_slice(), b"two", b" three"]);
    let found: Vec<_> = comments(text, "vouchsafe-stream-start").collect();
    assert_eq!(found, [b"abc"]);
    assert_eq!(comments(text, "vouchsafe-stream").count(), 0, "a name is matched whole");
    assert!(is_plain(text));
}

#[test]
fn framing_that_readers_understand_differently_is_not_plain() {
    for plain in
        ["", "data: a\n\n", "data: a\n\n: c\n\ndata: b", ": c\n\n", "data: a\r\n\r\n", ":c\ndata: a\n:d\n\n"]
    {
        assert!(is_plain(plain.as_bytes()), "{plain:?}");
    }
    for other in [
        "data: a\ndata: b\n\n",
        "data: a\n: comment\ndata: b\n\n",
        "event: x\ndata: a\n\n",
        "id: 1\n\n",
        "data\n\n",
        " data: a\n\n",
        "data: a\rdata: b\n\n",
        ": c\rdata: a\n\n",
        "\u{feff}data: a\n\n",
    ] {
        assert!(!is_plain(other.as_bytes()), "{other:?}");
    }
}

proptest! {
    #[test]
    fn what_is_framed_is_read_back(events in prop::collection::vec("[^\r\n]{0,40}", 0..20), crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let text: String = events.iter().map(|event| format!("data: {event}{end}: pad{end}{end}")).collect();
        prop_assert!(is_plain(text.as_bytes()));
        let read: Vec<_> = data_payloads(text.as_bytes()).collect();
        let written: Vec<_> = events.iter().map(|event| event.as_bytes()).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = is_plain(&text);
        prop_assert!(data_payloads(&text).count() <= text.len());
        prop_assert!(comments(&text, "x").count() <= text.len());
    }
}
