//! The simulated processor of a simulated guest: reports come from outside of it.
//!
//! A guest that held the simulated authority's keys could attest whatever it liked. So, as on real
//! hardware, it only asks: it sends REPORT_DATA, and what surrounds the machine, which measured the bytes
//! that the machine was started from, signs. The program on the other side is `vouchsafe-processor-sim`.
//!
//! One connection per report, to the host's context id: 64 bytes there; back a 4-byte big-endian length
//! and so many bytes of JSON, `evidence` and `endorsements`.

use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use vouchsafe_platform::{AttestError, Attestation, Attester, Platform, Tee};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{Endorsements, Evidence};
use vsock::{VMADDR_CID_HOST, VsockStream};

/// The vsock port of the host that the simulated processor answers on.
pub const PROCESSOR_PORT: u32 = 5002;
/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const LIMITS: Limits = Limits { bytes_max: ANSWER_BYTES_MAX, depth_max: 8 };
/// Longest wait for a part of the answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Asks the simulated processor around this guest.
pub struct ProcessorAttester {
    dial: Box<dyn Fn() -> std::io::Result<Box<dyn Stream>> + Send + Sync>,
    /// As with hardware, one request at a time.
    turn: Mutex<()>,
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    evidence: Evidence,
    endorsements: Endorsements,
}

impl ProcessorAttester {
    /// The processor around this guest.
    pub fn of_this_guest() -> Self {
        Self::dialling(|| {
            let stream = VsockStream::connect_with_cid_port(VMADDR_CID_HOST, PROCESSOR_PORT)?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.set_write_timeout(Some(ANSWER_MAX))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn dialling(dial: impl Fn() -> std::io::Result<Box<dyn Stream>> + Send + Sync + 'static) -> Self {
        Self { dial: Box::new(dial), turn: Mutex::new(()) }
    }

    fn ask(&self, report_data: &[u8; 64]) -> std::io::Result<Vec<u8>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = (self.dial)()?;
        stream.write_all(report_data)?;
        stream.flush()?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other(format!("it announces {length} bytes")));
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

impl Attester for ProcessorAttester {
    fn platform(&self) -> Platform {
        Platform { tee: Tee::Tdx, simulated: true, interface: "simulated processor over vsock".into() }
    }

    fn attest(&self, report_data: &[u8; 64]) -> Result<Attestation, AttestError> {
        let failed = |why: String| AttestError::Failed(format!("simulated processor: {why}"));
        let answer = self.ask(report_data).map_err(|error| failed(error.to_string()))?;
        let Answer { evidence, endorsements } =
            strict_json::parse(&answer, LIMITS).map_err(|error| failed(error.to_string()))?;
        Ok(Attestation { evidence, endorsements: Some(endorsements) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// An attester whose processor reads the request and then writes these bytes.
    fn answering(bytes: Vec<u8>) -> ProcessorAttester {
        ProcessorAttester::dialling(move || {
            let (ours, mut theirs) = UnixStream::pair()?;
            let bytes = bytes.clone();
            thread::spawn(move || {
                let mut request = [0; 64];
                theirs.read_exact(&mut request).and_then(|()| theirs.write_all(&bytes))
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn framed(json: &str) -> Vec<u8> {
        [u32::try_from(json.len()).unwrap().to_be_bytes().as_slice(), json.as_bytes()].concat()
    }

    #[test]
    fn answers_are_read_and_anything_else_is_an_error() {
        let evidence = r#"{"platform":"sev-snp","report":"AAAA"}"#;
        let good = format!(r#"{{"evidence":{evidence},"endorsements":{{"platform":"sev-snp"}}}}"#);
        let attestation = answering(framed(&good)).attest(&[1; 64]).unwrap();
        assert!(matches!(attestation.evidence, Evidence::SevSnp { .. }));
        for (bytes, why) in [
            (Vec::new(), "failed to fill"),
            (vec![0xff; 4], "announces"),
            (framed("{}"), "missing field"),
            (framed(&good)[..40].to_vec(), "failed to fill"),
        ] {
            let error = answering(bytes).attest(&[1; 64]).unwrap_err();
            assert_eq!(error.code(), "attest_failed");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
