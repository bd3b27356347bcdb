//! Keeping an AMD authority: made once per installation, since three RSA-4096 keys take seconds.
//!
//! A folder of PKCS#8 keys (PEM, mode 0600), certificates (DER), the fuse secret (mode 0600) and a
//! line that says what this is.

use std::path::Path;

use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{Pss, RsaPrivateKey};
use sha2::{Digest, Sha384};
use vouchsafe_verifier::UnixSeconds;

use super::authority::CertifiedKey;
use super::{AmdAuthority, Issuer, Product};
use crate::Error;
use crate::store::{self, StoredFile, damaged};

/// One line: format, its version, product, first second of the CA certificates.
const HEAD: &str = "authority";
const HEAD_FORMAT: &str = "vouchsafe-simulated-amd 1";
const FUSE_SECRET: &str = "fuse-secret.bin";
/// Key and certificate file of each CA.
const CA_FILES: [(Issuer, &str, &str); 3] = [
    (Issuer::Ark, "ark.key.pem", "ark.der"),
    (Issuer::Ask, "ask.key.pem", "ask.der"),
    (Issuer::Asvk, "asvk.key.pem", "asvk.der"),
];
const RSA_BYTES: usize = 512;

impl AmdAuthority {
    /// Loads the authority in `dir`, or makes one there if `dir` does not exist. CA certificates of
    /// a new one start at `not_before`. An authority that is there but damaged is an error, never
    /// replaced: what it endorsed would stop being verifiable.
    pub fn load_or_generate(dir: &Path, product: Product, not_before: UnixSeconds) -> Result<Self, Error> {
        let generate = || Self::generate(product, not_before);
        let authority = store::load_or_generate(dir, Self::load, generate, Self::save)?;
        if authority.product != product {
            return Err(Error::Product {
                path: dir.to_owned(),
                expected: product.name(),
                found: authority.product.name(),
            });
        }
        Ok(authority)
    }

    /// Writes the authority as the folder `dir`, which must not exist. Missing parents are made.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let head = format!("{HEAD_FORMAT} {} {}\n", self.product.name(), self.not_before.0);
        let mut files = vec![
            StoredFile::public(HEAD, head.as_bytes()),
            StoredFile::private(FUSE_SECRET, &*self.fuse_secret),
        ];
        for (issuer, key_file, certificate_file) in CA_FILES {
            let ca = self.certified(issuer);
            let pem = ca
                .key
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(|error| Error::Pkcs8 { what: key_file.to_owned(), detail: error.to_string() })?;
            files.push(StoredFile::private(key_file, pem.as_bytes()));
            files.push(StoredFile::public(certificate_file, &ca.certificate));
        }
        store::save(dir, &files)
    }

    /// Reads the authority from the folder `dir`, and checks that its parts belong together.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let head = dir.join(HEAD);
        let (product, not_before) = parse_head(&store::read(&head)?)
            .ok_or_else(|| damaged(&head, "is not the head of a stored AMD authority"))?;
        let [ark, ask, asvk] = CA_FILES;
        let authority = Self {
            product,
            not_before,
            ark: read_certified_key(dir, ark)?,
            ask: read_certified_key(dir, ask)?,
            asvk: read_certified_key(dir, asvk)?,
            fuse_secret: store::read_secret(&dir.join(FUSE_SECRET))?,
        };
        for (issuer, _, certificate_file) in CA_FILES {
            authority.check_certificate(issuer, &dir.join(certificate_file))?;
        }
        Ok(authority)
    }

    /// A stored certificate must be exactly what this authority would sign for the stored key, and
    /// the signature must be the ARK's.
    fn check_certificate(&self, subject: Issuer, file: &Path) -> Result<(), Error> {
        let certificate = &self.certified(subject).certificate;
        let spec = self.ca_spec(subject, self.ca_validity()?)?;
        let (_, signature) = certificate.split_at(certificate.len().saturating_sub(RSA_BYTES));
        if spec.with_signature(signature)? != *certificate {
            return Err(damaged(file, "is not the certificate for the key beside it"));
        }
        let digest = Sha384::digest(spec.to_be_signed()?);
        self.ark
            .key
            .to_public_key()
            .verify(Pss::new_with_salt::<Sha384>(48), &digest, signature)
            .map_err(|_| damaged(file, "is not signed by the ARK"))
    }
}

fn parse_head(head: &[u8]) -> Option<(Product, UnixSeconds)> {
    let line = core::str::from_utf8(head).ok()?.strip_suffix('\n')?;
    let (product, not_before) = line.strip_prefix(HEAD_FORMAT)?.strip_prefix(' ')?.split_once(' ')?;
    Some((Product::from_name(product)?, UnixSeconds(not_before.parse().ok()?)))
}

fn read_certified_key(
    dir: &Path,
    (_, key_file, certificate_file): (Issuer, &str, &str),
) -> Result<CertifiedKey, Error> {
    let key_file = dir.join(key_file);
    let key = RsaPrivateKey::from_pkcs8_pem(&store::read_private_text(&key_file)?)
        .map_err(|error| Error::Pkcs8 { what: key_file.display().to_string(), detail: error.to_string() })?;
    if key.size() != RSA_BYTES {
        return Err(damaged(&key_file, "is not an RSA key of 4096 bits"));
    }
    Ok(CertifiedKey { key, certificate: store::read(&dir.join(certificate_file))? })
}
