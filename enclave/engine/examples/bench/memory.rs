//! What memory allows, and what is used of it.

use std::io::Result;
use std::time::Instant;

use memmap2::{Advice, MmapMut};

/// Bytes per second that `threads` read together from a buffer of this size, each its part: the best of
/// several times.
pub(crate) fn read_bandwidth(bytes: usize, threads: usize) -> Result<f64> {
    let mut buffer = MmapMut::map_anon(bytes)?;
    // As the engine's weights lie; a system without large pages measures without.
    let _ = buffer.advise(Advice::HugePage);
    buffer.fill(1);
    let part = bytes.div_ceil(threads).next_multiple_of(4096);
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let start = Instant::now();
        let sum: u64 = std::thread::scope(|scope| {
            let parts: Vec<_> = buffer.chunks(part).map(|part| scope.spawn(move || sum(part))).collect();
            parts.into_iter().map(|part| part.join().unwrap_or(0)).fold(0, u64::wrapping_add)
        });
        std::hint::black_box(sum);
        best = best.max(bytes as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// Sixteen sums side by side: several loads at a time.
fn sum(bytes: &[u8]) -> u64 {
    let mut sums = [0_u64; 16];
    for line in bytes.as_chunks::<128>().0 {
        for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

/// Processor time that the process's threads have taken: nanoseconds stand first in `schedstat`.
pub(crate) fn processor_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// The process's greatest resident size so far.
pub(crate) fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
}
