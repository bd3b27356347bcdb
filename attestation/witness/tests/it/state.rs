//! What survives: restarts, crashes, second processes, strange files.

use vouchsafe_witness::{AdvanceError, Error, FILE_NAME, Latest, Refusal, State, Witness};

use crate::common::{Log, NAME, NOW, ORIGIN, init, leaves, request, witness};

fn body(log: &Log, branch: u8, size: usize, old: usize) -> Vec<u8> {
    request(log, &leaves(branch, 0, size), old).to_string().into_bytes()
}

#[test]
fn key_and_checkpoints_survive_a_restart() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let first = witness(folder.path(), &[&log]);
    let key = first.verifier_key();
    first.add_checkpoint(&body(&log, 0, 3, 0), NOW).unwrap();
    drop(first);
    let again = witness(folder.path(), &[&log]);
    assert_eq!(again.verifier_key(), key);
    assert!(matches!(
        again.add_checkpoint(&body(&log, 1, 4, 0), NOW),
        Err(Refusal::Conflict { latest: 3, .. })
    ));
    assert!(matches!(again.add_checkpoint(&body(&log, 1, 4, 3), NOW), Err(Refusal::Inconsistent(_))));
    // A log that lost the answer asks for the same once more.
    again.add_checkpoint(&body(&log, 0, 3, 3), NOW).unwrap();
}

#[test]
fn a_second_process_or_a_second_witness_in_one_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let running = init(folder.path());
    assert!(matches!(State::open(folder.path()), Err(Error::Busy(_))));
    let random = ring::rand::SystemRandom::new();
    assert!(matches!(State::init(folder.path(), NAME, &random), Err(Error::Exists(_))));
    drop(running);
    assert!(matches!(State::init(folder.path(), NAME, &random), Err(Error::Exists(_))));
    State::open(folder.path()).unwrap();
}

#[test]
fn what_is_no_state_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(State::open(folder.path()), Err(Error::Missing(_))));
    std::fs::write(folder.path().join(FILE_NAME), [b'x'; 4096]).unwrap();
    assert!(matches!(State::open(folder.path()), Err(Error::Format { .. })), "not a database");
    std::fs::write(folder.path().join(FILE_NAME), []).unwrap();
    assert!(matches!(State::open(folder.path()), Err(Error::Format { .. })), "an empty database");
    let random = ring::rand::SystemRandom::new();
    let other = tempfile::tempdir().unwrap();
    for name in ["", "a b", "a+b", "a\nb"] {
        assert!(matches!(State::init(other.path(), name, &random), Err(Error::Name(_))), "{name:?}");
    }
    assert!(!other.path().join(FILE_NAME).exists());
}

#[test]
fn a_state_that_is_cut_or_scribbled_on_is_refused() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let running = witness(folder.path(), &[&log]);
    running.add_checkpoint(&body(&log, 0, 3, 0), NOW).unwrap();
    drop(running);
    let path = folder.path().join(FILE_NAME);
    let good = std::fs::read(&path).unwrap();
    assert!(good.len() >= 2 * 4096, "{}", good.len());
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let opened = State::open(folder.path());
        assert!(matches!(opened, Err(Error::Format { .. } | Error::Database { .. })), "{what}: {opened:?}");
    };
    refused(&good[..good.len() / 2], "cut in half");
    refused(&good[..good.len() - 4096], "without its last page");
    for page in 1..good.len() / 4096 {
        let mut bent = good.clone();
        bent[page * 4096..page * 4096 + 64].fill(0xa5);
        refused(&bent, &format!("page {page}"));
    }
    std::fs::write(&path, &good).unwrap();
    assert_eq!(State::open(folder.path()).unwrap().latest(ORIGIN).unwrap().unwrap().size, 3);
}

#[test]
fn an_init_that_was_killed_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(format!("{FILE_NAME}.new")), b"half a database").unwrap();
    init(folder.path());
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let mode = std::fs::metadata(folder.path().join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

/// What a kill at the moment of the answer would leave: the files as they are then, with the process's
/// memory gone. Whatever was answered must be in them.
#[test]
fn a_crash_right_after_the_answer_forgets_nothing_that_left() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let running = witness(folder.path(), &[&log]);
    let mut old = 0;
    for size in [1, 2, 3, 40] {
        running.add_checkpoint(&body(&log, 0, size, old), NOW).unwrap();
        let left = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
        }
        let latest = State::open(left.path()).unwrap().latest(ORIGIN).unwrap().unwrap();
        assert_eq!(latest.size, u64::try_from(size).unwrap());
        old = size;
    }
}

/// The other side of the crash: persisted, but never answered. The log asks again with what it knows.
#[test]
fn a_crash_before_the_answer_costs_the_log_one_more_request() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
    let before = witness(folder.path(), &[&log]);
    drop(before.add_checkpoint(&body(&log, 0, 3, 0), NOW));
    drop(before);
    let after = witness(folder.path(), &[&log]);
    let Err(Refusal::Conflict { latest: 3, .. }) = after.add_checkpoint(&body(&log, 0, 3, 0), NOW) else {
        panic!("the persisted size was forgotten");
    };
    after.add_checkpoint(&body(&log, 0, 3, 3), NOW).unwrap();
}

#[test]
fn the_state_itself_refuses_to_go_back_or_to_be_overtaken() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = init(folder.path());
    let of = |size, root| Latest { size, root: [root; 32], time: 5, note: "note".into() };
    state.advance(ORIGIN, None, &of(5, 1)).unwrap();
    assert_eq!(state.advance(ORIGIN, None, &of(6, 1)), Err(AdvanceError::Conflict { latest: 5 }));
    assert_eq!(state.advance(ORIGIN, Some(&of(5, 2)), &of(6, 1)), Err(AdvanceError::Conflict { latest: 5 }));
    assert_eq!(state.advance(ORIGIN, Some(&of(5, 1)), &of(4, 1)), Err(AdvanceError::Conflict { latest: 5 }));
    state.advance(ORIGIN, Some(&of(5, 1)), &of(6, 3)).unwrap();
    assert_eq!(state.latest(ORIGIN).unwrap(), Some(of(6, 3)));
    assert_eq!(state.latest("log.example/other").unwrap(), None);
}

#[test]
fn keys_that_are_no_logs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of = |keys: &[&str]| Witness::new(State::open(folder.path()).unwrap(), keys).err();
    let own = init(folder.path()).signer().unwrap().verifier_key().to_string();
    assert!(matches!(of(&[]), Some(Error::NoLogs)));
    assert!(matches!(of(&["log.example+00000000+AAAA"]), Some(Error::LogKey { .. })));
    assert!(matches!(of(&[&own]), Some(Error::LogKey { .. })), "a witness's key is no log's");
}
