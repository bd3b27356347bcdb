//! The socket that a guest's requests arrive on: 64 bytes in, a length and JSON out.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::Error;

/// Longest wait for a request's bytes, and for the guest to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers requests, one at a time as hardware does, for ever. Says `ready` on standard output once the
/// socket is there.
pub(crate) fn run(
    socket: &Path,
    mut attest: impl FnMut([u8; 64]) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    let io = |source| Error::Io { path: socket.to_path_buf(), source };
    let listener = UnixListener::bind(socket).map_err(io)?;
    println!("ready");
    for stream in listener.incoming() {
        // One guest's fault is not the next request's.
        if let Err(error) = stream.map_err(io).and_then(|stream| answer(stream, &mut attest)) {
            eprintln!("vouchsafe-processor-sim: a request: {error}");
        }
    }
    Ok(())
}

fn answer(
    mut stream: UnixStream,
    attest: &mut impl FnMut([u8; 64]) -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    let io = |source| Error::Io { path: "the guest's connection".into(), source };
    stream.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(io)?;
    let mut report_data = [0; 64];
    stream.read_exact(&mut report_data).map_err(io)?;
    let json = attest(report_data)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    stream.write_all(&length.to_be_bytes()).and_then(|()| stream.write_all(&json)).map_err(io)?;
    // The guest reads to the end of the answer and then closes: closing here first could cut it short.
    let mut end = [0; 1];
    let _ = stream.read(&mut end);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn requests_are_answered_and_a_bad_one_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let path = socket.clone();
        thread::spawn(move || run(&path, |report_data| Ok(report_data.to_vec())));
        let connect = || loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => return stream,
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut short = connect();
        short.write_all(&[1; 10]).unwrap();
        drop(short);
        let mut stream = connect();
        stream.write_all(&[7; 64]).unwrap();
        let mut answer = [0; 68];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..4], 64u32.to_be_bytes());
        assert_eq!(answer[4..], [7; 64]);
    }
}
