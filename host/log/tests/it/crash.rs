//! Deterministic crashes: the log dies before, after and in the middle of every single durable write.
//!
//! After each, the folder is opened again as the next process would, and the submitters come again with
//! everything they got no answer for. Nothing may be lost, nothing doubled, nothing forked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use vouchsafe_log::admission::{Admission as _, PolicyAdmission, Refusal};
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_log::log::tree_reader;
use vouchsafe_log::storage::{
    Blobs, BootRow, Commit, HighWater, LeafKey, Lock, SignedHead, Storage, Tiles, TreeHead,
};
use vouchsafe_log::{Error, Log, NewLeaf, check, sequence};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

use crate::admission::{Boot, Vendor};
use crate::common::{Place, all_leaves, leaf};

/// How a write is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    /// Nothing of it happened.
    Before,
    /// All of it happened, but nobody heard.
    After,
    /// Half of the staged batch is on disk: the one file whose reader is told to expect that.
    Torn,
}

/// Dies at the n-th write, and stays dead.
struct Mortal {
    steps_left: AtomicI64,
    hit: Hit,
}

impl Mortal {
    fn dead() -> Error {
        Error::Io { path: "crash".into(), message: "dead".into() }
    }

    fn read(&self) -> Result<(), Error> {
        if self.steps_left.load(SeqCst) <= 0 { Err(Self::dead()) } else { Ok(()) }
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        match self.steps_left.fetch_sub(1, SeqCst) {
            ..=0 => Err(Self::dead()),
            1 if self.hit == Hit::After => write().and(Err(Self::dead())),
            1 => Err(Self::dead()),
            _ => write(),
        }
    }
}

struct MortalTiles(Arc<dyn Tiles>, Arc<Mortal>);
struct MortalLock(Arc<dyn Lock>, Arc<Mortal>);
struct MortalHighWater(Arc<dyn HighWater>, Arc<Mortal>);
struct MortalBlobs(Arc<dyn Blobs>, Arc<Mortal>);

impl Tiles for MortalTiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.1.read()?;
        self.0.read(path)
    }
    fn len(&self, path: &str) -> Result<Option<u64>, Error> {
        self.1.read()?;
        self.0.len(path)
    }
    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
        // File by file: each is a moment to die at.
        files.iter().try_for_each(|file| self.1.write(|| self.0.write(std::slice::from_ref(file))))
    }
    fn remove_partials(&self, tile: &str) -> Result<(), Error> {
        self.1.write(|| self.0.remove_partials(tile))
    }
    fn stage(&self, record: &[u8]) -> Result<(), Error> {
        if self.1.hit == Hit::Torn && self.1.steps_left.load(SeqCst) == 1 {
            self.0.stage(&record[..record.len() / 2]).unwrap();
        }
        self.1.write(|| self.0.stage(record))
    }
    fn staged(&self) -> Result<Option<Vec<u8>>, Error> {
        self.1.read()?;
        self.0.staged()
    }
    fn unstage(&self) -> Result<(), Error> {
        self.1.write(|| self.0.unstage())
    }
    fn publish(&self, checkpoint: &[u8]) -> Result<(), Error> {
        self.1.write(|| self.0.publish(checkpoint))
    }
}

impl Lock for MortalLock {
    fn head(&self) -> Result<SignedHead, Error> {
        self.1.read()?;
        self.0.head()
    }
    fn commit(&self, commit: &Commit<'_>) -> Result<(), Error> {
        self.1.write(|| self.0.commit(commit))
    }
    fn find(&self, leaf: &LeafKey) -> Result<Option<u64>, Error> {
        self.1.read()?;
        self.0.find(leaf)
    }
    fn boot(&self, id: &[u8; 32]) -> Result<Option<BootRow>, Error> {
        self.1.read()?;
        self.0.boot(id)
    }
    fn release(&self, payload: &[u8; 32]) -> Result<Vec<u64>, Error> {
        self.1.read()?;
        self.0.release(payload)
    }
    fn releases(&self, kind: u8) -> Result<Vec<u64>, Error> {
        self.1.read()?;
        self.0.releases(kind)
    }
}

impl Blobs for MortalBlobs {
    fn read(&self, sha256: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        self.1.read()?;
        self.0.read(sha256)
    }
    fn write(&self, sha256: &[u8; 32], bytes: &[u8]) -> Result<(), Error> {
        self.1.write(|| self.0.write(sha256, bytes))
    }
}

impl HighWater for MortalHighWater {
    fn read(&self) -> Result<Option<TreeHead>, Error> {
        self.1.read()?;
        self.0.read()
    }
    fn write(&self, head: &TreeHead) -> Result<(), Error> {
        self.1.write(|| self.0.write(head))
    }
}

