//! What is remembered: damaged, or on a disk that is full.

use std::os::unix::fs::{MetadataExt as _, symlink};

use vouchsafe_monitor::{Error, Store};

use crate::enclave::leaf;
use crate::honest::followed;
use crate::log::{Watching, codes, trusted};

fn load(watching: &Watching) -> Result<u64, Error> {
    let (state, _) = Store::open(watching.folder.path())?.load(&trusted().log().to_string())?;
    Ok(state.size())
}

#[test]
fn a_damaged_state_is_refused_by_name_and_never_taken_for_a_fresh_one() {
    let (_, _, watching) = followed(20);
    let path = watching.folder.path().join("state.json");
    let whole = std::fs::read(&path).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let another = text.replace("\"size\":22", "\"size\":23");
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(another != text && newer != text);
    for damaged in [&[] as &[u8], &whole[..whole.len() / 2], b"{}", another.as_bytes(), newer.as_bytes()] {
        std::fs::write(&path, damaged).unwrap();
        let error = load(&watching).unwrap_err();
        assert_eq!((error.code(), error.exit_code()), ("file_malformed", 30), "{error}");
        assert!(error.to_string().contains("state.json"), "{error}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(load(&watching).unwrap(), 22);
    // What was begun and not confirmed can be read again: damaged, it is passed over.
    std::fs::write(watching.folder.path().join("progress.json"), b"{\"version\":1,").unwrap();
    assert_eq!(load(&watching).unwrap(), 22);
}

#[test]
fn what_is_over_takes_little_room_and_what_has_not_changed_is_not_written() {
    let (mut log, enclave, mut watching) = followed(300);
    let path = watching.folder.path().join("state.json");
    let length = || std::fs::metadata(&path).unwrap().len();
    let open = length();
    log.add(enclave.word(log.checkpoint(), true));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    // Of each receipt, its leaf hash in hexadecimal was kept, at least.
    assert!(length() + 299 * 64 < open, "{} of {open} bytes", length());
    // A file that is replaced is another file.
    let file = || std::fs::metadata(&path).unwrap().ino();
    let before = file();
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_eq!(file(), before);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    assert_ne!(file(), before);
}

/// Every write to the device `/dev/full` fails as on a full disk.
#[test]
fn a_full_disk_keeps_the_state_whole_and_alerts_are_not_lost() {
    let (mut log, mut enclave, mut watching) = followed(20);
    let path = watching.folder.path().join("state.json");
    let unfinished = watching.folder.path().join("state.json.new");
    let before = std::fs::read(&path).unwrap();
    let checkpoint = log.checkpoint();
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.add(b"\x07no leaf".to_vec());
    log.publish(log.time + 1);
    symlink("/dev/full", &unfinished).unwrap();
    let error = watching.monitor.poll(log.time * 1000).unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("state_io", 1), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(codes(&watching.monitor.take_unreported()), ["leaf_malformed"]);
    // One that is started again reads and says the same, and goes on when there is room.
    let mut watching = watching.restart(&log);
    assert_eq!(watching.monitor.state().size(), 22);
    std::fs::remove_file(&unfinished).unwrap();
    assert_eq!(watching.poll(&log), ["leaf_malformed"]);
    assert_eq!(watching.restart(&log).monitor.state().size(), 24);
}
