//! The host's quote generation service: a TD report in, a quote out.
//!
//! Messages as Intel's service speaks them (`qgs_msg_lib` of the DCAP libraries): a length of 4 bytes, big-endian; a
//! header of 16 bytes and a body, in little-endian numbers. The host answers, so that nothing of it is believed: the
//! quote is judged by whoever relies on it, and here only its length is bounded.

use std::io::{self, Read, Write};
use std::time::Duration;

use vsock::{VMADDR_CID_HOST, VsockAddr, VsockStream};

use super::Refusal;
use super::tdx_guest::TD_REPORT_BYTES;
use crate::AttestError;

/// Where the service listens on the host, by vsock.
const PORT: u32 = 4050;
/// Longest wait for the service to take or give the next bytes.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Longest answer: the kernel's own bound for quotes is 32 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const HEADER_BYTES: usize = 16;
const MAJOR: u16 = 1;
const MINOR: u16 = 0;
/// `GET_QUOTE_REQ` and `GET_QUOTE_RESP`.
const REQUEST: u32 = 0;
const ANSWER: u32 = 1;

/// A connection to the service, with bounded times for reading and writing.
pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

/// Makes one.
pub(crate) type Connect = dyn Fn() -> io::Result<Box<dyn Connection>> + Send + Sync;

/// The way to the service on the host that runs this guest.
pub(crate) fn connect_by_vsock() -> io::Result<Box<dyn Connection>> {
    let stream = VsockStream::connect(&VsockAddr::new(VMADDR_CID_HOST, PORT))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(Box::new(stream))
}

/// A quote on a TD report.
pub(crate) fn quote(connect: &Connect, report: &[u8; TD_REPORT_BYTES]) -> Result<Vec<u8>, Refusal> {
    let answer = exchange(connect, &request(report)).map_err(|error| match error.kind() {
        // The service is being started again, or has much to do.
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::TimedOut
        | io::ErrorKind::WouldBlock
        | io::ErrorKind::Interrupted => Refusal::Busy(format!("the quote generation service: {error}")),
        _ => failed(&error.to_string()),
    })?;
    parse(&answer)
}

fn request(report: &[u8; TD_REPORT_BYTES]) -> Vec<u8> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // The report's length, no list of ids, then the report.
    let body = [&number(TD_REPORT_BYTES).to_le_bytes(), &0_u32.to_le_bytes(), report.as_slice()].concat();
    let size = number(HEADER_BYTES.saturating_add(body.len()));
    let mut message = size.to_be_bytes().to_vec();
    message.extend_from_slice(&MAJOR.to_le_bytes());
    message.extend_from_slice(&MINOR.to_le_bytes());
    message.extend_from_slice(&REQUEST.to_le_bytes());
    message.extend_from_slice(&size.to_le_bytes());
    message.extend_from_slice(&0_u32.to_le_bytes());
    message.extend_from_slice(&body);
    message
}

fn exchange(connect: &Connect, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut connection = connect()?;
    connection.write_all(request)?;
    connection.flush()?;
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer)?;
    Ok(answer)
}

/// The quote in an answer.
fn parse(answer: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut rest = answer;
    let (major, _minor) = (short(&mut rest)?, short(&mut rest)?);
    let (kind, size, error) = (long(&mut rest)?, long(&mut rest)?, long(&mut rest)?);
    if (major, kind) != (MAJOR, ANSWER) {
        return Err(failed(&format!("an answer of version {major} and kind {kind}")));
    }
    if error != 0 {
        return Err(failed(&format!("it refuses with {error:#x}")));
    }
    if usize::try_from(size).ok() != Some(answer.len()) {
        return Err(failed("an answer whose length is another than it says"));
    }
    let (id, quote) = (long(&mut rest)?, long(&mut rest)?);
    let is_whole = |id: usize, quote: usize| id.checked_add(quote) == Some(rest.len());
    match (usize::try_from(id), usize::try_from(quote)) {
        (Ok(id), Ok(quote)) if quote > 0 && is_whole(id, quote) => {
            Ok(rest.split_off(id..).unwrap_or(&[]).to_vec())
        }
        _ => Err(failed("an answer whose parts are not as long as it says")),
    }
}

fn short(rest: &mut &[u8]) -> Result<u16, Refusal> {
    take(rest).map(u16::from_le_bytes)
}

