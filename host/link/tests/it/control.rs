//! Control messages.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use vouchsafe_link::Error;
use vouchsafe_link::control::{
    BootId, EnclaveMessage, Health, Hello, HostMessage, Included, MESSAGE_BYTES_MAX, PROTOCOL, Receiver,
    Sender,
};

use crate::chopped::Chopped;

fn boot(digit: char) -> BootId {
    BootId::new(&digit.to_string().repeat(64)).unwrap()
}

fn messages() -> Vec<EnclaveMessage> {
    vec![
        EnclaveMessage::Hello(Hello::new("enclave 1")),
        EnclaveMessage::Loading { stage: "weights".into(), done: 1, total: u64::MAX },
        EnclaveMessage::Ready { boot: boot('a') },
        EnclaveMessage::Receipt {
            boot: boot('a'),
            seq: u64::MAX,
            envelope: "{\"payloadType\":\"ü\"}".into(),
        },
        EnclaveMessage::Record {
            boot: boot('a'),
            number: 0,
            leaf: "Ag==".into(),
            blobs: vec!["e30=".into()],
        },
        EnclaveMessage::Verified { boot: boot('a'), size: 7 },
        EnclaveMessage::Refused { boot: boot('a'), size: 7, code: "checkpoint_not_newer".into() },
        EnclaveMessage::Health(Health {
            ready: true,
            draining: false,
            boot: Some(boot('0')),
            sessions: 1,
            active: 2,
            queued: 3,
            queue_max: 4,
            receipts_unacknowledged: 5,
        }),
        EnclaveMessage::Failed { code: "gguf_truncated".into(), message: "x".repeat(40_000) },
    ]
}

async fn receive(wire: &[u8]) -> Result<Option<HostMessage>, Error> {
    Receiver::new(wire).receive().await
}

fn wire(json: &str) -> Vec<u8> {
    [u32::try_from(json.len()).unwrap().to_be_bytes().as_slice(), json.as_bytes()].concat()
}

