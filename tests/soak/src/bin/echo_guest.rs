//! A guest that sends back what it gets: in the place of the enclave program, to try the link alone.
//!
//! Process 1 of an image that `vouchsafe-image` builds, with the same start as the enclave program.

use std::process::ExitCode;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use vouchsafe_link::{Endpoint, FramedStream, Listener, SESSION_PORT};

/// Read at once; twice what one write may be.
const BUFFER_BYTES: usize = 32 * 1024;

fn main() -> ExitCode {
    if !vouchsafe_init::is_init() {
        // The image builder asks which models are on the disk: none that this program knows.
        println!("[]");
        return ExitCode::SUCCESS;
    }
    match vouchsafe_init::prepare() {
        Ok(_) => serve(),
        Err(error) => eprintln!("vouchsafe-echo-guest: error[{}]: {error}", error.code()),
    }
    vouchsafe_init::power_off()
}

#[tokio::main(flavor = "multi_thread")]
async fn serve() {
    let mut listener = match Listener::bind(&Endpoint::Vsock(u32::MAX)).await {
        Ok(listener) => listener,
        Err(error) => return eprintln!("vouchsafe-echo-guest: error[link]: {error}"),
    };
    loop {
        let (port, stream) = listener.accept().await;
        if port == SESSION_PORT {
            tokio::spawn(echo(FramedStream::new(stream)));
        }
    }
}

async fn echo<S>(stream: FramedStream<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut reader, mut writer) = split(stream);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) if writer.write_all(&buffer[..count]).await.is_ok() && writer.flush().await.is_ok() => {
            }
            // What was lost shows at the other end, which waits for it.
            Ok(_) | Err(_) => return,
        }
    }
    let _ = writer.shutdown().await;
}
