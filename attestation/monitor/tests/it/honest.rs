//! A log that keeps its word gives no alarm, however it is read.

use vouchsafe_monitor::{Appraisal, FolderSource, Mirror, Source as _};

use crate::enclave::{Enclave, GOOD, leaf};
use crate::log::{Log, T, Watching};

/// A log with one boot and `count` receipts in several checkpoints, each looked at.
pub(crate) fn followed(count: usize) -> (Log, Enclave, Watching) {
    let (mut log, mut enclave) = (Log::new(), Enclave::new());
    let mut watching = Watching::new(&log);
    let boot = enclave.boot(GOOD);
    log.add_logged(&boot);
    log.add_logged(&enclave.epoch(&boot, 0));
    log.publish(T);
    assert_eq!(watching.poll(&log), [""; 0]);
    for place in 0..count {
        let checkpoint = log.checkpoint();
        log.add(leaf(&enclave.receipt(checkpoint)));
        if place % 100 == 99 || place + 1 == count {
            log.publish(log.time + 1);
            assert_eq!(watching.poll(&log), [""; 0]);
        }
    }
    (log, enclave, watching)
}

#[test]
fn boots_receipts_heartbeats_and_a_close_are_followed() {
    let (mut log, enclave, mut watching) = followed(700);
    log.add(enclave.word(log.checkpoint(), false));
    log.publish(log.time + 100);
    assert_eq!(watching.poll(&log), [""; 0]);
    log.add(enclave.word(log.checkpoint(), true));
    log.publish(log.time + 100);
    assert_eq!(watching.poll(&log), [""; 0]);

    let state = watching.monitor.state();
    assert_eq!(state.size(), 704);
    let boot = state.boots().values().next().unwrap();
    assert_eq!((boot.chain.complete(), boot.chain.missing(), boot.chain.is_closed()), (700, 0, true));
    assert!(matches!(&boot.appraisal, Some(Appraisal::Accepted(accepted)) if accepted.simulated));
}

#[test]
fn it_resumes_where_it_stopped_and_reads_nothing_twice() {
    let (mut log, mut enclave, watching) = followed(300);
    let size = watching.monitor.state().size();
    let mut watching = watching.restart(&log);
    assert_eq!(watching.monitor.state().size(), size);
    // Files that only hold what was read before are not asked for again.
    log.remove("tile/entries/000");
    assert_eq!(watching.poll(&log), [""; 0]);
    let checkpoint = log.checkpoint();
    let receipt = enclave.receipt(checkpoint);
    log.add(leaf(&receipt));
    log.publish(log.time + 1);
    log.remove("tile/entries/000");
    let report = watching.monitor.poll(log.time * 1000).unwrap();
    assert_eq!((report.entries, report.violations), (1, Vec::new()));
}

#[test]
fn a_mirror_is_the_log_file_by_file() {
    let (mut log, mut enclave) = (Log::new(), Enclave::new());
    let copy = tempfile::tempdir().unwrap();
    let mirror = Some(Mirror::new(copy.path()));
    let mut watching = Watching::in_folder(tempfile::tempdir().unwrap(), &log, mirror);
    let boot = enclave.boot(GOOD);
    log.add_logged(&boot);
    log.add_logged(&enclave.epoch(&boot, 0));
    for (time, size) in (T..).zip([3, 255, 256, 257, 700]) {
        while log.leaves.len() < size {
            let checkpoint = log.checkpoint();
            log.add(leaf(&enclave.receipt(checkpoint)));
        }
        log.publish(time);
        assert_eq!(watching.poll(&log), [""; 0]);
    }
    let served = FolderSource::new(copy.path());
    // Tiles of the present tree; narrower ones may lie about from smaller trees.
    let present = Log { files: Default::default(), leaves: log.leaves.clone(), time: log.time };
    present.tiles();
    for (path, bytes) in present.files.0.lock().unwrap().iter() {
        assert_eq!(&served.get(path, 1 << 25).unwrap(), bytes, "{path}");
    }
    assert_eq!(served.get("checkpoint", 1 << 20).unwrap(), log.note().into_bytes());
    for (path, bytes) in log.files.0.lock().unwrap().iter() {
        if path.starts_with("blob/") {
            assert_eq!(&served.get(path, 1 << 25).unwrap(), bytes, "{path}");
        }
    }
}
