//! Response bodies: one piece, or a stream whose unfinished end is visible to the client.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Pieces that wait for a slow reader before the sender waits too.
const PIECES_MAX: usize = 64;

/// A response body.
#[derive(Debug)]
pub(crate) enum Body {
    /// One piece.
    Full(Bytes),
    /// Pieces as they are made.
    Stream(mpsc::Receiver<Piece>),
}

#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    End,
}

/// The stream was given up: the connection breaks off instead of ending as if all were said.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut")]
pub(crate) struct Cut;

/// Writes a streamed body.
#[derive(Debug)]
pub(crate) struct BodySender {
    pieces: mpsc::Sender<Piece>,
    stall_max: Duration,
}

/// The client is gone, or takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Body {
    /// A streamed body and its sender, which gives up after `stall_max` without progress.
    pub(crate) fn stream(stall_max: Duration) -> (BodySender, Self) {
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        (BodySender { pieces, stall_max }, Self::Stream(receiver))
    }
}

impl BodySender {
    /// Sends a piece.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.push(Piece::Data(piece.into())).await
    }

    /// Ends the body as complete. Without this it is cut.
    pub(crate) async fn end(self) -> Result<(), Gone> {
        self.push(Piece::End).await
    }

    /// Resolves when the client is gone.
    pub(crate) async fn gone(&self) {
        self.pieces.closed().await;
    }

    async fn push(&self, piece: Piece) -> Result<(), Gone> {
        timeout(self.stall_max, self.pieces.send(piece)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(pieces) => pieces.poll_recv(cx).map(|piece| match piece {
                Some(Piece::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Piece::End) => None,
                None => Some(Err(Cut)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_stream_ends_only_when_it_is_ended() {
        let (sender, body) = Body::stream(Duration::from_secs(1));
        sender.send("one").await.unwrap();
        sender.end().await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one");
        let (sender, body) = Body::stream(Duration::from_secs(1));
        sender.send("one").await.unwrap();
        drop(sender);
        assert!(body.collect().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (sender, body) = Body::stream(Duration::from_secs(30));
        let begun = tokio::time::Instant::now();
        let mut sent = 0;
        while sender.send("x").await.is_ok() {
            sent += 1;
        }
        assert_eq!((sent, begun.elapsed()), (PIECES_MAX, Duration::from_secs(30)));
        drop(body);
        sender.gone().await;
        assert_eq!(sender.send("x").await, Err(Gone));
    }
}
