//! Finds the certificates above a VEK in a folder.
//!
//! Nothing here decides what is believed: the verifier checks whatever is found, and believes a root
//! only if it is pinned or named.

use std::path::{Path, PathBuf};

use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::x509::Certificate;

use crate::failure::Failure;
use crate::input;

/// Most files looked at in one folder.
const FILES_MAX: usize = 256;

/// What was found, in DER.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) intermediate: Option<Vec<u8>>,
    pub(super) root: Option<Vec<u8>>,
}

/// Finds the issuer of `vek` and that issuer's issuer among the certificates in `folder`.
pub(super) fn find(folder: &Path, vek: &[u8]) -> Result<Chain, Failure> {
    let mut files = list(folder)?;
    // Two runs on one folder find the same certificates.
    files.sort();
    let certificates: Vec<Vec<u8>> =
        files.iter().map(|path| input::read_certificate(path)).collect::<Result<_, _>>()?;
    let intermediate = issuer(vek, 0, &certificates);
    let root = intermediate.as_ref().and_then(|intermediate| issuer(intermediate, 1, &certificates));
    Ok(Chain { intermediate, root })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::Unreadable { path: folder.into(), error };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)?.take(FILES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_file() && matches!(extension, Some("der" | "pem" | "crt" | "cer" | "cert")) {
            files.push(path);
        }
    }
    Ok(files)
}

/// The certificate that issued `subject`: by signature if one did, else by name, so that the verifier
/// can say what is wrong with it.
fn issuer(subject: &[u8], authorities_below: u32, candidates: &[Vec<u8>]) -> Option<Vec<u8>> {
    let subject = Certificate::parse(subject).ok()?;
    let named: Vec<(&Vec<u8>, Certificate<'_>)> = candidates
        .iter()
        .filter_map(|der| Some((der, Certificate::parse(der).ok()?)))
        .filter(|(_, candidate)| candidate.subject().raw() == subject.issuer().raw())
        .collect();
    let signer = named
        .iter()
        .find(|(_, candidate)| subject.check_issued_by(candidate, authorities_below, &Ring).is_ok());
    signer.or_else(|| named.first()).map(|(der, _)| (*der).clone())
}
