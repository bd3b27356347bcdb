//! Framed streams.

use std::io::ErrorKind;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use vouchsafe_link::{Error, FramedStream, PAYLOAD_BYTES_MAX};

use crate::chopped::Chopped;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn script() -> impl Strategy<Value = Vec<usize>> {
    let step = prop_oneof![Just(0_usize), 1..8_usize, Just(1_000), Just(20_000)];
    (proptest::collection::vec(step, 0..6), 1..20_000_usize).prop_map(|(mut steps, last)| {
        steps.push(last);
        steps
    })
}

/// Bytes in pieces, as somebody writes them.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let length = prop_oneof![0..40_usize, PAYLOAD_BYTES_MAX - 1..PAYLOAD_BYTES_MAX + 2, Just(40_000)];
    let piece = (length, any::<u8>()).prop_map(|(length, seed)| {
        (0..length).map(|at| u8::try_from(at % 251).unwrap().wrapping_add(seed)).collect()
    });
    proptest::collection::vec(piece, 0..5)
}

/// All that can be read, then how reading ended.
async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (Vec<u8>, Result<(), Error>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 777];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return (bytes, Ok(())),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => return (bytes, Err(error.into())),
        }
    }
}

async fn parse(wire: &[u8]) -> (Vec<u8>, Result<(), Error>) {
    let (mut raw, near) = duplex(wire.len().max(1));
    raw.write_all(wire).await.unwrap();
    drop(raw);
    read_all(&mut FramedStream::new(near)).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn both_directions_arrive_whole_however_they_are_split(
        there in pieces(), back in pieces(), near in script(), far in script(), capacity in 1..40_000_usize,
    ) {
        block_on(async {
            let (a, b) = duplex(capacity);
            let mut a = FramedStream::new(Chopped::new(a, near));
            let mut b = FramedStream::new(Chopped::new(b, far));
            async fn send(to: &mut (impl tokio::io::AsyncWrite + Unpin), pieces: &[Vec<u8>]) {
                for piece in pieces {
                    to.write_all(piece).await.unwrap();
                    to.flush().await.unwrap();
                }
                to.shutdown().await.unwrap();
            }
            let (mut from_a, mut to_a) = tokio::io::split(&mut a);
            let (mut from_b, mut to_b) = tokio::io::split(&mut b);
            let ((), (), at_b, at_a) = tokio::join!(
                send(&mut to_a, &there), send(&mut to_b, &back), read_all(&mut from_b), read_all(&mut from_a),
            );
            prop_assert_eq!(at_b, (there.concat(), Ok(())));
            prop_assert_eq!(at_a, (back.concat(), Ok(())));
            Ok(())
        })?;
    }

    #[test]
    fn a_cut_anywhere_before_the_end_frame_is_told(pieces in pieces(), cut in any::<prop::sample::Index>()) {
        block_on(async {
            let (near, mut far) = duplex(1 << 20);
            let mut near = FramedStream::new(near);
            for piece in &pieces {
                near.write_all(piece).await.unwrap();
            }
            near.shutdown().await.unwrap();
            drop(near);
            let mut wire = Vec::new();
            far.read_to_end(&mut wire).await.unwrap();
            prop_assert_eq!(parse(&wire).await, (pieces.concat(), Ok(())));
            let (received, end) = parse(&wire[..cut.index(wire.len())]).await;
            prop_assert_eq!(end, Err(Error::Truncated));
            prop_assert!(pieces.concat().starts_with(&received));
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_end_in_an_end_or_a_named_error(wire in proptest::collection::vec(
        prop_oneof![4 => Just(0_u8), 1 => Just(0xff), 2 => any::<u8>()], 0..300,
    )) {
        let (received, end) = block_on(parse(&wire));
        prop_assert!(received.len() <= wire.len());
        let named = matches!(&end, Ok(()) | Err(Error::Truncated | Error::Aborted | Error::FrameLength { .. }));
        prop_assert!(named, "{:?}", end);
    }

    #[test]
    fn a_read_that_was_given_up_loses_nothing(pieces in pieces(), chops in script()) {
        block_on(async {
            let (near, far) = duplex(5_000);
            let mut near = FramedStream::new(near);
            let mut far = FramedStream::new(Chopped::new(far, chops));
            let sent = pieces.concat();
            let write = async {
                near.write_all(&sent).await.unwrap();
                near.shutdown().await.unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                let mut buffer = [0; 333];
                loop {
                    // Whichever is ready first; the other is dropped.
                    tokio::select! {
                        count = far.read(&mut buffer) => match count.unwrap() {
                            0 => return received,
                            count => received.extend_from_slice(&buffer[..count]),
                        },
                        () = tokio::task::yield_now() => {}
                    }
                }
            };
            let ((), received) = tokio::join!(write, read);
            prop_assert_eq!(received, sent);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn lengths_at_the_limits() {
    let frame =
        |length: u16| [length.to_be_bytes().as_slice(), &vec![7; usize::from(length)], &[0, 0]].concat();
    assert_eq!(parse(&frame(16_382)).await, (vec![7; 16_382], Ok(())));
    for length in [16_383, 0xfffe] {
        let refused = Error::FrameLength { length: usize::from(length), max: PAYLOAD_BYTES_MAX };
        assert_eq!(parse(&frame(length)).await, (Vec::new(), Err(refused)));
    }
    assert_eq!(parse(&[0, 1, 9, 0xff, 0xff, 0, 0]).await, (vec![9], Err(Error::Aborted)));
    // What follows the end frame belongs to nobody and does not disturb.
    assert_eq!(parse(&[0, 0, 0, 1, 9]).await, (Vec::new(), Ok(())));
}

#[tokio::test]
async fn an_error_stays() {
    let (raw, near) = duplex(64);
    drop(raw);
    let mut near = FramedStream::new(near);
    for _ in 0..3 {
        assert_eq!(near.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn one_direction_ends_while_the_other_goes_on() {
    let (a, b) = duplex(64);
    let (mut a, mut b) = (FramedStream::new(a), FramedStream::new(b));
    a.write_all(b"last words").await.unwrap();
    a.shutdown().await.unwrap();
    a.shutdown().await.unwrap();
    assert_eq!(a.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(read_all(&mut b).await, (b"last words".to_vec(), Ok(())));
    b.write_all(b"an answer").await.unwrap();
    b.abort().await.unwrap();
    assert_eq!(b.shutdown().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(read_all(&mut a).await, (b"an answer".to_vec(), Err(Error::Aborted)));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_stops_the_writer_at_a_bounded_amount() {
    let (near, far) = duplex(1000);
    let mut near = FramedStream::new(near);
    let mut accepted = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), near.write(&[1; 4000])).await {
        accepted += written.unwrap();
        assert!(
            accepted <= 2 * PAYLOAD_BYTES_MAX + 1000,
            "{accepted} bytes are held for a reader that does not read"
        );
    }
    let mut far = FramedStream::new(far);
    let (received, ()) = tokio::join!(read_all(&mut far), async { near.shutdown().await.unwrap() });
    assert_eq!(received, (vec![1; accepted], Ok(())));
}
