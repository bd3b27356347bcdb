//! The committed log and the one way in which it grows.
//!
//! The order of durable writes is the design:
//!
//! 1. the batch is *staged*: every tile and bundle it will change, in one file, synced;
//! 2. the lock database swaps the checkpoint, if it is still the one expected, and adds the leaves to its
//!    index, in one transaction: this is the moment at which the batch is in the log;
//! 3. the high-water record, kept apart from the database, follows;
//! 4. the tiles are put in place, synced, and the staged batch is removed.
//!
//! Only then does anyone outside hear of the new checkpoint. A crash before 2 leaves the log as it was;
//! a crash after 2 is completed from the staged batch when the log is opened again. There is no clock
//! here: nothing depends on what time it is.

use std::sync::{Arc, PoisonError, RwLock};

use vouchsafe_translog::build::{BuildError, TreeReader};
use vouchsafe_translog::{Hash, SignedCheckpoint, Tile, merkle, tile};
use vouchsafe_verifier::crypto::Ring;

use crate::edge::Edge;
use crate::staged::Staged;
use crate::storage::{BootRow, Commit, Release, SignedHead, Storage, Tiles, TreeHead, leaf_key};
use crate::{Error, LogKey};

/// How many of the newest leaves have their inclusion paths at hand.
const WINDOW_LEAVES: u64 = 1 << 16;

/// A leaf to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLeaf {
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// Its RFC 6962 leaf hash.
    pub hash: Hash,
    /// For a boot leaf: the boot's id and the SPKI of its receipt key.
    pub boot: Option<([u8; 32], Vec<u8>)>,
    /// For what several people released together: what.
    pub release: Option<Release>,
    /// Lives as long as the leaf is on its way into the log: until its batch is over, or nobody submits it.
    pub(crate) on_its_way: Option<Arc<()>>,
}

impl NewLeaf {
    /// A leaf that admits no boot and is no release.
    pub fn new(bytes: Vec<u8>) -> Self {
        let hash = merkle::leaf_hash(&bytes, &Ring);
        Self { bytes, hash, boot: None, release: None, on_its_way: None }
    }
}

/// An open log. There is one for each folder; the folder's lock sees to that.
#[derive(Debug)]
pub struct Log {
    storage: Storage,
    key: Arc<LogKey>,
    head: SignedHead,
    edge: Arc<RwLock<Edge>>,
    /// The entry bundle at the edge, not full yet.
    bundle: Vec<u8>,
}

impl Log {
    /// Opens a log: completes or drops what a crash left half done, and checks that what is held is what
    /// was signed.
    ///
    /// # Errors
    /// [`Error::Behind`], [`Error::SignedDifferently`], [`Error::HighWaterMissing`], [`Error::Missing`],
    /// [`Error::Damaged`], [`Error::Root`], [`Error::DatabaseDamaged`], or as storage fails.
    pub fn open(storage: Storage, key: Arc<LogKey>) -> Result<Self, Error> {
        let head = storage.lock.head()?;
        check_signature(&head, &key)?;
        let high_water = storage.high_water.read()?;
        if let Some(mark) = high_water {
            check_against(&mark, &head.head, "the high-water record")?;
        }
        complete_staged(storage.tiles.as_ref(), &head.head)?;
        let edge = load_edge(&storage, &head.head)?;
        let bundle = load_bundle(&storage, &edge)?;
        let published = published_head(&storage, &key)?;
        let older = [(high_water, "the high-water record"), (published, "the published checkpoint")];
        for (record, name) in older {
            if let Some(record) = record {
                check_against(&record, &head.head, name)?;
                check_prefix(&storage, &record, &head.head, name)?;
            }
        }
        // `init` writes one. A disk that is not mounted looks just like none, and the folder beside it may be old.
        if high_water.is_none() && head.head.size > 0 {
            return Err(Error::HighWaterMissing { held: head.head.size });
        }
        storage.high_water.write(&head.head)?;
        Ok(Self { storage, key, head, edge: Arc::new(RwLock::new(edge)), bundle })
    }

