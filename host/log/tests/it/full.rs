//! A full disk, over HTTP: submissions are refused by name, reads go on, and when there is room the same
//! process continues with nothing lost and nothing doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use hyper::StatusCode;
use vouchsafe_log::storage::{
    Blobs, BootRow, Commit, HighWater, LeafKey, Lock, SignedHead, Storage, Tiles, TreeHead,
};
use vouchsafe_log::{Error, Log, check};

use crate::common::{AdmitAll, Place, Running, all_leaves, config};

/// The writes of a batch and of its publication, in their order.
const WRITES: [&str; 5] = ["staging", "database", "high-water", "tiles", "checkpoint"];
const NONE: u8 = u8::MAX;

/// Refuses one kind of write.
struct Disk {
    inner: Storage,
    full: Arc<AtomicU8>,
}

impl Disk {
    fn write(&self, kind: u8, write: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        if self.full.load(SeqCst) == kind {
            let path = WRITES[usize::from(kind)].to_owned();
            return Err(Error::Full { path, message: "no space left on device".into() });
        }
        write()
    }
}

impl Tiles for Disk {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.inner.tiles.read(path)
    }
    fn len(&self, path: &str) -> Result<Option<u64>, Error> {
        self.inner.tiles.len(path)
    }
    fn write(&self, files: &[(String, Vec<u8>)]) -> Result<(), Error> {
        // The first file still fits.
        self.inner.tiles.write(&files[..1])?;
        self.write(3, || self.inner.tiles.write(files))
    }
    fn remove_partials(&self, tile: &str) -> Result<(), Error> {
        self.inner.tiles.remove_partials(tile)
    }
    fn stage(&self, record: &[u8]) -> Result<(), Error> {
        self.write(0, || self.inner.tiles.stage(record))
    }
    fn staged(&self) -> Result<Option<Vec<u8>>, Error> {
        self.inner.tiles.staged()
    }
    fn unstage(&self) -> Result<(), Error> {
        self.inner.tiles.unstage()
    }
    fn publish(&self, checkpoint: &[u8]) -> Result<(), Error> {
        self.write(4, || self.inner.tiles.publish(checkpoint))
    }
}

impl Lock for Disk {
    fn head(&self) -> Result<SignedHead, Error> {
        self.inner.lock.head()
    }
    fn commit(&self, commit: &Commit<'_>) -> Result<(), Error> {
        self.write(1, || self.inner.lock.commit(commit))
    }
    fn find(&self, leaf: &LeafKey) -> Result<Option<u64>, Error> {
        self.inner.lock.find(leaf)
    }
    fn boot(&self, id: &[u8; 32]) -> Result<Option<BootRow>, Error> {
        self.inner.lock.boot(id)
    }
    fn release(&self, payload: &[u8; 32]) -> Result<Vec<u64>, Error> {
        self.inner.lock.release(payload)
    }
    fn releases(&self, kind: u8) -> Result<Vec<u64>, Error> {
        self.inner.lock.releases(kind)
    }
}

impl HighWater for Disk {
    fn read(&self) -> Result<Option<TreeHead>, Error> {
        self.inner.high_water.read()
    }
    fn write(&self, head: &TreeHead) -> Result<(), Error> {
        self.write(2, || self.inner.high_water.write(head))
    }
}

fn disk(inner: Storage) -> (Storage, Arc<AtomicU8>) {
    let full = Arc::new(AtomicU8::new(NONE));
    let disk = Arc::new(Disk { inner: inner.clone(), full: Arc::clone(&full) });
    let blobs: Arc<dyn Blobs> = inner.blobs;
    (Storage { tiles: disk.clone(), blobs, lock: disk.clone(), high_water: disk }, full)
}

#[tokio::test]
async fn a_full_disk_is_said_over_http_and_survived() {
    for (kind, name) in (0..).zip(WRITES) {
        let place = Place::new();
        let (storage, full) = disk(place.storage());
        let log = Log::open(storage, Arc::clone(&place.key)).unwrap();
        let mut config = config(Vec::new(), 1);
        config.answer_max = std::time::Duration::from_millis(500);
        let running = Running::start(log, Arc::new(AdmitAll), config).await;
        running.settle(&[b"first", b"second"]).await;

        full.store(kind, SeqCst);
        let mut refused = running.add(&[b"third"]).await;
        // Of a slow machine, and not of a full disk.
        while refused.body().starts_with(b"{\"error\":\"not_sequenced_in_time\"") {
            refused = running.add(&[b"third"]).await;
        }
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert_eq!(refused.headers()["retry-after"], "1", "{name}");
        // What cannot be published may be in the log: nothing is promised of it either way.
        let code = if name == "checkpoint" { "not_witnessed_in_time" } else { "storage_full" };
        assert_eq!(*refused.body(), format!("{{\"error\":\"{code}\"}}"), "{name}");
        assert_eq!(running.get("/checkpoint").await.status(), StatusCode::OK, "{name}: reads go on");

        full.store(NONE, SeqCst);
        let leaves: [&[u8]; 4] = [b"second", b"third", b"fourth", b"first"];
        let indices = running.settle(&leaves).await.verify(place.key.public(), &leaves);
        assert_eq!(indices, [1, 2, 3, 0], "{name}");
        running.stop().await.unwrap();
        let storage = place.storage();
        assert_eq!(all_leaves(&storage).len(), 4, "{name}: lost or doubled");
        check::full(&storage, &storage.lock.head().unwrap().head, |_| ()).unwrap();
    }
}
