//! The C2SP crates as a second opinion on what this log signs and writes.

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Error, Hash, HashReader as _, Tile, TileHashReader, TileReader};

use crate::common::Place;

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
