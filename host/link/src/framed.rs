//! A byte stream with explicit ends, over a transport whose own ends cannot be trusted.
//!
//! Each direction is a sequence of frames: a 2-byte big-endian length, then so many bytes. Lengths
//! 1 to [`PAYLOAD_BYTES_MAX`] carry data, so that frame and header fit one write of 16 KiB; length 0
//! ends the direction, 0xffff aborts it, all others are refused. A transport that ends without an
//! end frame was cut: reading gives [`Error::Truncated`], never an end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Error, WRITE_BYTES_MAX};

/// Most payload bytes of one frame.
pub const PAYLOAD_BYTES_MAX: usize = WRITE_BYTES_MAX - HEADER_BYTES;
const HEADER_BYTES: usize = 2;
const END: [u8; HEADER_BYTES] = [0, 0];
const ABORT: [u8; HEADER_BYTES] = [0xff, 0xff];

/// Frames a byte stream over `S`.
///
/// Reading ends (0 bytes) at the other side's end frame. `poll_shutdown` ends the own direction and
/// leaves the other one and the transport open, which closes when the value is dropped: a value that
/// is dropped before its shutdown is, to the other side, a truncated stream. Holds at most one frame
/// in each direction; reads and writes are cancel-safe.
#[derive(Debug)]
pub struct FramedStream<S> {
    transport: S,
    reader: Reader,
    writer: Writer,
}

impl<S> FramedStream<S> {
    /// Frames over `transport`, from its current position in both directions.
    pub fn new(transport: S) -> Self {
        Self { transport, reader: Reader::default(), writer: Writer::default() }
    }
}

impl<S: AsyncWrite + Unpin> FramedStream<S> {
    /// Tells the other side that this direction will not be completed. Its reads fail with
    /// [`Error::Aborted`] after the data before.
    ///
    /// # Errors
    /// The transport's, or when the direction had ended before.
    pub async fn abort(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.writer.poll_close(&mut self.transport, cx, ABORT)).await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FramedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.reader.poll_read(&mut this.transport, cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FramedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.writer.poll_write(&mut this.transport, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.writer.poll_drain(&mut this.transport, cx))?;
        Pin::new(&mut this.transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.writer.poll_close(&mut this.transport, cx, END)
    }
}

/// Where reading stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reading {
    /// So many payload bytes of the current frame are still to come; 0: a header comes next.
    Payload(usize),
    /// The end frame was read.
    Ended,
    /// Nothing further can be read, for this reason.
    Failed(Error),
}

#[derive(Debug)]
struct Reader {
    state: Reading,
    /// Bytes received and not parsed: `buffer[start..]`. At most one write's worth.
    buffer: Vec<u8>,
    start: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { state: Reading::Payload(0), buffer: Vec::new(), start: 0 }
    }
}

impl Reader {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        transport: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.advance(buf) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            match ready!(self.poll_fill(transport, cx)) {
                Ok(0) => return Poll::Ready(Err(self.fail(Error::Truncated))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error.into()))),
            }
        }
    }

    /// Gives data or the end if the buffered bytes hold either (`true`), else asks for more (`false`).
    fn advance(&mut self, out: &mut ReadBuf<'_>) -> Result<bool, Error> {
        loop {
            let unread = self.buffer.get(self.start..).unwrap_or_default();
            match &mut self.state {
                Reading::Failed(error) => return Err(error.clone()),
                Reading::Ended => return Ok(true),
                Reading::Payload(0) => {
                    let Some(header) = unread.first_chunk::<HEADER_BYTES>() else { return Ok(false) };
                    self.state = parse_header(*header)?;
                    self.start = self.start.saturating_add(HEADER_BYTES);
                }
                Reading::Payload(left) => {
                    let count = unread.len().min(*left).min(out.remaining());
                    let Some(data @ [_, ..]) = unread.get(..count) else { return Ok(false) };
                    out.put_slice(data);
                    *left = left.saturating_sub(count);
                    self.start = self.start.saturating_add(count);
                    return Ok(true);
                }
            }
        }
    }

    fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        transport: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // What is unread here is less than a header, so moving it costs nothing.
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let filled = self.buffer.len();
        self.buffer.resize(WRITE_BYTES_MAX, 0);
        let mut space = ReadBuf::new(self.buffer.get_mut(filled..).unwrap_or_default());
        let result = Pin::new(transport).poll_read(cx, &mut space);
        let count = space.filled().len();
        self.buffer.truncate(filled.saturating_add(count));
        result.map_ok(|()| count)
    }

    fn fail(&mut self, error: Error) -> io::Error {
        self.state = Reading::Failed(error.clone());
        error.into()
    }
}

fn parse_header(header: [u8; HEADER_BYTES]) -> Result<Reading, Error> {
    if header == ABORT {
        return Err(Error::Aborted);
    }
    match usize::from(u16::from_be_bytes(header)) {
        0 => Ok(Reading::Ended),
        length if length <= PAYLOAD_BYTES_MAX => Ok(Reading::Payload(length)),
        length => Err(Error::FrameLength { length, max: PAYLOAD_BYTES_MAX }),
    }
}

/// What was accepted for writing and not yet given to the transport: at most one frame.
#[derive(Debug, Default)]
struct Writer {
    frame: Vec<u8>,
    written: usize,
    closed: Option<[u8; HEADER_BYTES]>,
}

impl Writer {
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        transport: &mut S,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.closed.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_drain(transport, cx))?;
        let payload = data.get(..PAYLOAD_BYTES_MAX).unwrap_or(data);
        // A length of 0 would be the end frame.
        let Ok(length @ 1..) = u16::try_from(payload.len()) else { return Poll::Ready(Ok(0)) };
        self.frame.extend_from_slice(&length.to_be_bytes());
        self.frame.extend_from_slice(payload);
        // Accepted: from here on only the transport's failure can lose it, and the next call tells.
        match self.poll_drain(transport, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(payload.len())),
        }
    }

    fn poll_drain<S: AsyncWrite + Unpin>(
        &mut self,
        transport: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.frame.get(self.written..) {
            match ready!(Pin::new(&mut *transport).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written = self.written.saturating_add(count),
            }
        }
        self.frame.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Ends the direction with `closing` and flushes it out. The transport itself stays open, because
    /// its half-close may be a full one.
    fn poll_close<S: AsyncWrite + Unpin>(
        &mut self,
        transport: &mut S,
        cx: &mut Context<'_>,
        closing: [u8; HEADER_BYTES],
    ) -> Poll<io::Result<()>> {
        match self.closed {
            None => {
                // At most a frame is pending, so two bytes more keep the bound.
                self.frame.extend_from_slice(&closing);
                self.closed = Some(closing);
            }
            Some(before) if before != closing => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(_) => {}
        }
        ready!(self.poll_drain(transport, cx))?;
        Pin::new(transport).poll_flush(cx)
    }
}
