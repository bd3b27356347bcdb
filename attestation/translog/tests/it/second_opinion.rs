//! The crates `tlog_tiles` and `signed_note` (ports of Go's `sumdb/tlog` and `sumdb/note`), held
//! against ours: same proofs, same tiles, same judgement of the same bytes.

use proptest::prelude::*;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Hash as TheirHash, HashReader};
use vouchsafe_translog::build::TreeReader;
use vouchsafe_translog::merkle;
use vouchsafe_translog::{Checkpoint, SignedCheckpoint, SignedNote, Tile, VerifierKey};
use vouchsafe_verifier::crypto::Ring;

use crate::support::World;

/// Their storage of a tree: all hashes in one sequence.
struct Stored(Vec<TheirHash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<TheirHash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

impl Stored {
    fn new(world: &World) -> Self {
        let mut stored = Self(Vec::new());
        for (index, leaf) in (0..).zip(&world.leaves) {
            let more = tlog_tiles::stored_hashes_for_record_hash(index, TheirHash(*leaf), &stored).unwrap();
            stored.0.extend(more);
        }
        stored
    }
}

fn theirs(hashes: &[[u8; 32]]) -> Vec<TheirHash> {
    hashes.iter().map(|hash| TheirHash(*hash)).collect()
}

#[test]
fn both_prove_every_leaf_and_beginning_alike() {
    let world = World::new(300);
    let stored = Stored::new(&world);
    for size in (1..70).chain([255, 256, 257, 300_u64]) {
        let root = merkle::root(&world.leaves[..size as usize], &Ring);
        assert_eq!(tlog_tiles::tree_hash(size, &stored).unwrap().0, root);
        let mut reader = TreeReader::new(size, |tile| world.tile(tile), &Ring);
        for index in 0..size {
            let path = theirs(&reader.inclusion(index).unwrap());
            assert_eq!(tlog_tiles::prove_record(size, index, &stored).unwrap(), path, "{index} of {size}");
            let leaf = TheirHash(world.leaves[index as usize]);
            assert!(tlog_tiles::check_record(&path, size, TheirHash(root), index, leaf).is_ok());
        }
        for old in 1..=size {
            let proof = theirs(&reader.consistency(old).unwrap());
            assert_eq!(tlog_tiles::prove_tree(size, old, &stored).unwrap(), proof, "{old} to {size}");
            let old_root = TheirHash(merkle::root(&world.leaves[..old as usize], &Ring));
            assert!(tlog_tiles::check_tree(&proof, size, TheirHash(root), old, old_root).is_ok());
        }
    }
}

proptest! {
    #[test]
    fn both_judge_bent_proofs_alike(old in 1_u64..200, more in 0_u64..200, length in 0_usize..12, bent in any::<prop::sample::Index>()) {
        let new = old + more;
        let world = World::new(new as usize);
        let mut reader = TreeReader::new(new, |tile| world.tile(tile), &Ring);
        let (old_root, new_root) = (merkle::root(&world.leaves[..old as usize], &Ring), merkle::root(&world.leaves, &Ring));
        let mut proof = reader.consistency(old).unwrap();
        let mut path = reader.inclusion(old - 1).unwrap();
        let leaf = world.leaves[old as usize - 1];
        for hashes in [&mut proof, &mut path] {
            if length < 9 {
                hashes.resize(length, [9; 32]);
            } else if !hashes.is_empty() {
                let at = bent.index(hashes.len());
                hashes[at][length] ^= 1;
            }
        }
        let ours = merkle::verify_consistency(old, &old_root, new, &new_root, &proof, &Ring).is_ok();
        let their = tlog_tiles::check_tree(&theirs(&proof), new, TheirHash(new_root), old, TheirHash(old_root)).is_ok();
        prop_assert_eq!(ours, their);
        let ours = merkle::verify_inclusion(&leaf, old - 1, new, &path, &new_root, &Ring).is_ok();
        let their = tlog_tiles::check_record(&theirs(&path), new, TheirHash(new_root), old - 1, TheirHash(leaf)).is_ok();
        prop_assert_eq!(ours, their);
    }

    #[test]
    fn both_name_the_same_tiles(old in 0_u64..200_000, more in 0_u64..200_000) {
        // Their paths name the height, which c2sp.org/tlog-tiles leaves out.
        let paths = |tiles: Vec<tlog_tiles::Tile>| {
            tiles.iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect::<Vec<_>>()
        };
        let ours: Vec<_> = Tile::grown(old, old + more).map(Tile::path).collect();
        prop_assert_eq!(ours, paths(tlog_tiles::Tile::new_tiles(8, old, old + more)));
    }

    #[test]
    fn both_judge_bent_notes_alike(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), twice in any::<bool>()) {
        let world = World::new(5);
        let key = &world.log.key;
        let mut text = world.note(5, &[10, 20]).to_string();
        if twice {
            // A second line of the log's own key, which both ignore.
            text.push_str(&format!("\u{2014} {} {}\n", key.name(), vouchsafe_verifier::encoding::to_base64(&[key.id().to_be_bytes().as_slice(), &[0; 64]].concat())));
        }
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let their_note = Note::from_bytes(&bytes);
        prop_assert_eq!(SignedNote::parse(&bytes).is_ok(), their_note.is_ok());
        let verifier = StandardVerifier::new(&key.to_string()).unwrap();
        let known = VerifierList::new(vec![Box::new(verifier)]);
        let their_checkpoint = their_note.ok().filter(|note| note.verify(&known).is_ok()).and_then(|note| {
            tlog_tiles::Checkpoint::from_bytes(note.text()).ok()
        });
        let ours = SignedCheckpoint::open(&bytes, key.name(), std::slice::from_ref(key), &Ring);
        prop_assert_eq!(ours.is_ok(), their_checkpoint.is_some());
    }

    #[test]
    fn both_read_the_same_checkpoints(text in "[a-z ]{0,3}\n?[0-9]{0,3}\n?(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=)?\n?[a-z\n]{0,6}") {
        let ours = Checkpoint::parse(&text).ok().map(|checkpoint| checkpoint.to_string());
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).ok();
        let theirs = theirs.map(|checkpoint| String::from_utf8(checkpoint.to_bytes()).unwrap());
        prop_assert_eq!(ours, theirs, "{:?}", text);
    }

    #[test]
    fn both_judge_bent_keys_alike(at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
        let mut text = World::new(0).log.key.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        let ours = VerifierKey::parse(&text, &Ring);
        // They also read an id in capitals, which nobody writes: two texts of one key are one too many.
        let is_capital = text.split('+').nth(1).is_some_and(|id| id.bytes().any(|b| b.is_ascii_uppercase()));
        let theirs = StandardVerifier::new(&text).is_ok() && !is_capital;
        prop_assert_eq!(ours.is_ok(), theirs, "{}", text);
    }
}
