//! A transport that moves a few bytes at a time and is often not ready.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Moves at most as many bytes per call as its script says; a step of 0 is "not ready yet". The
/// script repeats.
pub(crate) struct Chopped<S> {
    inner: S,
    script: Vec<usize>,
    step: usize,
}

impl<S> Chopped<S> {
    pub(crate) fn new(inner: S, script: Vec<usize>) -> Self {
        assert!(script.iter().any(|step| *step > 0), "a script of nothing but waiting never ends");
        Self { inner, script, step: 0 }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let step = self.script[self.step % self.script.len()];
        self.step += 1;
        if step == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(step)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Chopped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let step = std::task::ready!(self.next(cx));
        let mut part = vec![0; step.min(buf.remaining())];
        let mut part = ReadBuf::new(&mut part);
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Chopped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let step = std::task::ready!(self.next(cx));
        Pin::new(&mut self.inner).poll_write(cx, &buf[..step.min(buf.len())])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        panic!("the link must not half-close its transport");
    }
}
