//! A log that keeps its word gives no alarm, however it is read.

use vouchsafe_monitor::{Appraisal, FolderSource, HttpSource, Mirror, Source as _};

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
    // Served by any web server, it is a log like the one it mirrors.
    let source = HttpSource::new(&serve(copy.path()));
    let mut second = Watching::of(tempfile::tempdir().unwrap(), Box::new(source), None);
    let report = second.monitor.poll(log.time * 1000).unwrap();
    assert_eq!((report.entries, report.violations), (700, Vec::new()));
    assert_eq!(second.monitor.state().checkpoint().unwrap().root.0, log.root());
}

/// Every file of the present tree, and every blob.
fn assert_copied(copy: &std::path::Path, log: &Log) {
    let served = FolderSource::new(copy);
    let present = Log { files: Default::default(), leaves: log.leaves.clone(), time: log.time };
    present.tiles();
    for (path, bytes) in present.files.0.lock().unwrap().iter() {
        assert_eq!(&served.get(path, 1 << 25).unwrap(), bytes, "{path}");
    }
    assert_eq!(served.get("checkpoint", 1 << 20).unwrap(), log.note().into_bytes());
    for (path, bytes) in log.files.0.lock().unwrap().iter().filter(|(path, _)| path.starts_with("blob/")) {
        assert_eq!(&served.get(path, 1 << 25).unwrap(), bytes, "{path}");
    }
}

#[test]
fn a_mirror_that_is_switched_on_midway_is_the_log_file_by_file() {
    let (mut log, mut enclave, watching) = followed(600);
    let blob = |number: u8| format!("{{\"sev_snp\":{{\"vcek\":\"{number}\"}}}}").into_bytes();
    (0..12).for_each(|number| log.add_logged(&enclave.endorsements(&blob(number))));
    log.publish(log.time + 1);
    let copy = tempfile::tempdir().unwrap();
    let on = |folder| Watching::in_folder(folder, &log, Some(Mirror::new(copy.path())));
    // On with an unchanged log, and again where files were lost with the checkpoint.
    let mut watching = on(watching.folder);
    watching.monitor.poll(log.time * 1000).unwrap();
    assert_copied(copy.path(), &log);
    std::fs::remove_file(copy.path().join("checkpoint")).unwrap();
    std::fs::remove_dir_all(copy.path().join("tile")).unwrap();
    let mut watching = on(watching.folder);
    watching.monitor.poll(log.time * 1000).unwrap();
    assert_copied(copy.path(), &log);
    // Off for a while, and on again while the log grows.
    let mut watching = watching.restart(&log);
    for time in 1..3 {
        let checkpoint = log.checkpoint();
        log.add(leaf(&enclave.receipt(checkpoint)));
        log.publish(log.time + time);
        watching.monitor.poll(log.time * 1000).unwrap();
    }
    let mut watching = Watching::in_folder(watching.folder, &log, Some(Mirror::new(copy.path())));
    let receipt = leaf(&enclave.receipt(log.checkpoint()));
    log.add(receipt);
    log.add_logged(&enclave.endorsements(&blob(99)));
    log.publish(log.time + 1);
    watching.monitor.poll(log.time * 1000).unwrap();
    assert_copied(copy.path(), &log);
    // Cosigned again.
    log.publish(log.time + 1);
    watching.monitor.poll(log.time * 1000).unwrap();
    assert_copied(copy.path(), &log);
}

#[test]
fn a_blob_of_later_endorsements_that_is_missing_is_named() {
    let (mut log, enclave, mut watching) = followed(20);
    log.add_logged(&enclave.endorsements(b"{}"));
    let missing = enclave.endorsements(b"{\"sev_snp\":1}");
    log.add(missing.leaf);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), ["blob"]);
}

/// Static files over HTTP, until the test ends.
fn serve(folder: &std::path::Path) -> String {
    use std::io::{BufRead as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let Some(request) = lines.next() else { continue };
            lines.find(String::is_empty);
            let path = request.split(' ').nth(1).unwrap().trim_start_matches('/');
            let (status, body) = match std::fs::read(folder.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

#[test]
fn a_clock_that_jumps_makes_no_one_guilty() {
    let (mut log, mut enclave, mut watching) = followed(20);
    // This machine's clock stands before 1970, in 2100 and behind again, while the log goes on.
    for now_ms in [0, 4_102_444_800_000, (T - 86_400) * 1000, (T + 10) * 1000] {
        let receipt = enclave.receipt(log.checkpoint());
        log.add(leaf(&receipt));
        log.publish(log.time + 1);
        let report = watching.monitor.poll(now_ms).unwrap();
        // A clock that is ahead of the witnesses' finds their newest checkpoint old: that is all.
        let expected: &[&str] = if now_ms == 4_102_444_800_000 { &["checkpoint_stale"] } else { &[] };
        assert_eq!((report.entries, crate::log::codes(&report).as_slice()), (1, expected), "{now_ms}");
    }
    let boot = watching.monitor.state().boots().values().next().unwrap();
    assert_eq!((boot.chain.complete(), boot.chain.missing()), (24, 0));
    // Witness time decides what is due, and it is theirs.
    let mut watching = watching.restart(&log);
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
}