fn mortal(storage: &Storage, steps: i64, hit: Hit) -> (Storage, Arc<Mortal>) {
    let mortal = Arc::new(Mortal { steps_left: AtomicI64::new(steps), hit });
    let wrapped = Storage {
        tiles: Arc::new(MortalTiles(Arc::clone(&storage.tiles), Arc::clone(&mortal))),
        blobs: Arc::new(MortalBlobs(Arc::clone(&storage.blobs), Arc::clone(&mortal))),
        lock: Arc::new(MortalLock(Arc::clone(&storage.lock), Arc::clone(&mortal))),
        high_water: Arc::new(MortalHighWater(Arc::clone(&storage.high_water), Arc::clone(&mortal))),
    };
    (wrapped, mortal)
}

/// What the world knows: answers given, checkpoints seen.
#[derive(Default)]
struct World {
    answered: Vec<(NewLeaf, u64)>,
    seen: Vec<TreeHead>,
}

/// Batches that fill tiles exactly, overfill them, and repeat leaves of earlier ones.
fn script() -> Vec<Vec<NewLeaf>> {
    let ranges = [0..1, 1..4, 2..256, 256..257, 250..800];
    ranges.into_iter().map(|range| range.map(leaf).collect()).collect()
}

/// One process: opens the log, takes batches from `from` on, publishes after each. Gives the batch at
/// which it died; the number of batches if it lived.
fn live(place: &Place, storage: Storage, from: usize, world: &mut World) -> (usize, Result<(), Error>) {
    let mut log = match Log::open(storage, Arc::clone(&place.key)) {
        Ok(log) => log,
        Err(error) => return (from, Err(error)),
    };
    for (at, batch) in script().iter().enumerate().skip(from) {
        let places = match sequence(&mut log, batch) {
            Ok(batch) => batch.places,
            Err(error) => return (at, Err(error)),
        };
        if let Err(error) = log.storage().tiles.publish(log.head().note.as_bytes()) {
            return (at, Err(error));
        }
        world.seen.push(log.head().head);
        world.answered.extend(batch.iter().cloned().zip(places));
    }
    (script().len(), Ok(()))
}

fn check_world(place: &Place, world: &World, context: &str) {
    let storage = place.storage();
    let head = storage.lock.head().unwrap().head;
    let leaves = all_leaves(&storage);
    let distinct: HashSet<_> = leaves.iter().collect();
    assert_eq!(distinct.len(), leaves.len(), "{context}: a leaf was doubled");
    for (leaf, index) in &world.answered {
        let held = leaves.get(usize::try_from(*index).unwrap());
        assert_eq!(held, Some(&leaf.bytes), "{context}: leaf {index} was lost or moved");
    }
    for seen in &world.seen {
        assert!(seen.size <= head.size, "{context}: the log shrank");
        let root = tree_reader(storage.tiles.as_ref(), seen.size).root().unwrap();
        assert_eq!(root, seen.root, "{context}: a fork at {}", seen.size);
    }
    check::full(&storage, &head, |_| ()).unwrap();
    check::shape(storage.tiles.as_ref(), head.size).unwrap();
    assert_eq!(storage.tiles.staged(), Ok(None), "{context}: a staged batch was left");
}

fn crash_at(steps: i64, hit: Hit) -> bool {
    let context = format!("{hit:?} step {steps}");
    let (place, mut world) = (Place::new(), World::default());
    let (storage, _) = mortal(&place.storage(), steps, hit);
    let (died_at, result) = live(&place, storage, 0, &mut world);
    if result.is_ok() {
        return false;
    }
    // The next process dies as well, a little later each time: recovery itself is interrupted.
    for steps in [1, 4] {
        let (storage, _) = mortal(&place.storage(), steps, hit);
        let (_, result) = live(&place, storage, died_at, &mut world);
        if let Err(error) = result {
            assert!(matches!(error, Error::Io { .. }), "{context}: {error}");
        }
    }
    let (_, result) = live(&place, place.storage(), died_at, &mut world);
    result.unwrap_or_else(|error| panic!("{context}: not recovered: {error}"));
    check_world(&place, &world, &context);
    assert_eq!(all_leaves(&place.storage()).len(), 800, "{context}");
    true
}

#[test]
fn a_crash_at_every_write_loses_doubles_and_forks_nothing() {
    for hit in [Hit::Before, Hit::After, Hit::Torn] {
        let died = (1..).take_while(|steps| crash_at(*steps, hit)).count();
        // Were there no more writes than batches, the wrapper would not be in the way of anything.
        assert!(died > 40, "{hit:?}: only {died} moments to die at");
    }
}