    /// Takes the place of a log whose last append failed: opens the same folder again, keeping what
    /// readers share.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn reopen(&mut self) -> Result<(), Error> {
        let fresh = Self::open(self.storage.clone(), Arc::clone(&self.key))?;
        let edge = fresh.edge.read().unwrap_or_else(PoisonError::into_inner).clone();
        *self.edge.write().unwrap_or_else(PoisonError::into_inner) = edge;
        (self.head, self.bundle) = (fresh.head, fresh.bundle);
        Ok(())
    }

    /// The newest signed head.
    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// The key under which this log signs.
    pub fn key(&self) -> &vouchsafe_translog::VerifierKey {
        self.key.public()
    }

    /// The hashes at the edge, shared with whoever proves inclusion. It may be ahead of the head while
    /// a batch is under way.
    pub fn edge(&self) -> Arc<RwLock<Edge>> {
        Arc::clone(&self.edge)
    }

    /// What the log keeps.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Appends leaves, none of which the log has: on success they are in the log, durably, from index
    /// [`TreeHead::size`] of the head before.
    ///
    /// # Errors
    /// As storage fails. Whether the leaves are in is then not known, and the log must be
    /// [reopened](Log::reopen) before it is used again.
    pub fn append(&mut self, leaves: &[NewLeaf]) -> Result<(), Error> {
        if leaves.is_empty() {
            return Ok(());
        }
        let from = self.head.head;
        let (to, files, bundle) = self.grow(leaves)?;
        let signed = self.key.sign(to)?;
        let staged = Staged { from, to, files };
        let storage = &self.storage;
        storage.tiles.stage(&staged.to_bytes(&Ring))?;
        let places = || from.size..to.size;
        let keys: Vec<_> = leaves.iter().map(|leaf| leaf_key(&leaf.hash)).zip(places()).collect();
        let boots: Vec<_> = leaves
            .iter()
            .zip(places())
            .filter_map(|(leaf, index)| {
                let (id, spki) = leaf.boot.clone()?;
                Some(BootRow { id, spki, index })
            })
            .collect();
        let releases: Vec<_> =
            leaves.iter().zip(places()).filter_map(|(leaf, index)| Some((leaf.release?, index))).collect();
        let commit = Commit { from, to: &signed, leaves: &keys, boots: &boots, releases: &releases };
        storage.lock.commit(&commit)?;
        storage.high_water.write(&to)?;
        put_in_place(storage.tiles.as_ref(), &staged)?;
        (self.head, self.bundle) = (signed, bundle);
        Ok(())
    }

    /// The head that these leaves lead to, the files that change, and the bundle at the new edge.
    #[expect(clippy::type_complexity, reason = "three results of one step")]
    fn grow(&self, leaves: &[NewLeaf]) -> Result<(TreeHead, Vec<(String, Vec<u8>)>, Vec<u8>), Error> {
        let old_size = self.head.head.size;
        let mut edge = self.edge.write().unwrap_or_else(PoisonError::into_inner);
        for leaf in leaves {
            edge.push(leaf.hash, &Ring);
        }
        let size = edge.size();
        // What is missing here was dropped from the edge too early: a fault of this program.
        let lost = || Error::Irreparable("the tree's edge lost a hash".into());
        let root = edge.root(size, &Ring).ok_or_else(lost)?;
        let (mut files, mut bundle, mut rest) = (Vec::new(), self.bundle.clone(), leaves.iter());
        for tile in Tile::grown(old_size, size) {
            if tile.level() == 0 {
                let held = old_size.saturating_sub(tile.first_leaf());
                let missing = tile.width().saturating_sub(usize::try_from(held).unwrap_or(usize::MAX));
                for leaf in rest.by_ref().take(missing) {
                    tile::push_leaf(&mut bundle, &leaf.bytes)
                        .map_err(|error| Error::Irreparable(error.to_string()))?;
                }
                let whole = if tile.is_full() { core::mem::take(&mut bundle) } else { bundle.clone() };
                files.push((tile.entries_path(), whole));
            }
            files.push((tile.path(), edge.tile(tile).ok_or_else(lost)?));
        }
        edge.trim(size.saturating_sub(WINDOW_LEAVES));
        Ok((TreeHead { size, root }, files, bundle))
    }
}

