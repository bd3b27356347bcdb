//! One connection of whichever transport.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection between host and enclave, after its port was agreed.
///
/// Do not rely on its half-close: over vsock a host's half-close acts as a full one. That is what
/// [`crate::FramedStream`] and [`crate::control`] are for.
#[derive(Debug)]
#[non_exhaustive]
pub enum RawStream {
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
    /// Over vsock.
    #[cfg(target_os = "linux")]
    Vsock(tokio_vsock::VsockStream),
}

macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Unix($stream) => $call,
            Self::Tcp($stream) => $call,
            #[cfg(target_os = "linux")]
            Self::Vsock($stream) => $call,
        }
    };
}

impl AsyncRead for RawStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // A longer write could be lost by a guest kernel; the caller writes the rest next.
        let capped = buf.get(..crate::WRITE_BYTES_MAX).unwrap_or(buf);
        forward!(self, stream => Pin::new(stream).poll_write(cx, capped))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
