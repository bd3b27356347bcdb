//! Random faults: who, what, when and for how long.

use core::fmt;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng as _};
use tokio::time::{Instant, sleep_until};

use crate::disk::Disk;
use crate::installation::Installation;
use crate::program::{Kind, Program};

/// Between two faults.
const PAUSE_MS: [u64; 2] = [200, 3_000];
/// Until what was killed is started again.
const DOWN_MS: [u64; 2] = [0, 3_000];
/// How long processes are paused.
const STANDSTILL_MS: [u64; 2] = [100, 8_000];
/// How long the disk is full.
const FULL_MS: [u64; 2] = [500, 6_000];
/// How often something is looked after when nothing is to happen: what ended by itself is started again.
const LOOK: Duration = Duration::from_millis(250);

/// What can go wrong, weighted by how often it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Pause,
    Fill,
}

const FAULTS: [Fault; 8] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Pause,
    Fault::Pause,
    Fault::Pause,
    Fault::Fill,
];

/// What ends a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Start(usize),
    Continue(usize),
    Free,
}

/// Injects faults until its time is over, and mends each.
pub(crate) struct Faults {
    random: ChaCha8Rng,
    disk: Option<Disk>,
    is_full: bool,
    /// What is out of order, and when it will be mended.
    mends: Vec<(Instant, Mend)>,
    count: Injected,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Injected {
    killed: BTreeMap<&'static str, u64>,
    paused: BTreeMap<&'static str, u64>,
    filled: u64,
    /// What ended by itself and was started again, by what it said last.
    ended: BTreeMap<String, u64>,
}

impl Faults {
    /// Of a seed. The disk is filled if there is one that may be.
    pub(crate) fn new(seed: u64, disk: Option<Disk>) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self { random, disk, is_full: false, mends: Vec::new(), count: Injected::default() }
    }

    /// Injects faults for so long; in the end everything runs.
    pub(crate) async fn run(mut self, installation: &mut Installation, time: Duration) -> Result<Injected> {
        let programs = &mut installation.programs;
        let end = Instant::now() + time;
        let mut next = self.after(PAUSE_MS);
        while Instant::now() < end || !self.mends.is_empty() {
            let mend = self.mends.iter().map(|(when, _)| *when).min();
            let look = Instant::now() + LOOK;
            sleep_until([mend, Some(next), Some(look)].into_iter().flatten().min().unwrap_or(look)).await;
            self.revive(programs).await?;
            let now = Instant::now();
            let (due, waiting) = self.mends.drain(..).partition(|(when, _)| *when <= now);
            self.mends = waiting;
            for (_, mend) in due {
                self.mend(mend, programs)?;
            }
            if next <= now && now < end {
                self.inject(programs).await?;
                next = self.after(PAUSE_MS);
            } else if next <= now {
                next = now + LOOK;
            }
        }
        Ok(self.count)
    }

    async fn inject(&mut self, programs: &mut [Program]) -> Result<()> {
        let fault = FAULTS[self.below(FAULTS.len())];
        if fault == Fault::Fill {
            if let (Some(disk), false) = (&self.disk, self.is_full) {
                disk.fill()?;
                (self.is_full, self.count.filled) = (true, self.count.filled + 1);
                let when = self.after(FULL_MS);
                self.mends.push((when, Mend::Free));
            }
            return Ok(());
        }
        // What is out of order already is left alone.
        let is_busy = |one: usize| {
            let of_it = |mend: &Mend| matches!(mend, Mend::Start(it) | Mend::Continue(it) if *it == one);
            self.mends.iter().any(|(_, mend)| of_it(mend))
        };
        let usable: Vec<usize> =
            (0..programs.len()).filter(|one| !is_busy(*one) && programs[*one].is_running()).collect();
        if usable.is_empty() {
            return Ok(());
        }
        let one = usable[self.below(usable.len())];
        let program = &mut programs[one];
        let count = match fault {
            Fault::Kill => {
                program.kill().await?;
                let when = self.after(DOWN_MS);
                self.mends.push((when, Mend::Start(one)));
                &mut self.count.killed
            }
            _ => {
                program.pause(true)?;
                let when = self.after(STANDSTILL_MS);
                self.mends.push((when, Mend::Continue(one)));
                &mut self.count.paused
            }
        };
        *count.entry(name(program.kind)).or_default() += 1;
        Ok(())
    }

    fn mend(&mut self, mend: Mend, programs: &mut [Program]) -> Result<()> {
        match mend {
            Mend::Start(one) => programs[one].start(),
            Mend::Continue(one) => programs[one].pause(false),
            Mend::Free => {
                self.is_full = false;
                self.disk.as_ref().map_or(Ok(()), Disk::free)
            }
        }
    }

    /// Starts what ended by itself again, after a pause, as a service manager does. An enclave does not: its keys
    /// would be lost, and with them receipts that nobody's fault excuses.
    async fn revive(&mut self, programs: &mut [Program]) -> Result<()> {
        for (one, program) in programs.iter_mut().enumerate() {
            let Some((status, complaint)) = program.ended().await? else { continue };
            if program.kind == Kind::Enclave {
                bail!("the enclave ended by itself with {status}: {complaint}");
            }
            let what = format!("{} ended with {status}: {complaint}", name(program.kind));
            *self.count.ended.entry(what).or_default() += 1;
            // In case that it was paused when it ended.
            self.mends.retain(|(_, mend)| *mend != Mend::Continue(one));
            self.mends.push((Instant::now() + Duration::from_secs(1), Mend::Start(one)));
        }
        Ok(())
    }

    fn after(&mut self, [least, most]: [u64; 2]) -> Instant {
        let span = usize::try_from(most - least).unwrap_or(usize::MAX);
        Instant::now() + Duration::from_millis(least + self.below(span) as u64)
    }

    /// A number below `bound`, which is small: that it is a little uneven is of no matter.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap_or(0) % bound.max(1)
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Enclave => "enclave",
        Kind::Host => "host",
        Kind::Log => "log",
        Kind::Witness(_) => "witness",
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&str, u64>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let total: u64 = self.killed.values().chain(self.paused.values()).sum::<u64>() + self.filled;
        write!(f, "{total} faults: killed {}; paused {}; ", list(&self.killed), list(&self.paused))?;
        write!(f, "disk filled {}", self.filled)?;
        for (what, count) in &self.ended {
            write!(f, "\n  started again {count} times: {what}")?;
        }
        Ok(())
    }
}
