//! Damage and old copies: each is named at the start, and repaired where it can be.

use std::fs;
use std::sync::Arc;

use vouchsafe_log::storage::{HighWater as _, TreeHead};
use vouchsafe_log::{Error, Folder, Log, check, repair};

use crate::common::{Place, all_leaves, copy_folder, leaf};

#[test]
fn a_second_program_on_one_folder_is_refused() {
    let place = Place::with_leaves(3);
    let held = place.folder.lock().unwrap();
    assert!(matches!(place.folder.lock(), Err(Error::InUse { .. })));
    drop(held);
    // And if the lock file were to fail: the database lets one of them through.
    let (mut one, mut two) = (place.open().unwrap(), place.open().unwrap());
    one.append(&[leaf(100)]).unwrap();
    assert_eq!(two.append(&[leaf(101)]), Err(Error::CheckpointMoved { expected: 3, found: 4 }));
    two.reopen().unwrap();
    two.append(&[leaf(101)]).unwrap();
    assert_eq!(all_leaves(&place.storage()).len(), 5);
}

#[test]
fn a_key_that_has_signed_never_starts_over() {
    let place = Place::with_leaves(3);
    assert!(matches!(place.folder.init("again"), Err(Error::LogExists { .. })));
    fs::remove_file(place.root().join("log.sqlite")).unwrap();
    fs::remove_dir_all(place.root().join("public")).unwrap();
    fs::remove_file(place.root().join("high-water")).unwrap();
    assert!(matches!(place.folder.init("again"), Err(Error::LogExists { .. })), "the key is there");
}

#[test]
fn an_old_copy_is_refused_by_each_record_on_its_own() {
    let place = Place::with_leaves(10);
    let backup = place.temp.path().join("backup");
    copy_folder(&place.root(), &backup);
    let mut log = place.open().unwrap();
    log.append(&[leaf(50)]).unwrap();
    log.storage().tiles.publish(log.head().note.as_bytes()).unwrap();
    drop(log);
    let restored = Folder::new(backup.clone(), None, None);
    let open = || Log::open(restored.open().unwrap(), Arc::clone(&place.key)).err();

    fs::copy(place.root().join("high-water"), backup.join("high-water")).unwrap();
    assert!(
        matches!(open(), Some(Error::Behind { held: 10, signed: 11, record }) if record.contains("high-water"))
    );
    fs::remove_file(backup.join("high-water")).unwrap();
    fs::copy(place.root().join("public/checkpoint"), backup.join("public/checkpoint")).unwrap();
    assert!(
        matches!(open(), Some(Error::Behind { held: 10, signed: 11, record }) if record.contains("published"))
    );
}

/// As when its disk is not mounted.
#[test]
fn a_missing_high_water_record_is_not_taken_for_a_new_log() {
    let place = Place::new();
    let record = place.root().join("high-water");
    fs::remove_file(&record).unwrap();
    place.open().unwrap();
    assert!(record.exists(), "a log without entries has nothing to lose");
    let mut log = place.open().unwrap();
    log.append(&[leaf(1)]).unwrap();
    drop(log);
    fs::remove_file(&record).unwrap();
    assert_eq!(place.open().unwrap_err(), Error::HighWaterMissing { held: 1 });
    assert!(!record.exists(), "it is not made on the way");
    place.folder.create_high_water().unwrap();
    assert_eq!(place.open().unwrap().head().head.size, 1);
    // Not something to be left in a unit file.
    assert!(matches!(place.folder.create_high_water(), Err(Error::Setting { .. })));
}

#[test]
fn a_size_signed_differently_is_never_signed_again() {
    let place = Place::with_leaves(10);
    let storage = place.storage();
    let head = storage.lock.head().unwrap().head;
    for (record, size) in
        [(TreeHead { size: 10, root: [9; 32] }, 10), (TreeHead { size: 4, root: [9; 32] }, 4)]
    {
        place.folder.high_water_record().write(&record).unwrap();
        match place.open() {
            Err(Error::SignedDifferently { size: found, signed, .. }) => {
                assert_eq!((found, signed), (size, [9; 32]));
            }
            other => panic!("{other:?}"),
        }
    }
    place.folder.high_water_record().write(&head).unwrap();
    place.open().unwrap();
}