#[test]
fn a_full_disk_refuses_a_batch_and_the_next_one_succeeds() {
    for steps in 1..30 {
        let (place, mut world) = (Place::new(), World::default());
        let (storage, mortal) = mortal(&place.storage(), i64::MAX, Hit::Before);
        let mut log = Log::open(storage, Arc::clone(&place.key)).unwrap();
        let batches = script();
        let first = sequence(&mut log, &batches[2]).unwrap();
        world.seen.push(log.head().head);
        world.answered.extend(batches[2].iter().cloned().zip(first.places));
        mortal.steps_left.store(steps, SeqCst);
        let failed = sequence(&mut log, &batches[4]);
        // There is room again: the same process goes on.
        mortal.steps_left.store(i64::MAX, SeqCst);
        if failed.is_err() {
            log.reopen().unwrap();
        }
        let again = sequence(&mut log, &batches[4]).unwrap();
        world.seen.push(log.head().head);
        world.answered.extend(batches[4].iter().cloned().zip(again.places));
        check_world(&place, &world, &format!("full at write {steps}"));
    }
}

/// A boot as its host submits it, however often: the same bytes each time.
struct Submitted {
    blobs: Vec<Vec<u8>>,
    leaves: [Vec<u8>; 2],
}

impl Submitted {
    fn new() -> Self {
        let boot = Boot::new();
        Self { blobs: boot.blobs().to_vec(), leaves: [boot.boot_leaf(), boot.endorsements_leaf()] }
    }
}

/// One process that admits boots from `from` on, with the blobs that their leaves name. Gives the boot at which it
/// died.
fn admit(place: &Place, storage: &Storage, boots: &[Submitted], from: usize) -> (usize, Result<(), Error>) {
    let one = |log: &mut Log, admission: &PolicyAdmission, pool: &BlobPool, boot: &Submitted| {
        boot.blobs.iter().for_each(|blob| pool.hold(Ring.sha256(blob), blob.clone().into()));
        // What a log that lives knows of itself: which of the leaves it has.
        let held = all_leaves(&place.storage());
        let (known, new): (Vec<&[u8]>, Vec<&[u8]>) =
            boot.leaves.iter().map(Vec::as_slice).partition(|leaf| held.iter().any(|one| one == leaf));
        let mut leaves = Vec::new();
        for judged in admission.admit(&new, &known, Vendor::get().now) {
            match judged {
                Ok(admitted) => leaves.push(admitted.leaf),
                Err(Refusal::Unavailable(error)) => return Err(error),
                Err(Refusal::Code(code)) => panic!("refused: {code}"),
            }
        }
        sequence(log, &leaves)?;
        log.storage().tiles.publish(log.head().note.as_bytes())
    };
    let mut log = match Log::open(storage.clone(), Arc::clone(&place.key)) {
        Ok(log) => log,
        Err(error) => return (from, Err(error)),
    };
    let pool = Arc::new(BlobPool::new(Arc::clone(&storage.blobs)));
    let admission = PolicyAdmission::new(Vendor::get().policy(), storage.clone(), Arc::clone(&pool));
    for (at, boot) in boots.iter().enumerate().skip(from) {
        if let Err(error) = one(&mut log, &admission, &pool, boot) {
            return (at, Err(error));
        }
    }
    (boots.len(), Ok(()))
}

/// Whenever the log dies between a boot's blobs and its leaf, no leaf is in the log without its blobs.
#[test]
fn a_crash_at_every_write_of_a_boot_leaves_no_leaf_without_its_blobs() {
    let boots = [Submitted::new(), Submitted::new()];
    let checked = |place: &Place| {
        let storage = place.storage();
        check::full(&storage, &storage.lock.head().unwrap().head, |_| ()).unwrap()
    };
    for hit in [Hit::Before, Hit::After] {
        let mut died = 0;
        for steps in 1.. {
            let place = Place::new();
            let (storage, _) = mortal(&place.storage(), steps, hit);
            let (died_at, result) = admit(&place, &storage, &boots, 0);
            let Err(error) = result else { break };
            assert!(matches!(error, Error::Io { .. }), "{hit:?} step {steps}: {error}");
            died += 1;
            // As the next process finds it, completed or not; and it dies as well, a little later.
            let (storage, _) = mortal(&place.storage(), 3, hit);
            let _ = admit(&place, &storage, &boots, died_at);
            Log::open(place.storage(), Arc::clone(&place.key)).unwrap();
            checked(&place);
            let (_, result) = admit(&place, &place.storage(), &boots, died_at);
            result.unwrap_or_else(|error| panic!("{hit:?} step {steps}: not recovered: {error}"));
            let report = checked(&place);
            assert_eq!((report.boots, report.blobs), (2, 6), "{hit:?} step {steps}");
            assert_eq!(all_leaves(&place.storage()).len(), 4, "{hit:?} step {steps}: doubled or lost");
        }
        // Three blobs of each boot, and what a batch writes.
        assert!(died > 16, "{hit:?}: only {died} moments to die at");
    }
}
