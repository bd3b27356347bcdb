//! Tree shapes: proofs of every leaf and every beginning, from memory and from tiles.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vouchsafe_translog::build::{BuildError, TreeReader};
use vouchsafe_translog::merkle::{self, ConsistencyError};
use vouchsafe_translog::tile::{self, Resource};
use vouchsafe_translog::{Error, Frontier, Tile};
use vouchsafe_verifier::crypto::Ring;

use crate::support::{World, leaf};

#[test]
fn every_beginning_of_every_small_tree_is_proved() {
    let world = World::new(40);
    let roots: Vec<_> = (0..=40).map(|size| merkle::root(&world.leaves[..size], &Ring)).collect();
    for new in 0..=40_u64 {
        for old in 0..=new {
            let proof = consistency(&world, old, new);
            let verify = |old: u64, old_root, new_root, proof: &[[u8; 32]]| {
                merkle::verify_consistency(old, old_root, new, new_root, proof, &Ring)
            };
            let (old_root, new_root) = (&roots[old as usize], &roots[new as usize]);
            assert_eq!(verify(old, old_root, new_root, &proof), Ok(()), "{old} to {new}");
            assert!(verify(old, &[7; 32], new_root, &proof).is_err(), "{old} to {new}");
            assert!(old == 0 || verify(old, old_root, &[7; 32], &proof).is_err(), "{old} to {new}");
            let longer = [proof.clone(), vec![[0; 32]]].concat();
            let wrong = verify(old, old_root, new_root, &longer);
            assert!(matches!(wrong, Err(ConsistencyError::ProofLength { .. })), "{old} to {new}: {wrong:?}");
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify(old, old_root, new_root, shorter).is_err(), "{old} to {new}");
            }
            for at in 0..proof.len() {
                let mut bent = proof.clone();
                bent[at][0] ^= 1;
                assert!(verify(old, old_root, new_root, &bent).is_err(), "{old} to {new}, hash {at}");
            }
            for other in (1..=40).filter(|other| *other != old && old > 0) {
                assert!(verify(other, old_root, new_root, &proof).is_err(), "{old} as {other} to {new}");
            }
        }
    }
    let shrinks = merkle::verify_consistency(3, &roots[3], 2, &roots[2], &[], &Ring);
    assert_eq!(shrinks, Err(ConsistencyError::Shrinks { old: 3, new: 2 }));
    assert_eq!(merkle::consistency_ranges(3, 2), None);
}

fn consistency(world: &World, old: u64, new: u64) -> Vec<[u8; 32]> {
    let ranges = merkle::consistency_ranges(old, new).unwrap();
    let hash = |range: std::ops::Range<u64>| {
        merkle::root(&world.leaves[range.start as usize..range.end as usize], &Ring)
    };
    ranges.into_iter().map(hash).collect()
}

#[test]
fn ranges_are_the_paths_of_the_recursive_definition() {
    let world = World::new(70);
    for size in 1..=70 {
        for index in 0..size {
            let path = merkle::inclusion_path(&world.leaves[..size], index, &Ring).unwrap();
            let ranges = merkle::inclusion_ranges(index as u64, size as u64).unwrap();
            let hashes: Vec<_> = ranges
                .into_iter()
                .map(|range| merkle::root(&world.leaves[range.start as usize..range.end as usize], &Ring))
                .collect();
            assert_eq!(hashes, path, "leaf {index} of {size}");
        }
        assert_eq!(merkle::inclusion_ranges(size as u64, size as u64), None);
    }
}

#[test]
fn the_largest_tree_has_paths_of_63_hashes() {
    let size = vouchsafe_translog::TREE_SIZE_MAX;
    assert_eq!(merkle::inclusion_ranges(0, size).unwrap().len(), merkle::PATH_LEN_MAX);
    assert!(merkle::inclusion_ranges(size - 1, size).unwrap().len() <= merkle::PATH_LEN_MAX);
    for old in [1, 2, 3, size / 2, size / 2 + 1, size - 1] {
        assert!(merkle::consistency_ranges(old, size).unwrap().len() <= merkle::PATH_LEN_MAX + 1);
    }
}