/// Makes the first head of a new log: signed, of no leaves.
///
/// # Errors
/// [`Error::Key`].
pub fn first_head(key: &LogKey) -> Result<SignedHead, Error> {
    key.sign(TreeHead { size: 0, root: merkle::root(&[], &Ring) })
}

/// A tile's bytes as the tree of its moment had it: cut from the full tile where the partial one is gone.
///
/// # Errors
/// [`Error::Missing`], [`Error::Damaged`] or [`Error::Io`].
pub fn read_tile(tiles: &dyn Tiles, tile: Tile) -> Result<Vec<u8>, Error> {
    if let Some(bytes) = tiles.read(&tile.path())? {
        return Ok(bytes);
    }
    let full = if tile.is_full() { None } else { tiles.read(&tile.to_full().path())? };
    let mut bytes = full.ok_or_else(|| Error::Missing { path: tile.path() })?;
    bytes.truncate(tile.width().saturating_mul(32));
    Ok(bytes)
}

/// An entry bundle's bytes, as [`read_tile`].
///
/// # Errors
/// [`Error::Missing`], [`Error::Damaged`] or [`Error::Io`].
pub fn read_bundle(tiles: &dyn Tiles, tile: Tile) -> Result<Vec<u8>, Error> {
    if let Some(bytes) = tiles.read(&tile.entries_path())? {
        return Ok(bytes);
    }
    let full = if tile.is_full() { None } else { tiles.read(&tile.to_full().entries_path())? };
    let bytes = full.ok_or_else(|| Error::Missing { path: tile.entries_path() })?;
    let whole = tile.to_full();
    let leaves = whole.leaves(&bytes).map_err(|error| damaged(&whole.entries_path(), &error))?;
    let mut cut = Vec::new();
    for leaf in leaves.into_iter().take(tile.width()) {
        tile::push_leaf(&mut cut, leaf).map_err(|error| damaged(&whole.entries_path(), &error))?;
    }
    Ok(cut)
}

/// A reader of the tree of `size` leaves from its tiles.
pub fn tree_reader(
    tiles: &dyn Tiles,
    size: u64,
) -> TreeReader<'_, impl FnMut(Tile) -> Result<Vec<u8>, Error>> {
    TreeReader::new(size, move |tile| read_tile(tiles, tile), &Ring)
}

/// What a tree reader's refusal says about the files.
pub fn build_error(error: BuildError<Error>) -> Error {
    match error {
        BuildError::Read { error, .. } => error,
        BuildError::Tile { tile, error } => damaged(&tile.path(), &error),
        other => Error::Irreparable(other.to_string()),
    }
}

pub(crate) fn damaged(path: &str, why: &dyn core::fmt::Display) -> Error {
    Error::Damaged { path: path.to_owned(), why: why.to_string() }
}

fn check_signature(head: &SignedHead, key: &LogKey) -> Result<(), Error> {
    let keys = core::slice::from_ref(key.public());
    let opened = SignedCheckpoint::open(head.note.as_bytes(), key.origin(), keys, &Ring)
        .map_err(|error| damaged("the database's checkpoint", &error))?;
    let found = opened.checkpoint();
    if (found.size(), *found.root()) != (head.head.size, head.head.root) {
        return Err(damaged("the database's checkpoint", &"its note says another head"));
    }
    Ok(())
}

/// Refuses to continue where a record shows that more, or something else, was signed.
fn check_against(record: &TreeHead, head: &TreeHead, name: &'static str) -> Result<(), Error> {
    if record.size > head.size {
        return Err(Error::Behind { held: head.size, signed: record.size, record: name.into() });
    }
    if record.size == head.size && record.root != head.root {
        let (size, signed, found) = (head.size, record.root, head.root);
        return Err(Error::SignedDifferently { size, signed, found, record: name });
    }
    Ok(())
}

