//! How fast a monitor reads a long log, and what bounds it. Run on demand: it signs two million receipts.
//!
//! `VOUCHSAFE_RECEIPTS=1000000 cargo test --release -p vouchsafe-monitor -- --ignored --nocapture catch_up`

use std::time::Instant;

use rayon::prelude::*;
use vouchsafe_receipt::{CheckpointRef, Leaf, ReceiptKey, VerifiedReceipt};
use vouchsafe_translog::{Frontier, merkle};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::enclave::{Enclave, GOOD, Logged, leaf};
use crate::log::{Log, T, Watching};

const RECEIPTS: usize = 20_000;

/// What a log is like.
struct Shape {
    name: &'static str,
    /// Boots whose receipts alternate.
    boots: usize,
    /// Receipts after which the next ones name a newer tree; one a second.
    per_tree: usize,
    /// Trees after which each boot has a new epoch.
    trees_per_epoch: usize,
}

const SHAPES: [Shape; 2] = [
    // The least that there can be to do beside checking signatures.
    Shape { name: "one_boot_one_tree", boots: 1, per_tree: usize::MAX, trees_per_epoch: usize::MAX },
    // As from a fleet: a tree each second, hourly epochs.
    Shape { name: "eight_boots_many_trees", boots: 8, per_tree: 8, trees_per_epoch: 3600 },
];

#[test]
#[ignore = "a measurement, not a check"]
fn catch_up() {
    let wanted = std::env::var("VOUCHSAFE_RECEIPTS").ok();
    let count = wanted.map_or(RECEIPTS, |text| text.parse().expect("a number of receipts"));
    SHAPES.iter().for_each(|shape| measure(shape, count));
}

/// A log that grows without being published, and its tree at each moment.
struct Growing {
    log: Log,
    tree: Frontier,
}

impl Growing {
    fn add(&mut self, leaf: Vec<u8>) {
        self.tree.push(merkle::leaf_hash(&leaf, &Ring), &Ring);
        self.log.add(leaf);
    }

    fn add_logged(&mut self, logged: &Logged) {
        self.log.add_logged(logged);
        self.tree.push(merkle::leaf_hash(&logged.leaf, &Ring), &Ring);
    }

    fn checkpoint(&self, time: u64) -> CheckpointRef {
        CheckpointRef { size: self.tree.size(), root: Hex(self.tree.root(&Ring)), time }
    }
}

fn measure(shape: &Shape, count: usize) {
    let mut growing = Growing { log: Log::new(), tree: Frontier::default() };
    let mut enclaves: Vec<Enclave> = (0..shape.boots).map(|_| Enclave::new()).collect();
    let boots: Vec<Logged> = enclaves.iter().map(|enclave| enclave.boot(GOOD)).collect();
    for (enclave, boot) in enclaves.iter().zip(&boots) {
        growing.add_logged(boot);
        growing.add_logged(&enclave.epoch(boot, 0));
    }
    let (mut time, mut trees, mut epoch) = (T, 1, 0);
    let mut checkpoint = growing.checkpoint(time);
    for place in 0..count {
        if place > 0 && place % shape.per_tree == 0 {
            time += 1;
            trees += 1;
            if trees % shape.trees_per_epoch == 0 {
                epoch += 1;
                for (enclave, boot) in enclaves.iter().zip(&boots) {
                    growing.add_logged(&enclave.epoch(boot, epoch));
                }
            }
            checkpoint = growing.checkpoint(time);
        }
        let receipt = leaf(&enclaves[place % shape.boots].receipt(checkpoint));
        growing.add(receipt);
    }
    let mut log = growing.log;
    log.publish(time + 1);
    println!(
        "shape={} boots={} trees={trees} epochs={} leaf_bytes={}",
        shape.name,
        shape.boots,
        epoch + 1,
        log.leaves.last().unwrap().len()
    );

    // What the cores can do: the signature check of each receipt and nothing else.
    let keys: Vec<_> =
        enclaves.iter().map(|enclave| ReceiptKey::from_spki(enclave.spki(), &Ring).unwrap()).collect();
    let sample = &log.leaves[log.leaves.len() - count.min(100_000)..];
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let good = sample.par_iter().filter(|leaf| match Leaf::parse(leaf) {
        Ok(Leaf::Receipt(signed)) => {
            let key = keys.iter().find(|key| key.id() == signed.boot()).unwrap();
            VerifiedReceipt::verify(signed.envelope(), key, &Ring).is_ok()
        }
        // An epoch's record.
        _ => true,
    });
    assert_eq!(good.count(), sample.len());
    let alone = sample.len() as f64 / began.elapsed().as_secs_f64();
    let check_us = 1e6 * (cpu_seconds() - cpu) / sample.len() as f64;

    let mut watching = Watching::new(&log);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let report = watching.monitor.poll((time + 1) * 1000).unwrap();
    let taken = began.elapsed().as_secs_f64();
    assert_eq!((report.entries, report.violations), (log.leaves.len().try_into().unwrap(), Vec::new()));
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
