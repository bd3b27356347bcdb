//! Keeping an Intel authority, so that what it endorsed stays verifiable.
//!
//! A folder of PKCS#8 keys (PEM, mode 0600), certificates (DER), the fuse secret (mode 0600) and a
//! line that says what this is.

use std::path::Path;

use p256_x509::SecretKey;
use p256_x509::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use vouchsafe_verifier::UnixSeconds;

use super::{IntelAuthority, IntelIssuer, P256Key};
use crate::Error;
use crate::store::{self, StoredFile, damaged};

/// One line: format, its version, first second of the certificates.
const HEAD: &str = "authority";
const HEAD_FORMAT: &str = "vouchsafe-simulated-intel 1";
const FUSE_SECRET: &str = "fuse-secret.bin";
/// Key and certificate files, in the order of [`IntelIssuer::ALL`].
const FILES: [(&str, &str); 4] = [
    ("root.key.pem", "root.der"),
    ("pck-platform.key.pem", "pck-platform.der"),
    ("pck-processor.key.pem", "pck-processor.der"),
    ("tcb-signing.key.pem", "tcb-signing.der"),
];

impl IntelAuthority {
    /// Loads the authority in `dir`, or makes one there if `dir` does not exist. Certificates of a
    /// new one start at `not_before`. An authority that is there but damaged is an error.
    pub fn load_or_generate(dir: &Path, not_before: UnixSeconds) -> Result<Self, Error> {
        store::load_or_generate(dir, Self::load, || Self::generate(not_before), Self::save)
    }

    /// Writes the authority as the folder `dir`, which must not exist. Missing parents are made.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let head = format!("{HEAD_FORMAT} {}\n", self.not_before.0);
        let mut files = vec![
            StoredFile::public(HEAD, head.as_bytes()),
            StoredFile::private(FUSE_SECRET, &*self.fuse_secret),
        ];
        for (whose, (key_file, certificate_file)) in IntelIssuer::ALL.into_iter().zip(FILES) {
            let pem = SecretKey::from(&self.key(whose).0)
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(|error| Error::Pkcs8 { what: key_file.to_owned(), detail: error.to_string() })?;
            files.push(StoredFile::private(key_file, pem.as_bytes()));
            files.push(StoredFile::public(certificate_file, self.certificate_der(whose)));
        }
        store::save(dir, &files)
    }

    /// Reads the authority from the folder `dir`. Keys and dates determine the certificates, so that
    /// those which are there must be exactly those which they give.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let head = dir.join(HEAD);
        let not_before = parse_head(&store::read(&head)?)
            .ok_or_else(|| damaged(&head, "is not the head of a stored Intel authority"))?;
        let [root, platform, processor, signing] = FILES.map(|(key_file, _)| read_key(&dir.join(key_file)));
        let keys = [root?, platform?, processor?, signing?];
        let authority = Self::from_keys(not_before, keys, store::read_secret(&dir.join(FUSE_SECRET))?)?;
        for (whose, (_, certificate_file)) in IntelIssuer::ALL.into_iter().zip(FILES) {
            let file = dir.join(certificate_file);
            if store::read(&file)? != authority.certificate_der(whose) {
                return Err(damaged(&file, "is not the certificate for the keys beside it"));
            }
        }
        Ok(authority)
    }
}

fn parse_head(head: &[u8]) -> Option<UnixSeconds> {
    let line = core::str::from_utf8(head).ok()?.strip_suffix('\n')?;
    let not_before = line.strip_prefix(HEAD_FORMAT)?.strip_prefix(' ')?;
    Some(UnixSeconds(not_before.parse().ok()?))
}

fn read_key(file: &Path) -> Result<P256Key, Error> {
    SecretKey::from_pkcs8_pem(&store::read_private_text(file)?)
        .map(|key| P256Key(key.into()))
        .map_err(|error| Error::Pkcs8 { what: file.display().to_string(), detail: error.to_string() })
}
