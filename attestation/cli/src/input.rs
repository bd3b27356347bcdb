//! Files, moments and bytes from the command line. Every file has a limit before it is read.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER_PERMISSIVE;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use vouchsafe_bundle::policy::POLICY_BYTES_MAX;
use vouchsafe_bundle::{LOGGED_IMAGE_BYTES_MAX, LoggedImage, Policy};
use vouchsafe_receipt::VerifiedRevocations;
use vouchsafe_receipt::revocation::{IN_FORCE_BYTES_MAX, RevocationsInForce};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::failure::Failure;

/// Longest request or response body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;
/// Longest certificate, list, report, quote or event log, in bytes.
pub(crate) const EVIDENCE_BYTES_MAX: usize = 8 << 20;
const EXPIRES_BYTES_MAX: usize = 64;

/// Reads a file that is evidence: of one that is too long, one byte more than allowed is given, so
/// that whoever parses it refuses it. `-` is standard input.
pub(crate) fn read_evidence(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::Unreadable { path: path.into(), error };
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        stdin().lock().take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        let file = File::open(path).map_err(unreadable)?;
        file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    Ok(bytes)
}

/// Reads a file that is no evidence: one that is too long is a mistake on this side.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let bytes = read_evidence(path, max)?;
    if bytes.len() > max {
        return Err(Failure::TooLong { path: path.into(), max });
    }
    Ok(bytes)
}

/// Reads a policy, to judge by it for a moment. Where `vouchsafe policy pull` keeps it, a file beside it says when
/// its release expires: whoever is kept from newer releases would go on accepting what those revoke.
pub(crate) fn read_policy(path: &Path, at: UnixSeconds) -> Result<Policy, Failure> {
    let json = read(path, POLICY_BYTES_MAX)?;
    let policy = Policy::parse(&json).map_err(|error| Failure::Policy { path: path.into(), error })?;
    let mut expires = path.as_os_str().to_owned();
    expires.push(".expires");
    let expires = Path::new(&expires);
    if path == Path::new("-") || !expires.exists() {
        return Ok(policy);
    }
    let text = read(expires, EXPIRES_BYTES_MAX)?;
    let moment = std::str::from_utf8(&text).ok().and_then(|text| UnixSeconds::from_rfc3339(text.trim()));
    let failed = |why: String| Failure::PolicyExpired { path: path.into(), why };
    match moment {
        Some(moment) if at < moment => Ok(policy),
        Some(moment) => Err(failed(format!("its release expired at {moment}: pull a newer one"))),
        None => Err(failed(format!("{} is no moment", expires.display()))),
    }
}

/// Reads a signed list of revocations, with what is held beside it, and verifies it under the keys that the policy
/// names. Where nobody named the moment to judge for, it must not be of a time to come: such a list would stay
/// fresh for ever.
pub(crate) fn read_revocations(
    path: &Path,
    policy: &Policy,
    at: Option<UnixSeconds>,
) -> Result<VerifiedRevocations, Failure> {
    let failed = |why: String| Failure::Revocations { path: path.into(), why };
    let signers = policy.revocation_signers(&Ring).ok_or_else(|| {
        failed("the policy names nobody who may revoke: it ignores revocations.list, or lists no key".into())
    })?;
    let json = read(path, IN_FORCE_BYTES_MAX)?;
    let list = RevocationsInForce::parse(&json)
        .and_then(|in_force| in_force.verify(&signers, &Ring))
        .map_err(|error| failed(format!("{error} ({})", error.code())))?;
    if at.is_none() {
        vouchsafe_client::check_issued(&list, moment_or_now(None)?)
            .map_err(|error| failed(format!("{error} ({})", error.code())))?;
    }
    Ok(list)
}

/// Reads a released image with the proof that its release is logged. Nothing of it is verified yet.
pub(crate) fn read_image(path: &Path) -> Result<LoggedImage, Failure> {
    let json = read(path, LOGGED_IMAGE_BYTES_MAX)?;
    let failed = |error: vouchsafe_bundle::Error| Failure::Image {
        path: path.into(),
        why: format!("{error} ({})", error.code()),
    };
    LoggedImage::parse(&json).map_err(failed)
}

/// Reads a certificate in DER or PEM. What is neither is handed on as it is: the verifier says what
/// is wrong with it.
pub(crate) fn read_certificate(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_evidence(path, EVIDENCE_BYTES_MAX)?;
    Ok(match CertificateDer::from_pem_slice(&bytes) {
        Ok(der) => der.to_vec(),
        Err(_) => bytes,
    })
}

/// Reads all certificates of a file: one in DER, or any number in PEM.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = read_evidence(path, EVIDENCE_BYTES_MAX)?;
    let found: Vec<Vec<u8>> =
        CertificateDer::pem_slice_iter(&bytes).map_while(Result::ok).map(|der| der.to_vec()).collect();
    Ok(if found.is_empty() { vec![bytes] } else { found })
}

/// Reads a revocation list in DER or PEM, as [`read_certificate`].
pub(crate) fn read_crl(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_evidence(path, EVIDENCE_BYTES_MAX)?;
    Ok(match CertificateRevocationListDer::from_pem_slice(&bytes) {
        Ok(der) => der.to_vec(),
        Err(_) => bytes,
    })
}

/// A moment as `2026-11-21T12:00:00Z`.
pub(crate) fn parse_moment(text: &str) -> Result<UnixSeconds, String> {
    UnixSeconds::from_rfc3339(text).ok_or_else(|| "expected a moment as 2026-11-21T12:00:00Z".into())
}

/// 64 bytes of REPORT_DATA in hexadecimal.
pub(crate) fn parse_report_data(text: &str) -> Result<[u8; 64], String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|error| error.to_string())?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| format!("expected 64 bytes (128 digits), found {length} bytes"))
}

/// The given moment, or now by this machine's clock: the relying party's own.
pub(crate) fn moment_or_now(at: Option<UnixSeconds>) -> Result<UnixSeconds, Failure> {
    match at {
        Some(at) => Ok(at),
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(|elapsed| UnixSeconds(elapsed.as_secs()))
            .map_err(|_| Failure::Own("this machine's clock is before 1970; give --at".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_data_is_64_bytes_of_hexadecimal() {
        assert_eq!(parse_report_data(&"aB".repeat(64)), Ok([0xab; 64]));
        assert!(parse_report_data(&"ab".repeat(63)).unwrap_err().contains("63 bytes"));
        assert!(parse_report_data(&"xy".repeat(64)).is_err());
    }

    #[test]
    fn a_policy_that_is_kept_with_its_end_is_not_used_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/production-snp.json");
        std::fs::copy(shipped, &path).unwrap();
        let read = |at| read_policy(&path, UnixSeconds(at)).map_err(|failure| failure.to_string());
        assert!(read(u64::MAX).is_ok(), "without an end");
        let expires = folder.path().join("policy.json.expires");
        std::fs::write(&expires, "2026-01-01T00:00:00Z\n").unwrap();
        assert!(read(1_767_225_599).is_ok());
        assert!(read(1_767_225_600).unwrap_err().contains("expired at 2026-01-01T00:00:00Z"));
        std::fs::write(&expires, "soon").unwrap();
        assert!(read(0).unwrap_err().contains("is no moment"));
    }

    #[test]
    fn a_file_over_its_limit_is_told_from_one_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [0; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap().len(), 10);
        assert!(matches!(read(&path, 9), Err(Failure::TooLong { max: 9, .. })));
        assert_eq!(read_evidence(&path, 5).unwrap().len(), 6);
        assert!(matches!(read(&folder.path().join("none"), 1), Err(Failure::Unreadable { .. })));
    }
}