#[test]
fn tiles_give_the_same_proofs_as_leaves() {
    let world = World::new(66_000);
    for size in [1_usize, 2, 255, 256, 257, 300, 511, 512, 513, 65_535, 65_536, 65_537, 66_000] {
        let leaves = &world.leaves[..size];
        let root = merkle::root(leaves, &Ring);
        let mut reader = TreeReader::new(size as u64, |tile| world.tile(tile), &Ring);
        assert_eq!(reader.root().unwrap(), root, "size {size}");
        let frontier = Frontier::resume(size as u64, reader.frontier().unwrap()).unwrap();
        assert_eq!(frontier.root(&Ring), root, "size {size}");
        for index in [0, 1, size / 3, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let path = reader.inclusion(index as u64).unwrap();
            let hash = reader.leaf(index as u64).unwrap();
            assert_eq!(hash, leaf(index as u64));
            let verified = merkle::verify_inclusion(&hash, index as u64, size as u64, &path, &root, &Ring);
            assert_eq!(verified, Ok(()), "leaf {index} of {size}");
        }
        for old in [0, 1, 2, 200, 256, 300, size / 2, size - 1, size].into_iter().filter(|old| *old <= size) {
            let proof = reader.consistency(old as u64).unwrap();
            let old_root = merkle::root(&world.leaves[..old], &Ring);
            let (old, new) = (old as u64, size as u64);
            let verified = merkle::verify_consistency(old, &old_root, new, &root, &proof, &Ring);
            assert_eq!(verified, Ok(()), "{old} to {new}");
        }
    }
}

#[test]
fn a_reader_says_which_tile_failed() {
    let world = World::new(300);
    let mut reader = TreeReader::new(300, |_| Err::<Vec<u8>, _>("gone"), &Ring);
    let Err(BuildError::Read { tile, error }) = reader.inclusion(5) else { panic!("it can't be read") };
    assert_eq!((tile.path().as_str(), error), ("tile/0/000", "gone"));
    let mut reader = TreeReader::new(300, |tile| world.tile(tile).map(|bytes| bytes[1..].to_vec()), &Ring);
    assert!(matches!(reader.root(), Err(BuildError::Tile { error: Error::TileMalformed { .. }, .. })));
    let mut reader = TreeReader::new(300, |tile| world.tile(tile), &Ring);
    assert!(matches!(reader.inclusion(300), Err(BuildError::Outside { size: 300 })));
    assert!(matches!(reader.leaf(300), Err(BuildError::Outside { size: 300 })));
    assert!(matches!(reader.consistency(301), Err(BuildError::Outside { size: 300 })));
    let mut empty = TreeReader::new(0, |tile| world.tile(tile), &Ring);
    assert_eq!(empty.root().unwrap(), merkle::root(&[], &Ring));
    assert!(empty.inclusion(0).is_err());
}

#[test]
fn a_frontier_grows_as_the_tree_does() {
    let world = World::new(600);
    let mut frontier = Frontier::new();
    for size in 0..=600 {
        assert_eq!(frontier.root(&Ring), merkle::root(&world.leaves[..size], &Ring), "size {size}");
        let resumed = Frontier::resume(size as u64, frontier.roots().to_vec()).unwrap();
        assert_eq!(resumed, frontier);
        assert_eq!(Frontier::resume(size as u64, [frontier.roots(), &[[0; 32]]].concat()), None);
        if let Some(leaf) = world.leaves.get(size) {
            frontier.push(*leaf, &Ring);
        }
    }
    assert_eq!(Frontier::resume(1 << 63, vec![[0; 32]]), None);
}

#[test]
fn the_tiles_of_the_specifications_example() {
    // c2sp.org/tlog-tiles, *Partial Tiles*: a tree of 70,000 leaves, one of 256.
    let tiles: Vec<_> = Tile::grown(0, 70_000).collect();
    let full = |level| tiles.iter().filter(|tile| tile.level() == level && tile.is_full()).count();
    let partial = |level| {
        let widths: Vec<_> =
            tiles.iter().filter(|tile| tile.level() == level && !tile.is_full()).map(|t| t.width()).collect();
        widths
    };
    assert_eq!((full(0), partial(0)), (273, vec![112]));
    assert_eq!((full(1), partial(1)), (1, vec![17]));
    assert_eq!((full(2), partial(2)), (0, vec![1]));
    assert_eq!((full(3), partial(3)), (0, vec![]));
    let paths: Vec<_> = Tile::grown(0, 256).map(Tile::path).collect();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(Tile::in_tree(0, 1_234_067, 1 << 40).unwrap().path(), "tile/0/x001/x234/067");
    assert_eq!(Tile::in_tree(1, 273, 70_000 * 256).unwrap().path(), "tile/1/273.p/112");
    assert_eq!(Tile::in_tree(0, 273, 70_000).unwrap().entries_path(), "tile/entries/273.p/112");
    assert_eq!(Tile::in_tree(0, 273, 70_000).unwrap().to_full().path(), "tile/0/273");
    assert_eq!(Tile::in_tree(0, 273, 70_000).unwrap().first_leaf(), 69_888);
}