#[tokio::test]
async fn messages_arrive_as_they_were_sent_and_reads_may_be_given_up() {
    let (near, far) = duplex(100);
    let far = Chopped::new(far, vec![1, 0, 3, 0, 0, 50]);
    let write = async {
        let mut sender = Sender::new(near);
        for message in messages() {
            sender.send(&message).await.unwrap();
        }
        sender.finish().await.unwrap();
        sender
    };
    let read = async {
        let mut receiver = Receiver::new(far);
        let mut received = Vec::new();
        loop {
            tokio::select! {
                message = receiver.receive::<EnclaveMessage>() => match message.unwrap() {
                    Some(message) => received.push(message),
                    None => break,
                },
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(receiver.receive::<EnclaveMessage>().await, Ok(None), "the end stays");
        received
    };
    let (_sender, received) = tokio::join!(write, read);
    assert_eq!(received, messages());
}

#[tokio::test]
async fn the_wire_format_is_pinned() {
    let (near, mut far) = duplex(1000);
    let mut sender = Sender::new(near);
    sender.send(&HostMessage::ReceiptAck { boot: boot('e'), seq: 7 }).await.unwrap();
    sender.send(&HostMessage::HealthRequest {}).await.unwrap();
    let leaves = vec![Included { hash: "00".repeat(32), index: 3, path: vec!["AA==".into()] }];
    let inclusion = HostMessage::Inclusion { note: "n".into(), from: 2, consistency: Vec::new(), leaves };
    sender.send(&inclusion).await.unwrap();
    sender.finish().await.unwrap();
    drop(sender);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    let ack = format!(r#"{{"type":"receipt_ack","boot":"{}","seq":7}}"#, "e".repeat(64));
    let inclusion = format!(
        r#"{{"type":"inclusion","note":"n","from":2,"consistency":[],"leaves":[{{"hash":"{}","index":3,"path":["AA=="]}}]}}"#,
        "00".repeat(32),
    );
    let expected = [wire(&ack), wire(r#"{"type":"health_request"}"#), wire(&inclusion), vec![0; 4]];
    assert_eq!(bytes, expected.concat());
}

#[tokio::test]
async fn what_no_sender_writes_is_refused_by_name() {
    let malformed = [
        r#"{}"#,
        r#"{"type":"unheard_of"}"#,
        r#"{"type":"drain","more":1}"#,
        r#"{"type":"drain","type":"drain"}"#,
        r#"{"type":"receipt_ack","boot":"A","seq":1}"#,
        r#"{"type":"receipt_ack","boot":"0","seq":1}"#,
        r#"{"type":"endorsements","json":"a","json":"b"}"#,
        r#"{"type":"checkpoint","note":"n","from":-1,"consistency":[]}"#,
        r#"{"type":"checkpoint","note":"n","from":0,"consistency":[],"more":1}"#,
        r#"{"type":"inclusion","note":"n","from":0,"consistency":[]}"#,
        r#"{"type":"drain"} {}"#,
        r#" {"type":"drain"}"#,
        r#"["drain"]"#,
        "\u{0}",
    ];
    for json in malformed {
        let result = receive(&wire(json)).await;
        assert!(matches!(result, Err(Error::MessageMalformed(_))), "{json}: {result:?}");
    }
    let deep = format!(r#"{{"type":{}"#, "[".repeat(100_000));
    assert!(matches!(receive(&wire(&deep)).await, Err(Error::MessageMalformed(_))));
    let length = MESSAGE_BYTES_MAX + 1;
    let claimed = u32::try_from(length).unwrap().to_be_bytes();
    assert_eq!(receive(&claimed).await, Err(Error::MessageLength { length, max: MESSAGE_BYTES_MAX }));
    for cut in [b"".as_slice(), &[0, 0, 0], &[0, 0, 0, 2, b'{'], &[0, 0x10, 0, 0, b'{']] {
        assert_eq!(receive(cut).await, Err(Error::Truncated), "{cut:?}");
    }
}

#[tokio::test]
async fn a_message_too_long_is_not_begun() {
    let (near, mut far) = duplex(1000);
    let mut sender = Sender::new(near);
    let refused = sender.send(&HostMessage::Endorsements { json: "x".repeat(MESSAGE_BYTES_MAX) }).await;
    assert!(matches!(refused, Err(Error::MessageLength { max: MESSAGE_BYTES_MAX, .. })), "{refused:?}");
    sender.finish().await.unwrap();
    drop(sender);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, [0; 4]);
}

#[tokio::test]
async fn the_longest_message_passes() {
    let (near, far) = duplex(100_000);
    let shell = r#"{"type":"endorsements","json":""}"#.len();
    let message = HostMessage::Endorsements { json: "x".repeat(MESSAGE_BYTES_MAX - shell) };
    let (mut sender, mut receiver) = (Sender::new(near), Receiver::new(far));
    let (sent, received) = tokio::join!(sender.send(&message), receiver.receive());
    assert_eq!((sent, received), (Ok(()), Ok(Some(message))));
}

#[test]
fn another_protocol_version_is_refused() {
    assert_eq!(Hello::new("x").check(), Ok(()));
    let found = PROTOCOL + 1;
    let hello = Hello { protocol: found, software: String::new() };
    assert_eq!(hello.check(), Err(Error::Protocol { found, known: PROTOCOL }));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_an_end_or_a_named_error(
        length in prop_oneof![0..64_u32, any::<u32>()], body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let bytes = [length.to_be_bytes().as_slice(), &body].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(receive(&bytes));
        let (mut near, far) = duplex(1000);
        runtime.block_on(async {
            near.write_all(&bytes).await.unwrap();
            drop(near);
            let _ = Receiver::new(far).receive::<EnclaveMessage>().await;
        });
    }
}
