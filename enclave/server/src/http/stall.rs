//! A stream that gives up on a peer who takes nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Fails writing when a write, flush or shutdown makes no progress for a given time.
#[derive(Debug)]
pub(crate) struct StallLimited<S> {
    stream: S,
    max: Duration,
    /// Running while the last operation was left pending.
    timer: Pin<Box<Sleep>>,
    waiting: bool,
}

impl<S> StallLimited<S> {
    pub(crate) fn new(stream: S, max: Duration) -> Self {
        Self { stream, max, timer: Box::pin(sleep(max)), waiting: false }
    }

    /// Passes on what is ready; starts or checks the timer for what is not.
    fn limit<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = false;
            return polled;
        }
        if !self.waiting {
            self.waiting = true;
            if let Some(deadline) = Instant::now().checked_add(self.max) {
                self.timer.as_mut().reset(deadline);
            }
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallLimited<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallLimited<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.limit(polled, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.limit(polled, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.limit(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn writing_to_someone_who_does_not_read_fails_in_time() {
        let (near, _far) = tokio::io::duplex(16);
        let mut near = StallLimited::new(near, Duration::from_secs(30));
        near.write_all(&[0; 16]).await.unwrap();
        let begun = Instant::now();
        let error = near.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, Duration::from_secs(30)));
        assert!(near.write_all(&[0; 1]).await.is_err(), "whoever was given up on stays so");
        // Somebody slow, but not too slow, is served.
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = StallLimited::new(near, Duration::from_secs(30));
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 8];
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
            far
        });
        near.write_all(&[0; 72]).await.unwrap();
        reader.await.unwrap();
    }
}
