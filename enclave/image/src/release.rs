//! A release: what an image is and what guests of it measure to, signed, to be entered into a transparency log.
//!
//! So that every measurement that was ever blessed can be enumerated. `release.json` is an image manifest of
//! `vouchsafe_receipt::image` under one signature or several. It says when it was made, so that signatures of two who
//! each make their own don't add up: the first releaser hands `release.json` on, the next one puts it beside an image
//! of their own build, and `release` holds it against that image and adds a signature, as `vouchsafe policy sign` does
//! without a build. `vouchsafe policy submit` enters it into a log whose policy names enough of them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde_json::Value;
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::threshold::{KeySignature, Signers};
use vouchsafe_receipt::{ImageManifest, ReceiptKey, SignedImage, to_low_s};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Hex, from_hex, to_base64, to_hex};
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::manifest::sha256_of_file;

const RELEASE: &str = "release.json";
const MANIFEST: &str = "manifest.json";

/// Signs the image in `image` and writes the release into it; adds a signature where it is released already.
pub(crate) fn run(image: &Path, key_file: &Path, release: &str) -> Result<()> {
    check_files(image)?;
    let (digest, measurements) = (manifest_digest(image)?, measurements(image)?);
    let path = image.join(RELEASE);
    let mut signed = if path.exists() {
        let signed = read(&path)?;
        hold(&signed, digest, &measurements)?;
        let name = &signed.unverified_manifest().release;
        if name != release {
            bail!("the image is released as {name:?} already; remove {RELEASE} to release it anew");
        }
        signed
    } else {
        let issued = Moment(UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()));
        let manifest = ImageManifest::new(release.to_owned(), issued, digest, measurements).map_err(said)?;
        SignedImage::unsigned(manifest).map_err(said)?
    };
    let key = load_or_make(key_file)?;
    signed.add(key.sign(&signed.pae())?);
    fs::write(path, signed.to_json())?;
    println!("released {release} under key {}", to_hex(&key.id));
    Ok(())
}

/// Holds the release in `image` against the key and the image's files.
pub(crate) fn verify(image: &Path, public_key: &Path) -> Result<()> {
    let pem = fs::read(public_key).with_context(|| public_key.display().to_string())?;
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
        .map_err(|_| anyhow!("{}: not a public key in PEM", public_key.display()))?;
    let signers = Signers::new([spki.as_ref()], 1, &Ring).map_err(said)?;
    let signed = read(&image.join(RELEASE))?;
    let verified = signed.verify(&signers, &Ring).map_err(said)?;
    hold(&signed, manifest_digest(image)?, &measurements(image)?)?;
    check_files(image)?;
    let ImageManifest { release, manifest, .. } = verified.manifest();
    println!("{release}: manifest {manifest}, key {}", to_hex(&Ring.sha256(spki.as_ref())));
    Ok(())
}

fn read(path: &Path) -> Result<SignedImage> {
    let json = fs::read(path).context(RELEASE)?;
    SignedImage::parse(&json).map_err(said)
}

fn said(error: vouchsafe_receipt::Error) -> anyhow::Error {
    anyhow!("{error} ({})", error.code())
}

/// Holds a release against the image that it is of.
fn hold(signed: &SignedImage, digest: Hex<32>, measurements: &[ImageMeasurement]) -> Result<()> {
    let released = signed.unverified_manifest();
    if released.manifest != digest {
        bail!("the release is of manifest {}, and the image has {digest}", released.manifest);
    }
    if released.measurements != measurements {
        bail!("the release states other measurements than the image");
    }
    Ok(())
}

fn manifest_digest(image: &Path) -> Result<Hex<32>> {
    let digest = sha256_of_file(&image.join(MANIFEST))?;
    from_hex(&digest).map(Hex).context("a digest has 32 bytes")
}

/// Every reference value beside the image, in the order of the files' names.
fn measurements(image: &Path) -> Result<Vec<ImageMeasurement>> {
    let entries = fs::read_dir(image).with_context(|| image.display().to_string())?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| crate::packages::name(path).starts_with("measurements-"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let name = crate::packages::name(&file);
        let name = name.trim_start_matches("measurements-").trim_end_matches(".json");
        let document: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let values = document["measurements"]["require"].as_array();
        for value in values.with_context(|| format!("{} states no measurement", file.display()))? {
            let digests = digests(&value["digests"]).with_context(|| file.display().to_string())?;
            let name = format!("{} {name}", value["name"].as_str().unwrap_or_default());
            all.push(ImageMeasurement { name: name.trim().to_owned(), digests });
        }
    }
    Ok(all)
}

/// A reference value's digests as a release states them: what a register may be, and nothing of what is ignored.
fn digests(value: &Value) -> Result<ImageDigests> {
    let fields = value.as_object().context("a reference value without digests")?;
    let required = |(name, rule): (&String, &Value)| match rule {
        Value::Object(rule) => Some((name.clone(), rule.get("require")?.clone())),
        plain => Some((name.clone(), plain.clone())),
    };
    Ok(serde_json::from_value(Value::Object(fields.iter().filter_map(required).collect()))?)
}

/// Holds every file of the image against the manifest.
fn check_files(image: &Path) -> Result<()> {
    let manifest: Value = serde_json::from_slice(&fs::read(image.join(MANIFEST)).context(MANIFEST)?)?;
    for file in manifest["files"].as_array().context("the manifest names no files")? {
        let (Some(path), Some(expected)) = (file["path"].as_str(), file["sha256"].as_str()) else {
            bail!("the manifest names a file without a digest");
        };
        let found = sha256_of_file(&image.join(path))?;
        if found != expected {
            bail!("{path} has SHA-256 {found}, where the manifest says {expected}");
        }
    }
    Ok(())
}

