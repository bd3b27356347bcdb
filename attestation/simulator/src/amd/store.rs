//! Keeping an authority: made once per installation, since three RSA-4096 keys take seconds.
//!
//! A folder of PKCS#8 keys (PEM, mode 0600), certificates (DER) and two small files. It appears
//! under its name complete or not at all, so that two programs which start at once cannot mix
//! theirs; the one that comes second takes what the first one left.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand_core::{OsRng, RngCore};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{Pss, RsaPrivateKey};
use sha2::{Digest, Sha384};
use vouchsafe_verifier::UnixSeconds;
use zeroize::Zeroizing;

use super::authority::CertifiedKey;
use super::{AmdAuthority, Issuer, Product};
use crate::Error;

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
/// Nothing an authority stores is longer, bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

impl AmdAuthority {
    /// Loads the authority in `dir`, or makes one there if `dir` does not exist. CA certificates of
    /// a new one start at `not_before`. An authority that is there but damaged is an error, never
    /// replaced: what it endorsed would stop being verifiable.
    pub fn load_or_generate(dir: &Path, product: Product, not_before: UnixSeconds) -> Result<Self, Error> {
        if !dir.try_exists().map_err(|source| Error::Io { path: dir.to_owned(), source })? {
            let authority = Self::generate(product, not_before)?;
            match authority.save(dir) {
                Ok(()) => return Ok(authority),
                // Another program was quicker: its authority counts.
                Err(Error::AlreadyExists { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let authority = Self::load(dir)?;
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
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(at(parent))?;
        let mut name = std::ffi::OsString::from(".");
        name.push(dir.file_name().unwrap_or_default());
        name.push(format!(".{:016x}.tmp", OsRng.next_u64()));
        let temporary = parent.join(name);
        let result = self.write_folder(&temporary).and_then(|()| publish(&temporary, dir));
        if result.is_err() {
            // Best effort: the error that matters is the one already in hand.
            let _ = fs::remove_dir_all(&temporary);
        }
        result?;
        sync(parent)
    }

    /// Reads the authority from the folder `dir`, and checks that its parts belong together.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let head_file = dir.join(HEAD);
        let (product, not_before) = parse_head(&read(&head_file)?)
            .ok_or_else(|| stored(&head_file, "is not the head of a stored AMD authority"))?;
        let secret_file = dir.join(FUSE_SECRET);
        let secret = read_private(&secret_file)?;
        let fuse_secret = <[u8; 32]>::try_from(secret.as_slice())
            .map_err(|_| stored(&secret_file, "is not 32 bytes long"))?;
        let [ark, ask, asvk] = CA_FILES;
        let authority = Self {
            product,
            not_before,
            ark: read_certified_key(dir, ark)?,
            ask: read_certified_key(dir, ask)?,
            asvk: read_certified_key(dir, asvk)?,
            fuse_secret: Zeroizing::new(fuse_secret),
        };
        for (issuer, _, certificate_file) in CA_FILES {
            authority.check_certificate(issuer, &dir.join(certificate_file))?;
        }
        Ok(authority)
    }

    fn write_folder(&self, folder: &Path) -> Result<(), Error> {
        DirBuilder::new().mode(0o700).create(folder).map_err(at(folder))?;
        let head = format!("{HEAD_FORMAT} {} {}\n", self.product.name(), self.not_before.0);
        write(&folder.join(HEAD), 0o644, head.as_bytes())?;
        write(&folder.join(FUSE_SECRET), 0o600, &*self.fuse_secret)?;
        for (issuer, key_file, certificate_file) in CA_FILES {
            let ca = self.certified(issuer);
            let pem = ca
                .key
                .to_pkcs8_pem(LineEnding::LF)
                .map_err(|error| Error::Pkcs8 { what: key_file.to_owned(), detail: error.to_string() })?;
            write(&folder.join(key_file), 0o600, pem.as_bytes())?;
            write(&folder.join(certificate_file), 0o644, &ca.certificate)?;
        }
        sync(folder)
    }

    /// A stored certificate must be exactly what this authority would sign for the stored key, and
    /// the signature must be the ARK's.
    fn check_certificate(&self, subject: Issuer, file: &Path) -> Result<(), Error> {
        let certificate = &self.certified(subject).certificate;
        let signature_bytes = self.ark.key.size();
        let spec = self.ca_spec(subject, self.ca_validity()?)?;
        let split = certificate.len().saturating_sub(signature_bytes);
        let (_, signature) = certificate.split_at(split);
        if spec.with_signature(signature)? != *certificate {
            return Err(stored(file, "is not the certificate for the key beside it"));
        }
        let digest = Sha384::digest(spec.to_be_signed()?);
        self.ark
            .key
            .to_public_key()
            .verify(Pss::new_with_salt::<Sha384>(48), &digest, signature)
            .map_err(|_| stored(file, "is not signed by the ARK"))
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
    let pem = read_private(&key_file)?;
    let pem = core::str::from_utf8(&pem).map_err(|_| stored(&key_file, "is not PEM"))?;
    let key = RsaPrivateKey::from_pkcs8_pem(pem)
        .map_err(|error| Error::Pkcs8 { what: key_file.display().to_string(), detail: error.to_string() })?;
    if key.size() != 512 {
        return Err(stored(&key_file, "is not an RSA key of 4096 bits"));
    }
    Ok(CertifiedKey { key, certificate: read(&dir.join(certificate_file))? })
}

fn publish(temporary: &Path, dir: &Path) -> Result<(), Error> {
    fs::rename(temporary, dir).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
            Error::AlreadyExists { path: dir.to_owned() }
        }
        _ => Error::Io { path: dir.to_owned(), source },
    })
}

fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(at(path))
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let length = fs::metadata(path).map_err(at(path))?.len();
    if length > FILE_BYTES_MAX {
        return Err(stored(path, "is too long"));
    }
    fs::read(path).map_err(at(path))
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mode = fs::metadata(path).map_err(at(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode });
    }
    read(path).map(Zeroizing::new)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = PathBuf::from(path);
    move |source| Error::Io { path, source }
}

fn stored(path: &Path, detail: &str) -> Error {
    Error::Stored { path: path.to_owned(), detail: detail.to_owned() }
}
