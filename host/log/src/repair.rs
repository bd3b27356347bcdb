//! Repair: what can be computed again is. Tiles from entries, the index from tiles and blobs.
//!
//! Nothing new is signed here, and nothing is written until the entries are shown to lead to a root that
//! this log signed. Entries and blobs themselves cannot be computed: those come from a mirror.

use std::sync::Arc;

use vouchsafe_receipt::{BootRecord, BootStatement, Leaf};
use vouchsafe_translog::{Frontier, SignedCheckpoint, Tile, merkle, tile};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::admission::release_of;
use crate::edge::{Edge, partial_tiles};
use crate::log::{complete_staged, damaged, read_bundle};
use crate::storage::{
    BootRow, Database, HighWater as _, LeafKey, Lock as _, Release, Storage, Tiles, TreeHead, leaf_key,
};
use crate::{Error, Folder, LogKey};

/// Rows added to the index at once.
const INDEX_ROWS: usize = 1 << 14;
const PROGRESS_LEAVES: u64 = 1 << 18;

/// What was rebuilt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// The log's size.
    pub size: u64,
    /// Tiles that were missing or wrong.
    pub tiles_written: u64,
    /// Leaves in the rebuilt index.
    pub leaves_indexed: u64,
    /// Boots in the rebuilt index.
    pub boots_indexed: u64,
}

/// Rebuilds tiles and index of the log in `folder`, whose lock the caller holds.
///
/// The newest head is the largest that the database, the published checkpoint or the high-water record
/// shows. A database that is damaged, or older than that, is put aside, not removed.
///
/// # Errors
/// [`Error::Irreparable`], [`Error::Missing`] or [`Error::Damaged`] for what has to
/// come from a mirror, or as storage fails.
pub fn run(folder: &Folder, key: &LogKey, mut progress: impl FnMut(u64, u64)) -> Result<RepairReport, Error> {
    let newest = newest_record(folder, key)?;
    let database = match Database::open(&folder.database()) {
        Ok(database) => {
            let held = database.head()?.head;
            // Restored from a backup, say, with what was missing brought from a mirror.
            let is_old = newest.is_some_and(|newest| newest.size > held.size);
            if is_old { None } else { Some(Arc::new(database)) }
        }
        Err(Error::DatabaseDamaged { .. } | Error::NoLog { .. }) => None,
        Err(error) => return Err(error),
    };
    let files = folder.files();
    let (database, head) = match (database, newest) {
        (Some(database), _) => {
            let head = database.head()?.head;
            complete_staged(&files, &head)?;
            check_entries(&files, &head)?;
            (database, head)
        }
        (None, Some(head)) => {
            complete_staged(&files, &head)?;
            check_entries(&files, &head)?;
            (replace_database(folder, key, head)?, head)
        }
        (None, None) => {
            let why = "neither the database nor a checkpoint nor the high-water record is left";
            return Err(Error::Irreparable(why.into()));
        }
    };
    let storage = folder.storage(Arc::clone(&database));
    let mut rebuild = Rebuild {
        storage: &storage,
        database: &database,
        edge: Edge::default(),
        leaves: Vec::with_capacity(INDEX_ROWS),
        boots: Vec::new(),
        releases: Vec::new(),
        report: RepairReport { size: head.size, ..RepairReport::default() },
    };
    database.clear_index()?;
    for index in 0..head.size.div_ceil(tile::TILE_WIDTH) {
        let Some(tile) = Tile::in_tree(0, index, head.size) else { break };
        rebuild.bundle(tile)?;
        let done = rebuild.edge.size();
        if done.is_multiple_of(PROGRESS_LEAVES) || done == head.size {
            progress(done, head.size);
        }
    }
    for tile in partial_tiles(head.size) {
        rebuild.restore(tile)?;
    }
    rebuild.flush()?;
    if !database.has_releases()? {
        database.fill_releases(&releases(&files, &head)?)?;
    }
    Ok(rebuild.report)
}

/// The largest head that records beside the database show to have been signed.
fn newest_record(folder: &Folder, key: &LogKey) -> Result<Option<TreeHead>, Error> {
    let mark = folder.high_water_record().read()?;
    let published = match crate::storage::read(&folder.public().join("checkpoint"))? {
        None => None,
        Some(bytes) => {
            let keys = core::slice::from_ref(key.public());
            let opened = SignedCheckpoint::open(&bytes, key.origin(), keys, &Ring)
                .map_err(|error| damaged("checkpoint", &error))?;
            Some(TreeHead { size: opened.checkpoint().size(), root: *opened.checkpoint().root() })
        }
    };
    Ok([mark, published].into_iter().flatten().max_by_key(|head| head.size))
}

/// Puts a lost, damaged or old database aside and makes one of a head that was signed before: the entries
/// lead to it, and signing it again says nothing new.
fn replace_database(folder: &Folder, key: &LogKey, head: TreeHead) -> Result<Arc<Database>, Error> {
    if let Some(aside) = folder.put_database_aside()? {
        eprintln!("vouchsafe-log: the old database is kept as {}", aside.display());
    }
    Database::create(&folder.database(), &key.sign(head)?).map(Arc::new)
}

