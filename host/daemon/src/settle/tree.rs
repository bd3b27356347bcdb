//! One checkpoint's tree, and proofs built from the log's tiles.
//!
//! Nothing is verified here: whoever gets a proof verifies it, and a log that serves wrong tiles gets
//! its proofs refused.

use std::collections::BTreeMap;

use vouchsafe_translog::build::{BuildError, TreeReader};
use vouchsafe_translog::{Checkpoint, Hash, SignedNote, Tile};
use vouchsafe_verifier::crypto::Ring;

use super::http::LogClient;

/// Most tiles that one proof needs: two for each level.
const TILES_MAX: usize = 64;
/// Bytes of one hash.
const HASH_BYTES: usize = 32;

/// A checkpoint and the tiles read of its tree so far.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    note: String,
    size: u64,
    tiles: BTreeMap<Tile, Vec<u8>>,
}

/// A tile that is not here yet.
struct Missing;

impl Tree {
    /// The tree of a checkpoint's note.
    pub(super) fn new(note: String) -> Result<Self, String> {
        let parsed = SignedNote::parse(note.as_bytes()).and_then(|note| Checkpoint::parse(note.text()));
        let size = parsed.map_err(|error| format!("checkpoint: {error}"))?.size();
        Ok(Self { note, size, tiles: BTreeMap::new() })
    }

    pub(super) fn note(&self) -> &str {
        &self.note
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The consistency proof from its first `from` leaves.
    pub(super) async fn consistency(&mut self, log: &LogClient, from: u64) -> Result<Vec<Hash>, String> {
        match from {
            0 => Ok(Vec::new()),
            from => self.build(log, |reader| reader.consistency(from)).await,
        }
    }

    /// The inclusion path of the leaf at `index`.
    pub(super) async fn inclusion(&mut self, log: &LogClient, index: u64) -> Result<Vec<Hash>, String> {
        self.build(log, |reader| reader.inclusion(index)).await
    }

    /// Builds from the tiles at hand, fetching what turns out to be missing.
    async fn build(
        &mut self,
        log: &LogClient,
        make: impl Fn(&mut Reader<'_>) -> Result<Vec<Hash>, BuildError<Missing>>,
    ) -> Result<Vec<Hash>, String> {
        for _ in 0..TILES_MAX {
            let missing = {
                let tiles = &self.tiles;
                let read: Box<dyn FnMut(Tile) -> Result<Vec<u8>, Missing> + Send + '_> =
                    Box::new(|tile| tiles.get(&tile).cloned().ok_or(Missing));
                match make(&mut TreeReader::new(self.size, read, &Ring)) {
                    Ok(proof) => return Ok(proof),
                    Err(BuildError::Read { tile, .. }) => tile,
                    Err(BuildError::Tile { tile, error }) => return Err(format!("{}: {error}", tile.path())),
                    Err(BuildError::Outside { size }) => {
                        return Err(format!("a tree of {size} leaves has no such part"));
                    }
                    Err(_) => return Err("a proof cannot be built".into()),
                }
            };
            let bytes = fetch(log, missing).await?;
            self.tiles.insert(missing, bytes);
        }
        Err("a proof needs more tiles than any has".into())
    }
}

type Reader<'a> = TreeReader<'a, Box<dyn FnMut(Tile) -> Result<Vec<u8>, Missing> + Send + 'a>>;

/// A tile of exactly the width asked for. A log may drop a partial tile once the full one is there.
async fn fetch(log: &LogClient, tile: Tile) -> Result<Vec<u8>, String> {
    let exact = match log.get(&tile.path()).await {
        Ok(bytes) => bytes,
        Err(error) if tile.is_full() => return Err(format!("{}: {error}", tile.path())),
        Err(_) => {
            let full = tile.to_full();
            log.get(&full.path()).await.map_err(|error| format!("{}: {error}", full.path()))?
        }
    };
    let wanted = tile.width().saturating_mul(HASH_BYTES);
    exact.get(..wanted).map(<[u8]>::to_vec).ok_or_else(|| format!("{}: shorter than its width", tile.path()))
}
