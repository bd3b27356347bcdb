//! The line that names a port on a transport that has one address only, and its answer.
//!
//! The same as user-space vsock backends speak: `CONNECT <port>\n`, then `OK <n>\n`. Lines are read
//! byte by byte, so that no byte after them is swallowed, and are at most [`LINE_BYTES_MAX`] long.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::Port;

/// Longest line of the preamble, line end included.
const LINE_BYTES_MAX: usize = 32;

/// Asks for a port. Gives what came instead of the answer as the inner error.
pub(crate) async fn ask<S>(stream: &mut S, port: Port) -> io::Result<Result<(), String>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
    stream.flush().await?;
    let line = match read_line(stream).await {
        Ok(line) => line,
        Err(error) if closed(error.kind()) => return Ok(Err(String::new())),
        Err(error) => return Err(error),
    };
    Ok(line.strip_prefix("OK ").and_then(number).map(|_| ()).ok_or(line))
}

/// Reads which port the other side asks for; the inner error is what came instead.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Result<Port, String>> {
    let line = read_line(stream).await?;
    Ok(line.strip_prefix("CONNECT ").and_then(number).map(Port).ok_or(line))
}

/// Grants the port that was asked for.
pub(crate) async fn grant<S: AsyncWrite + Unpin>(stream: &mut S, port: Port) -> io::Result<()> {
    stream.write_all(format!("OK {port}\n").as_bytes()).await?;
    stream.flush().await
}

fn closed(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Decimal digits only: Rust's own parser would also take a sign.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A line without its end; whatever it holds that is not ASCII is replaced.
async fn read_line<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        let byte = stream.read_u8().await?;
        if byte == b'\n' || line.len() >= LINE_BYTES_MAX {
            return Ok(line
                .iter()
                .map(|b: &u8| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '?' })
                .collect());
        }
        line.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn request(bytes: &[u8]) -> io::Result<Result<Port, String>> {
        read_request(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn only_a_decimal_port_is_a_request() {
        assert_eq!(request(b"CONNECT 5000\nrest").await.unwrap(), Ok(Port(5000)));
        for refused in [
            b"CONNECT \n".as_slice(),
            b"CONNECT +5\n",
            b"CONNECT 4294967296\n",
            b"connect 5\n",
            b"CONNECT 5\r\n",
            b"\n",
        ] {
            assert!(request(refused).await.unwrap().is_err(), "{refused:?}");
        }
        assert_eq!(request(&[b'C'; 4000]).await.unwrap(), Err("C".repeat(LINE_BYTES_MAX)));
        assert_eq!(request(b"CONNECT 5").await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn nothing_after_the_answer_is_swallowed() {
        let (mut host, mut enclave) = tokio::io::duplex(64);
        let enclave = tokio::spawn(async move {
            let port = read_request(&mut enclave).await.unwrap().unwrap();
            grant(&mut enclave, port).await.unwrap();
            enclave.write_all(b"first bytes").await.unwrap();
        });
        assert_eq!(ask(&mut host, Port(7)).await.unwrap(), Ok(()));
        let mut rest = Vec::new();
        host.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"first bytes");
        enclave.await.unwrap();
    }
}