#[test]
fn a_growing_log_writes_each_tile_that_changes() {
    let sizes = [0_u64, 1, 1, 3, 255, 256, 257, 512, 600, 65_536, 65_537, 70_000];
    let mut written = BTreeSet::new();
    for pair in sizes.windows(2) {
        let grown: Vec<_> = Tile::grown(pair[0], pair[1]).collect();
        assert!(grown.iter().all(|tile| written.insert(*tile)), "{pair:?} writes a tile twice");
        // Whatever a reader of the new tree asks for is there.
        for (level, size) in [(0, pair[1]), (1, pair[1] >> 8), (2, pair[1] >> 16)] {
            for index in 0..size.div_ceil(256) {
                let tile = Tile::in_tree(level, index, pair[1]).unwrap();
                assert!(written.contains(&tile), "{} at {}", tile.path(), pair[1]);
            }
        }
    }
}

#[test]
fn paths_have_one_form() {
    for path in [
        "tile/0/000",
        "tile/7/x001/x234/067",
        "tile/1/273.p/112",
        "tile/entries/999",
        "tile/entries/x001/000.p/255",
    ] {
        let written = match Resource::parse(path).unwrap() {
            Resource::Hashes(tile) => tile.path(),
            Resource::Entries(tile) => tile.entries_path(),
            _ => unreachable!("no third kind"),
        };
        assert_eq!(written, path);
    }
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/00/000",
        "tile/8/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/000/",
        "tile/0/../000",
        "tile/data/000",
        "tile/entries/../../etc",
        "/tile/0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/+00",
        "tile/0/０００",
    ] {
        assert!(Resource::parse(path).is_err(), "{path}");
    }
}

#[test]
fn entry_bundles_hold_exactly_their_leaves() {
    let tile = Tile::in_tree(0, 0, 3).unwrap();
    let mut bundle = Vec::new();
    let long = vec![7; tile::LEAF_BYTES_MAX];
    for leaf in [b"one".as_slice(), b"", &long] {
        tile::push_leaf(&mut bundle, leaf).unwrap();
    }
    assert_eq!(tile.leaves(&bundle).unwrap(), [b"one".as_slice(), b"", &long]);
    let too_long = vec![7; tile::LEAF_BYTES_MAX + 1];
    assert!(matches!(tile::push_leaf(&mut bundle.clone(), &too_long), Err(Error::LeafTooLong { .. })));
    assert!(Tile::in_tree(0, 0, 4).unwrap().leaves(&bundle).is_err());
    assert!(Tile::in_tree(0, 0, 2).unwrap().leaves(&bundle).is_err());
    for cut in [1, 2, 4, 6, bundle.len() - 1] {
        assert!(tile.leaves(&bundle[..cut]).is_err(), "cut at {cut}");
    }
    assert!(tile.leaves(&[bundle.as_slice(), &[0]].concat()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn grown_trees_are_consistent_and_others_are_not(old in 1_usize..600, more in 1_usize..600, fork in any::<prop::sample::Index>()) {
        let world = World::new(old + more);
        let mut reader = TreeReader::new((old + more) as u64, |tile| world.tile(tile), &Ring);
        let proof = reader.consistency(old as u64).unwrap();
        let new_root = merkle::root(&world.leaves, &Ring);
        let old_root = merkle::root(&world.leaves[..old], &Ring);
        let (old_size, new_size) = (old as u64, (old + more) as u64);
        prop_assert_eq!(merkle::verify_consistency(old_size, &old_root, new_size, &new_root, &proof, &Ring), Ok(()));
        // A log that changed one of the first leaves can't prove its new tree, whatever proof it makes.
        let mut forked = World::new(old + more);
        forked.leaves[fork.index(old)] = [0; 32];
        let forked_root = merkle::root(&forked.leaves, &Ring);
        let mut reader = TreeReader::new(new_size, |tile| forked.tile(tile), &Ring);
        for proof in [proof, reader.consistency(old_size).unwrap()] {
            prop_assert!(merkle::verify_consistency(old_size, &old_root, new_size, &forked_root, &proof, &Ring).is_err());
        }
    }

    #[test]
    fn any_tile_of_any_tree_has_a_path_that_reads_as_it(level in 0_u8..8, index in any::<u64>(), size in 0..(1_u64 << 63)) {
        let hashes = size >> (8 * u32::from(level));
        let index = index % (hashes / 256 + 1);
        if let Some(tile) = Tile::in_tree(level, index, size) {
            prop_assert_eq!(Resource::parse(&tile.path()).unwrap(), Resource::Hashes(tile));
        }
    }

    #[test]
    fn any_bytes_are_leaves_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 1_u64..256) {
        let tile = Tile::in_tree(0, 0, count).unwrap();
        if let Ok(leaves) = tile.leaves(&bytes) {
            let mut again = Vec::new();
            leaves.iter().for_each(|leaf| tile::push_leaf(&mut again, leaf).unwrap());
            prop_assert_eq!(&again, &bytes);
        }
        let _ = tile.hashes(&bytes);
    }
}