/// Damages one file, expects `serve`'s start or `check` to name it, repairs, and expects all to be well.
fn named_and_repaired(path: &str, code: &str, at_start: bool, damage: impl Fn(&std::path::Path)) {
    let place = Place::with_leaves(66_000);
    let before = all_leaves(&place.storage());
    let head = place.storage().lock.head().unwrap().head;
    damage(&place.root().join(path));
    let start = || -> Result<(), Error> {
        let storage = place.folder.open()?;
        check::shape(storage.tiles.as_ref(), head.size)?;
        place.open().map(|_| ())
    };
    let thorough = || -> Result<(), Error> {
        let storage = place.folder.open()?;
        check::full(&storage, &head, |_| ()).map(|_| ())
    };
    let error = if at_start { start() } else { thorough() }.expect_err(path);
    assert_eq!(error.code(), code, "{path}: {error}");
    let name = path.trim_start_matches("public/");
    assert!(error.to_string().contains(name), "{path} is not named: {error}");
    repair::run(&place.folder, &place.key, |_, _| ()).unwrap_or_else(|error| panic!("{path}: {error}"));
    start().unwrap();
    thorough().unwrap();
    assert_eq!(all_leaves(&place.storage()), before, "{path}");
    let mut log = place.open().unwrap();
    assert_eq!(log.head().head, head);
    log.append(&[leaf(1 << 40)]).unwrap();
}

#[test]
fn damaged_tiles_are_named_and_rebuilt_from_the_entries() {
    let truncate = |path: &std::path::Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    };
    let remove = |path: &std::path::Path| fs::remove_file(path).unwrap();
    let bend = |path: &std::path::Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[17] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    named_and_repaired("public/tile/0/100", "damaged", true, truncate);
    named_and_repaired("public/tile/0/100", "missing", true, remove);
    named_and_repaired("public/tile/1/000", "damaged", false, bend);
    named_and_repaired("public/tile/0/100", "damaged", false, bend);
    named_and_repaired("public/tile/1/001.p/1", "damaged", false, bend);
    named_and_repaired("public/tile/0/257.p/208", "missing", true, remove);
}

#[test]
fn a_damaged_database_is_named_and_rebuilt_from_tiles() {
    named_and_repaired("log.sqlite", "database_damaged", true, |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
    });
    named_and_repaired("log.sqlite", "no_log", true, |path| {
        fs::remove_file(path).unwrap();
    });
}

#[test]
fn damaged_entries_are_named_and_not_papered_over() {
    let place = Place::with_leaves(600);
    let path = place.root().join("public/tile/entries/001");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[9] ^= 1;
    fs::write(&path, &bad).unwrap();
    let storage = place.storage();
    let head = storage.lock.head().unwrap().head;
    let error = check::full(&storage, &head, |_| ()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    drop(storage);
    let error = repair::run(&place.folder, &place.key, |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Irreparable(_)), "{error}");
    fs::write(&path, &good).unwrap();
    // The bundle at the edge is read at every start.
    let path = place.root().join("public/tile/entries/002.p/88");
    let mut bad = fs::read(&path).unwrap();
    bad[9] ^= 1;
    fs::write(&path, bad).unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(&error, Error::Damaged { path, .. } if path == "tile/entries/002.p/88"), "{error}");
}

#[test]
fn a_damaged_checkpoint_or_record_is_named() {
    let place = Place::with_leaves(5);
    let path = place.root().join("public/checkpoint");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replacen("\n5\n", "\n6\n", 1)).unwrap();
    assert!(matches!(place.open(), Err(Error::Damaged { path, .. }) if path == "checkpoint"));
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(place.open(), Err(Error::Damaged { path, .. }) if path == "checkpoint"));
    fs::write(&path, good).unwrap();
    fs::write(place.root().join("high-water"), "5").unwrap();
    assert!(matches!(place.open(), Err(Error::Damaged { path, .. }) if path.ends_with("high-water")));
}

/// Disaster: the folder is restored from a backup, the missing files come from a mirror.
#[test]
fn an_old_copy_is_brought_up_to_date_from_a_mirror() {
    let place = Place::with_leaves(10);
    let backup = place.temp.path().join("backup");
    copy_folder(&place.root(), &backup);
    let mut log = place.open().unwrap();
    log.append(&(100..900).map(leaf).collect::<Vec<_>>()).unwrap();
    log.storage().tiles.publish(log.head().note.as_bytes()).unwrap();
    let (head, leaves) = (log.head().head, all_leaves(log.storage()));
    drop(log);
    fs::remove_dir_all(backup.join("public")).unwrap();
    copy_folder(&place.root().join("public"), &backup.join("public"));
    let restored = Folder::new(backup, None, None);
    let open = || Log::open(restored.open()?, Arc::clone(&place.key));
    assert!(matches!(open(), Err(Error::Behind { held: 10, signed: 810, .. })));
    repair::run(&restored, &place.key, |_, _| ()).unwrap();
    let mut log = open().unwrap();
    assert_eq!((log.head().head, all_leaves(log.storage())), (head, leaves));
    log.append(&[leaf(1_000)]).unwrap();
}