fn long(rest: &mut &[u8]) -> Result<u32, Refusal> {
    take(rest).map(u32::from_le_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Refusal> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or_else(|| failed("an answer cut short"))?;
    *rest = left;
    Ok(*taken)
}

fn failed(problem: &str) -> Refusal {
    Refusal::Failed(AttestError::Failed(format!("the quote generation service: {problem}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    const REPORT: [u8; TD_REPORT_BYTES] = [7; TD_REPORT_BYTES];

    fn answer(kind: u32, error: u32, id: &[u8], quote: &[u8]) -> Vec<u8> {
        let size = u32::try_from(24 + id.len() + quote.len()).unwrap();
        let mut answer = [1_u16.to_le_bytes(), 0_u16.to_le_bytes()].concat();
        let lengths = [id.len(), quote.len()].map(|length| u32::try_from(length).unwrap());
        for number in [kind, size, error, lengths[0], lengths[1]] {
            answer.extend_from_slice(&number.to_le_bytes());
        }
        [&answer, id, quote].concat()
    }

    /// Asks a service that checks the request and answers with these bytes.
    fn ask(answer: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let connect = move || {
            let (ours, mut theirs) = UnixStream::pair()?;
            let answer = answer.clone();
            thread::spawn(move || {
                let mut request = vec![0; 4 + 16 + 8 + TD_REPORT_BYTES];
                theirs.read_exact(&mut request).unwrap();
                assert_eq!(request[..4], 1048_u32.to_be_bytes());
                assert_eq!(request[4..20], [1, 0, 0, 0, 0, 0, 0, 0, 0x18, 4, 0, 0, 0, 0, 0, 0]);
                assert_eq!(request[20..28], [0, 4, 0, 0, 0, 0, 0, 0]);
                assert_eq!(request[28..], REPORT);
                // One that stopped listening has heard enough.
                let _ = theirs.write_all(&answer);
            });
            Ok(Box::new(ours) as Box<dyn Connection>)
        };
        quote(&connect, &REPORT)
    }

    fn framed(answer: &[u8]) -> Vec<u8> {
        [&u32::try_from(answer.len()).unwrap().to_be_bytes(), answer].concat()
    }

    #[test]
    fn a_quote_comes_back() {
        assert_eq!(ask(framed(&answer(1, 0, &[], b"quote"))), Ok(b"quote".to_vec()));
        assert_eq!(ask(framed(&answer(1, 0, &[1; 16], b"quote"))), Ok(b"quote".to_vec()));
    }

    #[test]
    fn whatever_else_the_host_answers_is_refused() {
        let good = answer(1, 0, &[], b"quote");
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            framed(&bad)
        };
        let cases = [
            ("another version", with(0, 2), "version 2"),
            ("a request", framed(&answer(0, 0, &[], b"quote")), "kind 0"),
            ("a refusal", framed(&answer(1, 0x1_2001, &[], b"")), "0x12001"),
            ("another size", with(8, 0), "another than it says"),
            ("a longer quote", with(20, 6), "not as long"),
            ("a shorter quote", with(20, 4), "not as long"),
            ("a longer id", with(16, 1), "not as long"),
            ("lengths that overflow", with(19, 0xff), "not as long"),
            ("no quote", framed(&answer(1, 0, &[], b"")), "not as long"),
            ("a part of a header", framed(&good[..10]), "cut short"),
            ("nothing", framed(&[]), "cut short"),
            ("more than anybody needs", vec![0xff; 4], "4294967295 bytes"),
            ("less than it says", framed(&good)[..20].to_vec(), "fill whole buffer"),
        ];
        for (name, bytes, why) in cases {
            let refused = ask(bytes).unwrap_err();
            assert!(
                matches!(&refused, Refusal::Failed(error) if error.to_string().contains(why)),
                "{name}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_service_that_is_not_there_is_asked_again() {
        for (kind, is_passing) in [(io::ErrorKind::ConnectionRefused, true), (io::ErrorKind::NotFound, false)]
        {
            let refused = quote(&move || Err(kind.into()), &REPORT).unwrap_err();
            assert_eq!(matches!(refused, Refusal::Busy(_)), is_passing, "{kind:?}");
        }
    }
}
