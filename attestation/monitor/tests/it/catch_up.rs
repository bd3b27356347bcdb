//! How fast a monitor reads a long log, and what bounds it. Run on demand: it signs a million receipts.
//!
//! `VOUCHSAFE_RECEIPTS=1000000 cargo test --release -p vouchsafe-monitor -- --ignored --nocapture catch_up`

use std::time::Instant;

use rayon::prelude::*;
use vouchsafe_receipt::{Leaf, ReceiptKey, VerifiedReceipt};
use vouchsafe_verifier::crypto::Ring;

use crate::enclave::{Enclave, GOOD, leaf};
use crate::log::{Log, T, Watching};

const RECEIPTS: usize = 20_000;

#[test]
#[ignore = "a measurement, not a check"]
fn catch_up() {
    let wanted = std::env::var("VOUCHSAFE_RECEIPTS").ok();
    let count = wanted.map_or(RECEIPTS, |text| text.parse().expect("a number of receipts"));
    let (mut log, mut enclave) = (Log::new(), Enclave::new());
    let boot = enclave.boot(GOOD);
    log.add_logged(&boot);
    log.add_logged(&enclave.epoch(&boot, 0));
    log.time = T;
    let checkpoint = log.checkpoint();
    (0..count).for_each(|_| log.add(leaf(&enclave.receipt(checkpoint))));
    log.publish(T + 1);
    println!("leaf_bytes={}", log.leaves.last().unwrap().len());

    // What the cores can do: the signature check of each receipt and nothing else.
    let key = ReceiptKey::from_spki(enclave.spki(), &Ring).unwrap();
    let sample = &log.leaves[2..(2 + count.min(100_000))];
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let good = sample.par_iter().filter(|leaf| match Leaf::parse(leaf) {
        Ok(Leaf::Receipt(signed)) => VerifiedReceipt::verify(signed.envelope(), &key, &Ring).is_ok(),
        _ => false,
    });
    assert_eq!(good.count(), sample.len());
    let alone = sample.len() as f64 / began.elapsed().as_secs_f64();
    let check_us = 1e6 * (cpu_seconds() - cpu) / sample.len() as f64;

    let mut watching = Watching::new(&log);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let report = watching.monitor.poll((T + 1) * 1000).unwrap();
    let taken = began.elapsed().as_secs_f64();
    assert_eq!((report.entries, report.violations), ((count + 2).try_into().unwrap(), Vec::new()));
    let all_us = 1e6 * (cpu_seconds() - cpu) / count as f64;
    let rate = count as f64 / taken;
    println!(
        "receipts={count} seconds={taken:.1} per_second={rate:.0} cores={}",
        rayon::current_num_threads()
    );
    println!("signature_checks_alone_per_second={alone:.0}");
    // Processor time does not depend on who else uses the machine.
    println!("cpu_us_per_receipt={all_us:.1} of_it_signature_check={check_us:.1}");
}

/// Processor time of this process so far. Linux counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // User and system time are the 14th and 15th fields; the second is a name in brackets.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
