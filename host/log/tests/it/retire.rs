//! The end of a shard.

use std::process::Command;

use vouchsafe_log::{Error, retire};

use crate::common::{Place, leaf};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vouchsafe-log");

fn run(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(arguments).arg("--dir").arg(place.root()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn a_retired_log_is_sound_for_ever_and_grows_no_more() {
    let place = Place::with_leaves(300);
    assert_eq!(run(&place, &["check"]), (Some(0), "sound size=300 boots=0 blobs=0\n".into()));
    let checkpoint = std::fs::read(place.root().join("public/checkpoint")).unwrap();
    let (status, said) = run(&place, &["retire"]);
    assert_eq!((status, said.as_str()), (Some(0), "retired size=300; the key is destroyed\n"));
    assert!(!place.root().join("key").exists());
    assert_eq!(std::fs::read(place.root().join("public/checkpoint")).unwrap(), checkpoint);
    assert_eq!(run(&place, &["check"]), (Some(0), "retired, sound size=300 boots=0 blobs=0\n".into()));
    // Neither the program nor a key that somebody kept brings it back.
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/simulated.json");
    for arguments in [&["serve", "--listen", "127.0.0.1:0", "--admission", policy][..], &["retire"]] {
        let (status, said) = run(&place, arguments);
        assert!(status == Some(4) && said.contains("(retired)"), "{status:?} {said}");
    }
    let (status, said) = run(&place, &["init", "--origin", "log.example/2026"]);
    assert!(status == Some(1) && said.contains("(log_exists)"), "{status:?} {said}");
    assert!(matches!(place.folder.open_key(), Err(Error::Retired { .. })));
    // Damage is still found.
    std::fs::write(place.root().join("public/tile/entries/000"), b"gone").unwrap();
    assert_eq!(run(&place, &["check"]).0, Some(4));
}

#[test]
fn a_retirement_that_was_interrupted_is_finished_by_the_next() {
    let place = Place::with_leaves(20);
    let key = std::fs::read(place.root().join("key")).unwrap();
    retire::run(&place.folder, |_, _| ()).unwrap();
    // As it was before the last step.
    std::fs::write(place.root().join("key"), key).unwrap();
    assert_eq!(retire::run(&place.folder, |_, _| ()).unwrap().size, 20);
    assert!(!place.root().join("key").exists());
    assert!(matches!(retire::run(&place.folder, |_, _| ()), Err(Error::Retired { .. })));
    // Another log's key is none of its business.
    let other = std::fs::read(Place::new().root().join("key")).unwrap();
    std::fs::write(place.root().join("key"), &other).unwrap();
    assert!(matches!(retire::run(&place.folder, |_, _| ()), Err(Error::Retired { .. })));
    assert_eq!(std::fs::read(place.root().join("key")).unwrap(), other);
}

#[test]
fn a_log_that_is_not_whole_or_not_public_keeps_its_key() {
    let place = Place::with_leaves(20);
    place.open().unwrap().append(&[leaf(20)]).unwrap();
    let refused = retire::run(&place.folder, |_, _| ());
    assert_eq!(refused, Err(Error::NotPublished { held: 21, published: 20 }));
    let place = Place::with_leaves(20);
    std::fs::write(place.root().join("public/tile/0/000.p/20"), [0; 640]).unwrap();
    assert!(retire::run(&place.folder, |_, _| ()).is_err());
    place.folder.open_key().unwrap();
}
