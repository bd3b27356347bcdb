//! Second opinions on what this log signs and writes: the C2SP crates in Rust, and the Go team's libraries
//! for notes and tiled trees, which logs and witnesses in Go are made of.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Error, Hash, HashReader as _, Tile, TileHashReader, TileReader};
use vouchsafe_translog::{TrustedLog, VerifierKey};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_base64;

use crate::common::{AdmitAll, Place, Running, config, leaf};
use crate::witness::{Mode, TestWitness};

/// Our files, read the way that crate wants them.
struct Files<'a>(&'a Place);

impl TileReader for Files<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            // That crate writes the height into paths; c2sp.org/tlog-tiles fixed it and left it out.
            let path = tile.path().replacen("tile/8/", "public/tile/", 1);
            std::fs::read(self.0.root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn other_implementations_read_our_checkpoint_and_tiles() {
    let place = Place::with_leaves(70_000);
    let signed = place.storage().lock.head().unwrap();
    let note = Note::from_bytes(signed.note.as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&place.key.public().to_string()).unwrap();
    let (verified, unknown) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), (crate::common::ORIGIN, 70_000));
    assert_eq!(checkpoint.hash().0, signed.head.root);
    // It authenticates every tile it reads against the root.
    let files = Files(&place);
    let reader = TileHashReader::new(70_000, Hash(signed.head.root), &files);
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let hash = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).unwrap();
        assert_eq!(hash[0].0, crate::common::leaf(index).hash, "leaf {index}");
    }
}

/// The program of `tests/go`, which `cargo xtask check` builds.
fn go() -> Option<PathBuf> {
    let program = std::env::var_os("VOUCHSAFE_GO_READER").map(PathBuf::from);
    if program.is_none() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "no reader in Go: VOUCHSAFE_GO_READER is unset, since its packages could not be had");
        println!(
            "NOT RUN: no reader in Go (`cargo xtask check tests` makes one where Debian can be reached)"
        );
    }
    program
}

fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn go_verifies_a_log_and_the_cosignatures_of_its_witnesses() {
    let Some(go) = go() else { return };
    let place = Place::new();
    let mut witnesses = Vec::new();
    for n in 1..=2 {
        witnesses.push(TestWitness::start(n, place.key.public(), Mode::Good).await);
    }
    let configs = witnesses.iter().map(|witness| witness.config.clone()).collect();
    let running = Running::start(place.open().unwrap(), Arc::new(AdmitAll), config(configs, 2)).await;
    let leaves: Vec<_> = (0..700).map(|n| leaf(n).bytes).collect();
    for chunk in leaves.chunks(70) {
        let chunk: Vec<&[u8]> = chunk.iter().map(Vec::as_slice).collect();
        running.settle(&chunk).await.verify(place.key.public(), &chunk);
    }
    running.stop().await.unwrap();
    let public = place.root().join("public");
    let keys: Vec<_> = witnesses.iter().map(|witness| witness.config.key.to_string()).collect();
    let log = place.key.public().to_string();
    let read = |keys: &[&str]| run(&go, &[&["read", public.to_str().unwrap()], keys].concat());
    let seen = read(&[&log, &keys[0], &keys[1]]).unwrap();
    let root = to_base64(&place.storage().lock.head().unwrap().head.root);
    assert_eq!(seen, format!("size=700 root={root} leaves=700 signatures=3 unknown=0\n"));
    // It is no reader that accepts everything.
    assert!(read(&[&Place::new().key.public().to_string()]).is_err());
    let first = public.join("tile/entries/000");
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[2] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    assert!(read(&[&log]).is_err());
}

#[test]
fn what_go_signs_and_cosigns_is_verified_here() {
    let Some(go) = go() else { return };
    let root = [7; 32];
    let written = run(&go, &["write", "go.example/log", "12", &to_base64(&root), "1795262400"]).unwrap();
    let (log, rest) = written.split_once('\n').unwrap();
    let (witness, note) = rest.split_once('\n').unwrap();
    let key = |text| VerifierKey::parse(text, &Ring).unwrap();
    let trusted = TrustedLog::new(key(log), vec![key(witness)], 1).unwrap();
    let verified = trusted.verify(note.as_bytes(), &Ring).unwrap();
    assert_eq!((verified.size(), verified.root(), verified.time().0), (12, &root, 1_795_262_400));
    let bent = note.replace("\n12\n", "\n13\n");
    assert!(trusted.verify(bent.as_bytes(), &Ring).is_err());
}
