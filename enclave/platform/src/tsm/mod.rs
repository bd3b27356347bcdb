//! The kernel's configfs-tsm report interface (Linux 6.7 and later, Documentation/ABI/testing/
//! configfs-tsm-report).
//!
//! A report is a folder that the reader makes: `inblob` takes up to 64 bytes, `outblob` gives the
//! report, `auxblob` what the host supplied with it, `generation` counts writes. Input is taken when
//! the file is closed, where failures go unreported; so the generation is compared before and after.

mod tree;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use tree::{Configfs, Tree};

use crate::AttestError;
use crate::turns::{ATTEMPTS, Turns, pause_before};

/// Most bytes of a report or quote: twice the kernel's own bound of 32 KiB.
const OUTBLOB_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of what the host supplies.
const AUXBLOB_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of a textual attribute.
const TEXT_BYTES_MAX: usize = 256;

/// What one report consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blobs {
    pub(crate) provider: String,
    /// The report or quote.
    pub(crate) out: Vec<u8>,
    /// What the host supplied; empty where there is nothing.
    pub(crate) aux: Vec<u8>,
}

/// Obtains reports, one at a time.
#[derive(Debug)]
pub(crate) struct Tsm<T> {
    tree: T,
    entries: AtomicU64,
    turns: Turns,
}

/// What one attempt came to, short of an error that repeating cannot mend.
enum Attempt {
    Done(Blobs),
    Disturbed { expected: u64, found: u64 },
    Busy(String),
}

impl<T: Tree> Tsm<T> {
    pub(crate) fn new(tree: T) -> Self {
        Self { tree, entries: AtomicU64::new(0), turns: Turns::default() }
    }

    /// The provider's name.
    pub(crate) fn provider(&self) -> Result<String, AttestError> {
        let entry = self.entry()?;
        entry.text("provider")
    }

    /// A fresh report on `inblob`.
    pub(crate) fn report(&self, inblob: &[u8; 64]) -> Result<Blobs, AttestError> {
        let _turn = self.turns.take()?;
        let mut last = AttestError::Busy { attempts: 0, message: String::new() };
        for attempt in 1..=ATTEMPTS {
            pause_before(attempt);
            last = match self.attempt(inblob)? {
                Attempt::Done(blobs) => return Ok(blobs),
                Attempt::Disturbed { expected, found } => {
                    AttestError::GenerationChanged { attempts: attempt, expected, found }
                }
                Attempt::Busy(message) => AttestError::Busy { attempts: attempt, message },
            };
        }
        Err(last)
    }

    fn attempt(&self, inblob: &[u8; 64]) -> Result<Attempt, AttestError> {
        let entry = self.entry()?;
        let expected = entry.generation()?.saturating_add(1);
        entry.write("inblob", inblob)?;
        let out = match entry.read("outblob", OUTBLOB_BYTES_MAX) {
            Ok(out) => out,
            Err(AttestError::Io { kind, message, .. }) if is_passing(kind) => {
                return Ok(Attempt::Busy(message));
            }
            Err(other) => return Err(other),
        };
        let aux = entry.optional("auxblob", AUXBLOB_BYTES_MAX)?;
        let provider = entry.text("provider")?;
        let found = entry.generation()?;
        if found != expected {
            return Ok(Attempt::Disturbed { expected, found });
        }
        if out.is_empty() {
            return Err(AttestError::Attribute { attribute: "outblob", problem: "it is empty".into() });
        }
        Ok(Attempt::Done(Blobs { provider, out, aux }))
    }

    fn entry(&self) -> Result<Entry<'_, T>, AttestError> {
        loop {
            let number = self.entries.fetch_add(1, Ordering::Relaxed);
            let name = format!("vouchsafe-{}-{number}", std::process::id());
            match self.tree.create(&name) {
                Ok(()) => return Ok(Entry { tree: &self.tree, name }),
                // Left behind by an earlier program with this process id: take the next name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1_000_000 => {}
                Err(error) => return Err(AttestError::io("make", &self.tree.path(&name, ""), &error)),
            }
        }
    }
}

fn is_passing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{Interrupted, ResourceBusy, TimedOut, WouldBlock};
    matches!(kind, Interrupted | ResourceBusy | TimedOut | WouldBlock)
}

/// One report folder, removed when dropped.
struct Entry<'a, T: Tree> {
    tree: &'a T,
    name: String,
}

impl<T: Tree> Drop for Entry<'_, T> {
    fn drop(&mut self) {
        // An entry that cannot be removed costs the kernel some memory and nothing else.
        let _ = self.tree.remove(&self.name);
    }
}

impl<T: Tree> Entry<'_, T> {
    fn write(&self, attribute: &'static str, bytes: &[u8]) -> Result<(), AttestError> {
        self.tree
            .write(&self.name, attribute, bytes)
            .map_err(|error| AttestError::io("write", &self.tree.path(&self.name, attribute), &error))
    }

    fn read(&self, attribute: &'static str, max: usize) -> Result<Vec<u8>, AttestError> {
        let bytes = self
            .tree
            .read(&self.name, attribute, max)
            .map_err(|error| AttestError::io("read", &self.tree.path(&self.name, attribute), &error))?;
        if bytes.len() > max {
            let problem = format!("it is longer than {max} bytes");
            return Err(AttestError::Attribute { attribute, problem });
        }
        Ok(bytes)
    }

    /// As [`Self::read`], empty where the attribute is not there or has no value: providers without
    /// supplements lack it, and so do kernels before attributes had visibility.
    fn optional(&self, attribute: &'static str, max: usize) -> Result<Vec<u8>, AttestError> {
        match self.read(attribute, max) {
            Err(AttestError::Io { kind, message, .. })
                if kind == io::ErrorKind::NotFound || message.ends_with("(os error 6)") =>
            {
                Ok(Vec::new())
            }
            other => other,
        }
    }

    fn text(&self, attribute: &'static str) -> Result<String, AttestError> {
        let bytes = self.read(attribute, TEXT_BYTES_MAX)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| AttestError::Attribute { attribute, problem: "it is not text".into() })?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    fn generation(&self) -> Result<u64, AttestError> {
        let text = self.text("generation")?;
        text.parse().map_err(|_| AttestError::Attribute {
            attribute: "generation",
            problem: format!("{text:?} is not a number"),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
