//! That orphans do not stay as zombies. In a program of its own, since it takes every child's end.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Children of this process that have ended and were not waited for.
fn zombies() -> usize {
    let is_ours = |stat: &str| {
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let (state, parent) = (fields.next(), fields.next());
        state == Some("Z") && parent == Some(&std::process::id().to_string())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| is_ours(&stat)))
        .count()
}

#[allow(clippy::zombie_processes, reason = "that nobody waits for them is what is tried")]
fn main() {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    // A control: without the reaper the child stays. It leaves an orphan behind, which comes to us too.
    Command::new("sh").args(["-c", "sleep 0.2 & exit 0"]).stdin(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while zombies() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the children did not become zombies");
        std::thread::sleep(Duration::from_millis(5));
    }
    vouchsafe_init::reap_orphans().unwrap();
    for _ in 0..8 {
        Command::new("sh").args(["-c", "sleep 0.1 & exit 0"]).stdin(Stdio::null()).spawn().unwrap();
    }
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    while zombies() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "zombies stay");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("reaper: ok");
}
