//! `vouchsafe policy keygen`, `sign` and `verify`.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use vouchsafe_policy::diff::diff;
use vouchsafe_policy::revocations::{self, Document};
use vouchsafe_policy::signed::{
    Error, Release, SIGNED_BYTES_MAX, SignedPolicy, Signers, SigningKey, trusted,
};
use vouchsafe_receipt::{PayloadType, RevocationList, SignedImage, SignedRevocations};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{to_base64, to_hex};

use super::{Failure, moment_or_now, parse_moment, payload_type, print, read, read_policy};

const KEY_BYTES_MAX: usize = 64 << 10;

/// Make a key that signs policies
#[derive(Debug, clap::Args)]
pub(super) struct Keygen {
    /// Where to write the private key, as PEM; an existing file is left alone. The public key is printed
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
}

/// Sign a policy or a document of revocations as a release, or add a signature to one, or to a released image
///
/// The result goes to standard output. Whoever signs a release that others signed gives it in the place of
/// the document, and no --serial or --expires. What is signed goes to standard error: its serial number, its dates
/// and, with --against, what changes. What could never verify is not signed.
#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The policy or document of revocations, or a signed one, or a released image
    document: PathBuf,
    /// The private key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Number of this release: higher than any before
    #[arg(long, value_name = "N", requires = "expires")]
    serial: Option<u64>,
    /// From when on the release is not good any more
    #[arg(long, value_name = "RFC3339", value_parser = parse_moment, requires = "serial")]
    expires: Option<UnixSeconds>,
    /// When it is made; default: now
    #[arg(long, value_name = "RFC3339", value_parser = parse_moment)]
    at: Option<UnixSeconds>,
    /// What it is to follow: the policy in force, or the document of revocations so far. What changes against it
    /// is said
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// Whom to believe about policies and revocations.
#[derive(Debug, clap::Args)]
pub(super) struct SignedBy {
    /// A public key that may sign, PEM; several times for several
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// How many of them must have signed
    #[arg(long, value_name = "N")]
    threshold: usize,
    /// Judge for this moment; default: now by this machine's clock
    #[arg(long, value_name = "RFC3339", value_parser = parse_moment)]
    pub(super) at: Option<UnixSeconds>,
}

/// Verify a signed policy, list of revocations or image and print what is in it
///
/// By itself it knows no release before this one: `pull` remembers. Exit status 10 when it is refused.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The signed policy, list or image
    signed: PathBuf,
    #[command(flatten)]
    signers: SignedBy,
}

impl Keygen {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let (key, document) = SigningKey::generate()?;
        let own =
            |error: std::io::Error| Failure::Own(format!("can't write {}: {error}", self.out.display()));
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(&self.out).map_err(own)?;
        file.write_all(pem("PRIVATE KEY", &document).as_bytes()).map_err(own)?;
        anstream::eprintln!("key {}", to_hex(&key.id()));
        anstream::print!("{}", pem("PUBLIC KEY", key.spki()));
        Ok(ExitCode::SUCCESS)
    }
}

impl Sign {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let json = read(&self.document, SIGNED_BYTES_MAX)?;
        let pem = read(&self.key, KEY_BYTES_MAX)?;
        let document =
            PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| unusable(&self.key, "a private key"))?;
        let key = SigningKey::from_pkcs8(document.secret_pkcs8_der())?;
        let text = match (is_of_revocations(&json), is_image(&json)) {
            (true, _) => self.revocations(&json, &key)?,
            (_, true) => image(&json, &key)?,
            _ => self.policy(&json, &key)?,
        };
        anstream::print!("{text}");
        Ok(ExitCode::SUCCESS)
    }

    fn policy(&self, json: &[u8], key: &SigningKey) -> Result<String, Failure> {
        let at = moment_or_now(self.at)?;
        let mut signed = match (self.serial, self.expires) {
            (Some(serial), Some(expires)) => {
                SignedPolicy::unsigned(&Release::new(serial, at, expires, json)?)
            }
            _ => SignedPolicy::parse(json)?,
        };
        let (release, policy) = signed.unverified(at)?;
        let Release { serial, issued, expires, .. } = release;
        let name = print::clean(&policy.document().name);
        anstream::eprintln!("policy {name}: release {serial}, issued {}, good until {}", issued.0, expires.0);
        signed.signers().for_each(|id| anstream::eprintln!("signed before: {}", to_hex(id)));
        if let Some(old) = &self.against {
            anstream::eprintln!("{}", print::change_lines(&diff(&read_policy(old)?, &policy)));
        }
        signed.sign(key)?;
        Ok(signed.to_json())
    }

    fn revocations(&self, json: &[u8], key: &SigningKey) -> Result<String, Failure> {
        let at = moment_or_now(self.at)?;
        let mut signed = match (self.serial, self.expires) {
            (Some(serial), Some(expires)) => Document::parse(json)?.release(serial, at, expires)?,
            _ => SignedRevocations::parse(json).map_err(Error::Revocations)?,
        };
        let list = signed.unverified_list();
        list.check_dates(at).map_err(Error::Revocations)?;
        let RevocationList { serial, issued, expires, .. } = list;
        anstream::eprintln!("revocations: list {serial}, issued {}, good until {}", issued.0, expires.0);
        let before = match &self.against {
            Some(path) => Document::parse(&read(path, SIGNED_BYTES_MAX)?)?,
            None => Document::empty(),
        };
        let changes = revocations::diff(&before.revocations, &list.revocations);
        anstream::eprintln!("{}", print::change_lines(&changes));
        revocations::sign(&mut signed, key)?;
        Ok(signed.to_json())
    }
}