/// Shows that the entries lead to the root that was signed, before anything is changed.
fn check_entries(files: &dyn Tiles, head: &TreeHead) -> Result<(), Error> {
    let mut frontier = Frontier::new();
    for index in 0..head.size.div_ceil(tile::TILE_WIDTH) {
        let Some(tile) = Tile::in_tree(0, index, head.size) else { break };
        let bytes = read_bundle(files, tile)?;
        let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
        leaves.into_iter().for_each(|leaf| frontier.push(merkle::leaf_hash(leaf, &Ring), &Ring));
    }
    match frontier.root(&Ring) {
        root if root == head.root => Ok(()),
        _ => Err(Error::Irreparable(
            "the entries do not lead to the signed root: take them from a mirror".into(),
        )),
    }
}

/// Every release among the entries, and where it is.
pub(crate) fn releases(files: &dyn Tiles, head: &TreeHead) -> Result<Vec<(Release, u64)>, Error> {
    complete_staged(files, head)?;
    let mut found = Vec::new();
    for index in 0..head.size.div_ceil(tile::TILE_WIDTH) {
        let Some(tile) = Tile::in_tree(0, index, head.size) else { break };
        let bytes = read_bundle(files, tile)?;
        let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
        for (place, leaf) in (tile.first_leaf()..).zip(leaves) {
            let release = Leaf::parse(leaf).ok().as_ref().and_then(release_of);
            found.extend(release.map(|release| (release, place)));
        }
    }
    Ok(found)
}

struct Rebuild<'a> {
    storage: &'a Storage,
    database: &'a Database,
    edge: Edge,
    leaves: Vec<(LeafKey, u64)>,
    boots: Vec<BootRow>,
    releases: Vec<(Release, u64)>,
    report: RepairReport,
}

impl Rebuild<'_> {
    fn bundle(&mut self, tile: Tile) -> Result<(), Error> {
        let bytes = read_bundle(self.storage.tiles.as_ref(), tile)?;
        let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
        for leaf in leaves {
            let (index, hash) = (self.edge.size(), merkle::leaf_hash(leaf, &Ring));
            self.edge.push(hash, &Ring);
            self.leaves.push((leaf_key(&hash), index));
            self.boots.extend(self.boot(leaf, index)?);
            let release = Leaf::parse(leaf).ok().as_ref().and_then(release_of);
            self.releases.extend(release.map(|release| (release, index)));
        }
        for grown in Tile::grown(tile.first_leaf(), self.edge.size()).filter(|tile| tile.is_full()) {
            self.restore(grown)?;
        }
        self.edge.trim(self.edge.size());
        if self.leaves.len() >= INDEX_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes a tile that is missing or wrong.
    fn restore(&mut self, tile: Tile) -> Result<(), Error> {
        let Some(expected) = self.edge.tile(tile) else { return Ok(()) };
        if self.storage.tiles.read(&tile.path())?.as_ref() != Some(&expected) {
            self.storage.tiles.write(&[(tile.path(), expected)])?;
            self.report.tiles_written = self.report.tiles_written.saturating_add(1);
        }
        Ok(())
    }

    /// A boot that is in the log was admitted: its key is in the statement that its leaf names.
    fn boot(&self, leaf: &[u8], index: u64) -> Result<Option<BootRow>, Error> {
        let Ok(Leaf::Boot(signed)) = Leaf::parse(leaf) else { return Ok(None) };
        let limits = Limits { bytes_max: 4096, depth_max: 4 };
        let lost = |why: String| Error::Irreparable(format!("the boot leaf at {index}: {why}"));
        let record: BootRecord = strict_json::parse(signed.envelope().unverified_payload(), limits)
            .map_err(|error| lost(error.to_string()))?;
        let statement = self.storage.blobs.read(&record.statement.0)?;
        let statement = statement.ok_or_else(|| lost("its statement is missing".into()))?;
        let statement = BootStatement::parse(&statement, &Ring).map_err(|error| lost(error.to_string()))?;
        let key = statement.receipt_key(&Ring).map_err(|error| lost(error.to_string()))?;
        BootRecord::verify(signed.envelope(), &key, &Ring).map_err(|error| lost(error.to_string()))?;
        Ok(Some(BootRow { id: signed.boot(), spki: statement.keys.receipt.0, index }))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.database.add_index(&self.leaves, &self.boots, &self.releases)?;
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        self.report.leaves_indexed = self.report.leaves_indexed.saturating_add(count(self.leaves.len()));
        self.report.boots_indexed = self.report.boots_indexed.saturating_add(count(self.boots.len()));
        self.leaves.clear();
        self.boots.clear();
        self.releases.clear();
        Ok(())
    }
}
