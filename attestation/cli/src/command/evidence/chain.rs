//! The certificates in a folder.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::input;

/// Most files looked at in one folder.
const FILES_MAX: usize = 256;

/// Reads every certificate in `folder`, in DER.
pub(super) fn read(folder: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let mut files = list(folder)?;
    // Two runs on one folder find the same certificates.
    files.sort();
    let mut certificates = Vec::new();
    for file in &files {
        certificates.extend(input::read_certificates(file)?);
    }
    Ok(certificates)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::Unreadable { path: folder.into(), error };
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)?.take(FILES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        // AMD's key distribution service calls a chain `cert_chain`, without an extension.
        let is_certificate = path.extension().is_none_or(|extension| {
            ["der", "pem", "crt", "cer", "cert"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        });
        if path.is_file() && is_certificate {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AMD's key distribution service hands out ASK and ARK in one PEM file named `cert_chain`.
    #[test]
    fn certificates_are_found_in_one_file_or_several() {
        let roots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../verifier/roots/amd");
        let [ark, ask] =
            ["turin-ark.der", "turin-ask.der"].map(|name| std::fs::read(roots.join(name)).unwrap());
        let apart = tempfile::tempdir().unwrap();
        std::fs::write(apart.path().join("ark.CRT"), &ark).unwrap();
        std::fs::write(apart.path().join("ask.der"), &ask).unwrap();
        std::fs::write(apart.path().join("notes.txt"), "no certificate").unwrap();
        let together = tempfile::tempdir().unwrap();
        let pem = [&ark, &ask].map(|der| {
            let body = data_encoding::BASE64.encode(der);
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        });
        std::fs::write(together.path().join("cert_chain"), pem.concat()).unwrap();
        for folder in [apart, together] {
            assert_eq!(read(folder.path()).unwrap(), [ark.clone(), ask.clone()]);
        }
    }
}