/// An image's manifest, which `vouchsafe image release` makes, with one more signature.
fn image(json: &[u8], key: &SigningKey) -> Result<String, Failure> {
    let mut signed = SignedImage::parse(json).map_err(Error::Revocations)?;
    signed.add(key.sign(&signed.pae())?);
    Ok(signed.to_json())
}

fn is_image(json: &[u8]) -> bool {
    payload_type(json).as_deref() == Some(PayloadType::Image.as_str())
}

/// Whether a text is a document of revocations, or a signed list of them; only to choose who reads it.
fn is_of_revocations(json: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(json) else { return false };
    let is_list = value.get("payloadType").is_some_and(|kind| kind == PayloadType::Revocation.as_str());
    is_list || value.get("revocations").is_some_and(serde_json::Value::is_array)
}

impl Verify {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let (json, at) = (read(&self.signed, SIGNED_BYTES_MAX)?, moment_or_now(self.signers.at)?);
        if is_of_revocations(&json) {
            return self.revocations(&json, at);
        }
        if is_image(&json) {
            return self.image(&json);
        }
        let verified = SignedPolicy::parse(&json)?.verify(&self.signers.trusted()?, at, None)?;
        let release = verified.release();
        anstream::eprintln!("release {}, good until {}", release.serial, release.expires.0);
        anstream::print!("{}", verified.document());
        Ok(ExitCode::SUCCESS)
    }

    fn revocations(&self, json: &[u8], at: UnixSeconds) -> Result<ExitCode, Failure> {
        let signed = SignedRevocations::parse(json).map_err(Error::Revocations)?;
        let verified = signed.verify(&self.signers.trusted()?, &Ring).map_err(Error::Revocations)?;
        let list = verified.list();
        list.check_dates(at).map_err(Error::Revocations)?;
        anstream::eprintln!("list {}, good until {}", list.serial, list.expires.0);
        let document = Document { revocations: list.revocations.clone(), ..Document::empty() };
        anstream::print!("{}", document.to_json());
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    fn image(&self, json: &[u8]) -> Result<ExitCode, Failure> {
        let signed = SignedImage::parse(json).map_err(Error::Revocations)?;
        let verified = signed.verify(&self.signers.trusted()?, &Ring).map_err(Error::Revocations)?;
        let manifest = verified.manifest();
        anstream::eprintln!("image {:?}, released {}", manifest.release, manifest.issued.0);
        anstream::println!("{}", serde_json::to_string_pretty(manifest).unwrap_or_default());
        Ok(ExitCode::SUCCESS)
    }
}

impl SignedBy {
    pub(super) fn trusted(&self) -> Result<Signers, Failure> {
        let spkis: Result<Vec<_>, _> = self.key.iter().map(|path| read_spki(path)).collect();
        Ok(trusted(&spkis?, self.threshold)?)
    }
}

/// A public key in PEM, as its DER.
pub(super) fn read_spki(path: &Path) -> Result<Vec<u8>, Failure> {
    let pem = read(path, KEY_BYTES_MAX)?;
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|_| unusable(path, "a public key"))?;
    Ok(spki.as_ref().to_vec())
}

fn unusable(path: &Path, what: &str) -> Failure {
    Failure::Input { path: path.into(), why: format!("not {what} in PEM") }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = to_base64(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
