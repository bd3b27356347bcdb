//! A release: what an image is and what it measures to, signed, in the form of a log leaf.
//!
//! So that every measurement that an operator ever blessed can be enumerated. The leaf is the type byte of
//! images, a 4-byte big-endian length, the DSSE pre-authentication encoding of the payload, and 64 bytes
//! of signature (ECDSA P-256, low s), as all signed leaves are. No log admits such leaves yet; until one
//! does, the file is published beside the image.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouchsafe_receipt::{Envelope, LEAF_BYTES_MAX, LeafType, PayloadType, ReceiptKey, pae, to_low_s};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;

use crate::manifest::sha256_of_file;

const LEAF: &str = "release.leaf";
const MANIFEST: &str = "manifest.json";
const SIGNATURE_BYTES: usize = 64;

/// What is signed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    /// Version of this format: 1.
    version: u32,
    /// What the release is called.
    release: String,
    /// SHA-256 of the release key's SubjectPublicKeyInfo.
    key: String,
    /// SHA-256 of `manifest.json`, which names every input and every part by digest.
    manifest: String,
    /// The measurements of a guest of this image, each as policies take it.
    measurements: Vec<Value>,
}

/// Signs the image in `image` and writes the leaf into it.
pub(crate) fn run(image: &Path, key_file: &Path, release: &str) -> Result<()> {
    let key = load_or_make(key_file)?;
    let payload = Payload {
        version: 1,
        release: release.to_owned(),
        key: to_hex(&key.id),
        manifest: sha256_of_file(&image.join(MANIFEST))?,
        measurements: measurements(image)?,
    };
    check_files(image)?;
    let leaf = key.sign(serde_json::to_vec(&payload)?)?;
    if leaf.len() > LEAF_BYTES_MAX {
        bail!("the release has {} bytes, where a leaf has {LEAF_BYTES_MAX} at most", leaf.len());
    }
    fs::write(image.join(LEAF), leaf)?;
    println!("released {release} under key {}", payload.key);
    Ok(())
}

/// Holds the leaf in `image` against the key and the image's files.
pub(crate) fn verify(image: &Path, public_key: &Path) -> Result<()> {
    let spki = fs::read(public_key).with_context(|| public_key.display().to_string())?;
    let key = ReceiptKey::from_spki(&spki, &Ring).map_err(|error| anyhow!("the key: {error}"))?;
    let leaf = fs::read(image.join(LEAF)).context(LEAF)?;
    let payload = open(&leaf, &key)?;
    let manifest = sha256_of_file(&image.join(MANIFEST))?;
    if payload.manifest != manifest {
        bail!("the release is of manifest {}, and the image has {manifest}", payload.manifest);
    }
    if payload.measurements != measurements(image)? {
        bail!("the release states other measurements than the image");
    }
    check_files(image)?;
    println!("{}: manifest {manifest}, key {}", payload.release, payload.key);
    Ok(())
}

/// The payload of a leaf that the key signed.
fn open(leaf: &[u8], key: &ReceiptKey) -> Result<Payload> {
    let parse = || {
        let (kind, rest) = leaf.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (encoded, signature) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let signature = <[u8; SIGNATURE_BYTES]>::try_from(signature).ok()?;
        // What follows the type and the payload's length is the payload, if the encoding is one: that
        // is decided by encoding it again.
        let start = encoded.windows(2).position(|two| two == b" {")?;
        let payload = encoded.get(start.checked_add(1)?..)?;
        let is_encoding = pae(PayloadType::Image.as_str(), payload) == encoded;
        (*kind == LeafType::Image.byte() && is_encoding).then(|| (payload.to_vec(), signature))
    };
    let (payload, signature) = parse().context("the leaf is no release")?;
    let envelope = Envelope::new(PayloadType::Image, payload, key.id(), signature);
    let payload = envelope
        .open(PayloadType::Image, key, &Ring)
        .map_err(|error| anyhow!("{error} ({})", error.code()))?;
    let payload: Payload = serde_json::from_slice(payload).context("the release")?;
    if payload.key != to_hex(&key.id()) {
        bail!("the release names another key");
    }
    Ok(payload)
}

/// Every reference value beside the image, in the order of the files' names.
fn measurements(image: &Path) -> Result<Vec<Value>> {
    let entries = fs::read_dir(image).with_context(|| image.display().to_string())?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| crate::packages::name(path).starts_with("measurements-"));
    files.sort();
    let mut values = Vec::new();
    for file in files {
        let document: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let found = document["measurements"]["require"].as_array();
        values.extend(
            found.with_context(|| format!("{} states no measurement", file.display()))?.iter().cloned(),
        );
    }
    Ok(values)
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
    fn sign(&self, payload: Vec<u8>) -> Result<Vec<u8>> {
        let encoded = pae(PayloadType::Image.as_str(), &payload);
        let signature = self.pair.sign(&self.random, &encoded).map_err(|_| anyhow!("no randomness"))?;
        let signature = to_low_s(<[u8; SIGNATURE_BYTES]>::try_from(signature.as_ref())?);
        let length = u32::try_from(encoded.len())?.to_be_bytes();
        Ok([&[LeafType::Image.byte()], length.as_slice(), &encoded, &signature].concat())
    }
}

/// The key in `file`, made there if there is none, with its public half beside it as `FILE.pub`.
fn load_or_make(file: &Path) -> Result<Key> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    if !file.exists() {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow!("no randomness"))?;
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(pkcs8.as_ref()).and_then(|()| out.sync_all())?;
    }
    let pkcs8 = fs::read(file).with_context(|| file.display().to_string())?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random)
        .map_err(|error| anyhow!("{}: {error}", file.display()))?;
    let point = <[u8; 65]>::try_from(pair.public_key().as_ref()).context("the key is not on P-256")?;
    let spki = ReceiptKey::spki_of_point(&point);
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    fs::write(public, &spki)?;
    Ok(Key { pair, random, id: Ring.sha256(&spki) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(image.path().join(name), text).unwrap();
        write("vmlinuz", "kernel");
        write("measurements-tdx.json", r#"{"measurements":{"require":[{"name":"a"}]}}"#);
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
        let (path, before) =
            change("measurements-tdx.json", r#"{"measurements":{"require":[{"name":"b"}]}}"#);
        refused("other measurements");
        fs::write(path, before).unwrap();
        let (path, before) = change(MANIFEST, r#"{"files":[]}"#);
        refused("manifest");
        fs::write(path, before).unwrap();
        let leaf = fs::read(image.path().join(LEAF)).unwrap();
        for at in [0, 3, 20, leaf.len() / 2, leaf.len() - 1] {
            let mut flipped = leaf.clone();
            flipped[at] ^= 1;
            fs::write(image.path().join(LEAF), flipped).unwrap();
            assert!(verify(image.path(), &public).is_err(), "byte {at}");
        }
        fs::write(image.path().join(LEAF), leaf).unwrap();
        let other = keys.path().join("other");
        load_or_make(&other).unwrap();
        assert!(verify(image.path(), &keys.path().join("other.pub")).is_err(), "another key");
        verify(image.path(), &public).unwrap();
    }
}
