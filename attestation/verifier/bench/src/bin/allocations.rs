//! Prints how often, and how much, one verification allocates on the Rust side. What OpenSSL allocates
//! for itself is not seen.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use vouchsafe_verifier_bench::{Verification, cases};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let Some(cases) = cases() else {
        eprintln!("NOT RUN: allocation counts (no fixtures)");
        return;
    };
    println!("{:<22} {:<18} {:>12} {:>12}", "evidence", "verifier", "allocations", "bytes");
    for case in cases {
        for (verifier, verification) in [("vouchsafe", &case.ours), (case.peer, &case.theirs)] {
            let (allocations, bytes) = measure(verification);
            println!("{:<22} {verifier:<18} {allocations:>12} {bytes:>12}", case.name);
        }
    }
}

/// Allocations (reallocations among them) and bytes of one verification. The first is left out: it
/// fills what is made once per process.
fn measure(verification: &Verification) -> (usize, usize) {
    assert!(verification(), "refused");
    let region = Region::new(ALLOCATOR);
    assert!(verification(), "refused");
    let change = region.change();
    (change.allocations + change.reallocations, change.bytes_allocated)
}