/// Checks that the tree begins with the tree of an earlier record.
fn check_prefix(
    storage: &Storage,
    record: &TreeHead,
    head: &TreeHead,
    name: &'static str,
) -> Result<(), Error> {
    if record.size == head.size {
        return Ok(());
    }
    let read = |tile: Tile| match read_tile(storage.tiles.as_ref(), tile) {
        // A folder filled from a mirror lacks the partial tiles of heads that nobody mirrored.
        Err(Error::Missing { path }) => {
            let wider = Tile::in_tree(tile.level(), tile.index(), head.size);
            let wider = wider.ok_or(Error::Missing { path })?;
            let mut bytes = read_tile(storage.tiles.as_ref(), wider)?;
            bytes.truncate(tile.width().saturating_mul(32));
            Ok(bytes)
        }
        other => other,
    };
    let found = TreeReader::new(record.size, read, &Ring).root().map_err(build_error)?;
    if found != record.root {
        let (size, signed) = (record.size, record.root);
        return Err(Error::SignedDifferently { size, signed, found, record: name });
    }
    Ok(())
}

/// Finishes, or drops, what a crash left staged.
pub(crate) fn complete_staged(tiles: &dyn Tiles, head: &TreeHead) -> Result<(), Error> {
    let Some(bytes) = tiles.staged()? else { return Ok(()) };
    // A record that cannot be read was not needed yet: it is whole before the database moves. If it is
    // damaged for another reason, the tiles it should have given are missed and named next.
    match Staged::parse(&bytes, &Ring) {
        Some(staged) if staged.to == *head => put_in_place(tiles, &staged),
        _ => tiles.unstage(),
    }
}

fn put_in_place(tiles: &dyn Tiles, staged: &Staged) -> Result<(), Error> {
    tiles.write(&staged.files)?;
    tiles.unstage()?;
    for tile in Tile::grown(staged.from.size, staged.to.size).filter(|tile| tile.is_full()) {
        tiles.remove_partials(&tile.path())?;
        if tile.level() == 0 {
            tiles.remove_partials(&tile.entries_path())?;
        }
    }
    Ok(())
}

fn load_edge(storage: &Storage, head: &TreeHead) -> Result<Edge, Error> {
    let edge = Edge::load(head.size, &Ring, |tile| {
        let bytes = read_tile(storage.tiles.as_ref(), tile)?;
        tile.hashes(&bytes).map_err(|error| damaged(&tile.path(), &error))
    })?;
    match edge.root(head.size, &Ring) {
        Some(root) if root == head.root => Ok(edge),
        found => Err(Error::Root { size: head.size, signed: head.root, found: found.unwrap_or_default() }),
    }
}

/// The entry bundle at the edge, held against the edge's leaf hashes; empty where the last one is full.
fn load_bundle(storage: &Storage, edge: &Edge) -> Result<Vec<u8>, Error> {
    let index = edge.size() / tile::TILE_WIDTH;
    let Some(tile) = Tile::in_tree(0, index, edge.size()) else { return Ok(Vec::new()) };
    let bytes = read_bundle(storage.tiles.as_ref(), tile)?;
    let leaves = tile.leaves(&bytes).map_err(|error| damaged(&tile.entries_path(), &error))?;
    for (index, leaf) in (tile.first_leaf()..).zip(leaves) {
        if edge.leaf(index) != Some(merkle::leaf_hash(leaf, &Ring)) {
            return Err(damaged(&tile.entries_path(), &format!("leaf {index} has another hash")));
        }
    }
    Ok(bytes)
}

/// The head of the published checkpoint, where one was published.
fn published_head(storage: &Storage, key: &LogKey) -> Result<Option<TreeHead>, Error> {
    const PATH: &str = "checkpoint";
    let Some(bytes) = storage.tiles.read(PATH)? else { return Ok(None) };
    let keys = core::slice::from_ref(key.public());
    let opened =
        SignedCheckpoint::open(&bytes, key.origin(), keys, &Ring).map_err(|error| damaged(PATH, &error))?;
    let found = opened.checkpoint();
    Ok(Some(TreeHead { size: found.size(), root: *found.root() }))
}