/// A release key.
struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: [u8; 32],
}

impl Key {
    fn sign(&self, pae: &[u8]) -> Result<KeySignature> {
        let signature = self.pair.sign(&self.random, pae).map_err(|_| anyhow!("no randomness"))?;
        Ok(KeySignature { key_id: self.id, signature: to_low_s(<[u8; 64]>::try_from(signature.as_ref())?) })
    }
}

/// The key in `file`, made there if there is none, with its public half beside it as `FILE.pub`; both in PEM, as
/// `vouchsafe policy keygen` writes them.
fn load_or_make(file: &Path) -> Result<Key> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    if !file.exists() {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow!("no randomness"))?;
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(pem("PRIVATE KEY", pkcs8.as_ref()).as_bytes()).and_then(|()| out.sync_all())?;
    }
    let unusable = |why: &dyn core::fmt::Display| anyhow!("{}: {why}", file.display());
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(&fs::read(file)?)
        .map_err(|_| unusable(&"not a private key in PEM"))?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.secret_pkcs8_der(), &random)
        .map_err(|error| unusable(&error))?;
    let point = <[u8; 65]>::try_from(pair.public_key().as_ref()).context("the key is not on P-256")?;
    let spki = ReceiptKey::spki_of_point(&point);
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    fs::write(public, pem("PUBLIC KEY", &spki))?;
    Ok(Key { pair, random, id: Ring.sha256(&spki) })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = to_base64(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(byte: &str) -> String {
        let digest = byte.repeat(48);
        format!(
            r#"{{"measurements":{{"require":[
                {{"name":"a","computed":"by hand","digests":{{"platform":"tdx",
                    "mrtd":{{"require":["{digest}"]}},"rtmr0":{{"ignore":"tables"}},
                    "rtmr1":{{"require":["{digest}"]}},"rtmr2":{{"require":["{digest}"]}},
                    "rtmr3":{{"require":["{digest}"]}}}}}},
                {{"name":"b","computed":"by hand","digests":{{"platform":"sev-snp","measurement":"{digest}"}}}}
            ]}}}}"#
        )
    }

    fn image() -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(image.path().join(name), text).unwrap();
        write("vmlinuz", "kernel");
        write("measurements-tdx.json", &measured("11"));
        let digest = sha256_of_file(&image.path().join("vmlinuz")).unwrap();
        write(MANIFEST, &format!(r#"{{"files":[{{"path":"vmlinuz","sha256":"{digest}"}}]}}"#));
        image
    }

    #[test]
    fn a_release_verifies_until_anything_changes() {
        let (image, keys) = (image(), tempfile::tempdir().unwrap());
        let (key, public) = (keys.path().join("key"), keys.path().join("key.pub"));
        run(image.path(), &key, "1.0").unwrap();
        verify(image.path(), &public).unwrap();
        let refused = |why: &str| {
            let error = format!("{:#}", verify(image.path(), &public).unwrap_err());
            assert!(error.contains(why), "{error}");
        };
        let change = |name: &str, text: &str| {
            let path = image.path().join(name);
            let before = fs::read(&path).unwrap();
            fs::write(&path, text).unwrap();
            (path, before)
        };
        let (path, before) = change("vmlinuz", "another");
        refused("vmlinuz has SHA-256");
        fs::write(path, before).unwrap();
        let (path, before) = change("measurements-tdx.json", &measured("22"));
        refused("other measurements");
        fs::write(path, before).unwrap();
        let (path, before) = change(MANIFEST, r#"{"files":[]}"#);
        refused("manifest");
        fs::write(path, before).unwrap();
        let release = fs::read(image.path().join(RELEASE)).unwrap();
        let manifest = read(&image.path().join(RELEASE)).unwrap().unverified_manifest().clone();
        assert_eq!((manifest.release.as_str(), manifest.measurements.len()), ("1.0", 2));
        assert_eq!(manifest.measurements[0].name, "a tdx");
        assert!(manifest.measurements[0].digests.registers()[1].is_none(), "what is ignored is left open");
        // In the payload and the signature each character counts.
        let text = String::from_utf8(release.clone()).unwrap();
        let starts = ["\"payload\": \"", "\"sig\": \""].map(|field| text.find(field).unwrap() + field.len());
        for at in [starts[0], starts[0] + 100, starts[1], starts[1] + 40] {
            let mut bent = release.clone();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            fs::write(image.path().join(RELEASE), bent).unwrap();
            assert!(verify(image.path(), &public).is_err(), "byte {at}");
        }
        fs::write(image.path().join(RELEASE), release).unwrap();
        let other = keys.path().join("other");
        load_or_make(&other).unwrap();
        assert!(verify(image.path(), &keys.path().join("other.pub")).is_err(), "another key");
        verify(image.path(), &public).unwrap();
        // Somebody else signs what was handed on, beside a build of their own, and only if it is of that build.
        let second = self::image();
        fs::copy(image.path().join(RELEASE), second.path().join(RELEASE)).unwrap();
        let third = keys.path().join("third");
        run(second.path(), &third, "1.0").unwrap();
        for public in [&public, &keys.path().join("third.pub")] {
            verify(second.path(), public).unwrap();
        }
        fs::write(second.path().join("measurements-tdx.json"), measured("33")).unwrap();
        let refused = run(second.path(), &third, "1.0").unwrap_err().to_string();
        assert!(refused.contains("other measurements"), "{refused}");
        // A second releaser signs the same, and nothing else under that name.
        run(image.path(), &other, "1.0").unwrap();
        verify(image.path(), &keys.path().join("other.pub")).unwrap();
        verify(image.path(), &public).unwrap();
        assert!(run(image.path(), &other, "1.1").unwrap_err().to_string().contains("released as"));
    }
}
