//! Figures, page, program.

use std::process::Command;

use vouchsafe_monitor::gap::Probe;
use vouchsafe_monitor::{metrics, status};
use vouchsafe_receipt::receipt_leaf_hash;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::enclave::leaf;
use crate::honest::followed;
use crate::log::trusted;

#[test]
fn probes_are_timed_by_the_monitors_own_clock_and_the_page_says_so() {
    let (mut log, mut enclave, mut watching) = followed(300);
    let checkpoint = log.checkpoint();
    let (seen, missing) = (enclave.receipt(checkpoint), enclave.receipt(checkpoint));
    for receipt in [&seen, &missing] {
        let leaf = Hex(receipt_leaf_hash(receipt, &Ring));
        let asked_ms = log.time * 1000;
        watching.probes.answered(Probe { leaf, asked_ms, answered_ms: asked_ms + 40 });
    }
    log.add(leaf(&seen));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);

    let text = metrics::to_text(&watching.monitor, log.time);
    for line in [
        // Of two probes one has settled.
        "vouchsafe_monitor_gap_seconds_bucket{stage=\"answered_witnessed\",le=\"1.059\"} 1\n",
        "vouchsafe_monitor_gap_seconds_bucket{stage=\"answered_witnessed\",le=\"+Inf\"} 2\n",
        "vouchsafe_monitor_gap_seconds_count{stage=\"answered_witnessed\"} 2\n",
        "vouchsafe_monitor_gap_seconds_sum{stage=\"answered_witnessed\"} 0.960\n",
        "vouchsafe_monitor_gap_seconds_sum{stage=\"asked_answered\"} 0.040\n",
        "vouchsafe_monitor_probes_waiting 1\n",
        "vouchsafe_monitor_entries_total{type=\"receipt\"} 301\n",
        "vouchsafe_monitor_violations_total 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }

    let page = status::page(&watching.monitor, "https://log.example/one", log.time);
    for part in [
        "All 303 entries verified",
        "Operator &amp; Sons",
        "not settled",
        "own probes",
        "witness.example/w0",
        "simulated: no hardware vouches",
        &"ab".repeat(48),
    ] {
        assert!(page.contains(part), "{part}");
    }
    if let Some(folder) = std::env::var_os("VOUCHSAFE_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join("good.html"), page).unwrap();
    }
}

#[test]
fn the_program_looks_once_and_says_how_it_is() {
    let (mut log, _, _) = followed(20);
    log.publish(log.time + 100);
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in log.files.0.lock().unwrap().iter() {
        let path = folder.path().join("log").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/simulated.json");
    let for_evidence = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/evidence-strict.json");
    let trusted = trusted();
    let run = |policy: &str, state: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe-monitor"));
        command.args(["run", "--once", "--stale-max", "0", "--quorum", "2", "--policy", policy]);
        command.args(["--key", &trusted.log().to_string(), "--log"]).arg(folder.path().join("log"));
        for witness in trusted.quorum().witnesses() {
            command.args(["--witness", &witness.to_string()]);
        }
        command.arg("--state").arg(folder.path().join(state));
        command.arg("--status").arg(folder.path().join("status"));
        command.output().unwrap()
    };
    assert_eq!(run("/nowhere", "state").status.code(), Some(30));
    assert_eq!(run(for_evidence, "state").status.code(), Some(30), "it says nothing about boots");
    // Files of an enclave that no real policy accepts: the tree is fine, and the boot is named in time.
    let looked = run(policy, "state");
    assert_eq!(looked.status.code(), Some(10), "{looked:?}");
    assert!(String::from_utf8_lossy(&looked.stderr).contains("VIOLATION boot_refused"), "{looked:?}");
    let page = std::fs::read_to_string(folder.path().join("status/index.html")).unwrap();
    assert!(page.contains("boot_refused"));
    if let Some(pages) = std::env::var_os("VOUCHSAFE_PAGES") {
        std::fs::write(std::path::Path::new(&pages).join("bad.html"), page).unwrap();
    }
    assert!(folder.path().join("status/metrics.prom").exists());
    std::fs::remove_dir_all(folder.path().join("log")).unwrap();
    assert_eq!(run(policy, "fresh").status.code(), Some(20), "nothing can be said of a log out of reach");
}

/// Receipts that the chain lacks say nothing of the monitor's own requests.
#[test]
fn a_missing_receipt_leaves_the_probes_figures_alone() {
    let (mut log, mut enclave, mut watching) = followed(20);
    let checkpoint = log.checkpoint();
    let seen = enclave.receipt(checkpoint);
    let (asked_ms, leaf_hash) = (log.time * 1000, Hex(receipt_leaf_hash(&seen, &Ring)));
    watching.probes.answered(Probe { leaf: leaf_hash, asked_ms, answered_ms: asked_ms + 40 });
    log.add(leaf(&seen));
    enclave.receipt(checkpoint);
    log.add(leaf(&enclave.receipt(checkpoint)));
    log.publish(log.time + 1);
    assert_eq!(watching.poll(&log), [""; 0]);
    let page = status::page(&watching.monitor, "https://log.example/one", log.time);
    let (_, rows) = page.split_once("answered → witnessed</td>").unwrap();
    let (probes, rest) = rows.split_once("signed → witnessed, all receipts").unwrap();
    assert!(!probes.contains("not settled"), "{probes}");
    assert!(rest.contains("not settled"), "one of 22 is missing");
}

#[test]
fn a_view_out_of_reach_hides_no_other() {
    let (log, _, _) = followed(20);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, log: &crate::log::Log| {
        for (path, bytes) in log.files.0.lock().unwrap().iter() {
            let path = folder.path().join(name).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    };
    write("log", &log);
    let mut other = crate::log::Log::new();
    other.leaves.clone_from(&log.leaves);
    other.leaves[5] = other.leaves[6].clone();
    other.publish(log.time);
    write("other", &other);
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/simulated.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe-monitor"));
    command.args(["run", "--once", "--stale-max", "0", "--quorum", "2", "--policy", policy]);
    command.args(["--key", &trusted().log().to_string(), "--log"]).arg(folder.path().join("log"));
    for witness in trusted().quorum().witnesses() {
        command.args(["--witness", &witness.to_string()]);
    }
    command.arg("--state").arg(folder.path().join("state"));
    command.args(["--compare", "http://127.0.0.1:1"]).arg("--compare").arg(folder.path().join("other"));
    let looked = command.output().unwrap();
    assert!(String::from_utf8_lossy(&looked.stderr).contains("VIOLATION equivocation"), "{looked:?}");
    assert_eq!(looked.status.code(), Some(20), "one view could not be looked at");
}
