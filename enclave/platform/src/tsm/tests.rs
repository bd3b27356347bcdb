//! A fake of the kernel's interface, with its rules about generations, and the faults it can have.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Mutex;

use super::{ATTEMPTS, Tree, Tsm};
use crate::AttestError;
use crate::turns::Turns;

/// What makes the report out of the input.
type Provider = fn(&[u8]) -> Vec<u8>;

/// The kernel's side.
pub(crate) struct FakeTree {
    pub(crate) provider: &'static str,
    pub(crate) make: Provider,
    pub(crate) aux: Option<Vec<u8>>,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    entries: BTreeMap<String, Slot>,
    pub(crate) made: usize,
    /// Reads of `outblob` that fail with "busy" before one succeeds.
    pub(crate) busy: u32,
    /// Reports during which somebody else writes.
    pub(crate) disturbed: u32,
    /// Whether making an entry fails, as it does without a provider.
    pub(crate) absent: bool,
    /// Requests that read their report at this moment, and the most that there were.
    reading: usize,
    reading_max: usize,
    /// Whether inputs are lost: taken when the file is closed, without a word.
    deaf: bool,
}

#[derive(Default)]
struct Slot {
    inblob: Vec<u8>,
    generation: u64,
}

impl FakeTree {
    pub(crate) fn new(provider: &'static str, make: Provider, aux: Option<Vec<u8>>) -> Self {
        Self { provider, make, aux, state: Mutex::default() }
    }

    pub(crate) fn entries_left(&self) -> usize {
        self.state.lock().unwrap().entries.len()
    }
}

impl Tree for FakeTree {
    fn path(&self, entry: &str, attribute: &str) -> PathBuf {
        PathBuf::from("/fake").join(entry).join(attribute)
    }

    fn create(&self, entry: &str) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.absent {
            return Err(io::Error::from_raw_os_error(6));
        }
        state.made += 1;
        match state.entries.insert(entry.to_owned(), Slot::default()) {
            None => Ok(()),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    fn write(&self, entry: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(attribute, "inblob");
        let mut state = self.state.lock().unwrap();
        if state.deaf {
            return Ok(());
        }
        let slot = state.entries.get_mut(entry).ok_or(ErrorKind::NotFound)?;
        slot.inblob = bytes.to_vec();
        slot.generation += 1;
        Ok(())
    }

    fn read(&self, entry: &str, attribute: &str, _max: usize) -> io::Result<Vec<u8>> {
        if attribute == "outblob" {
            let mut state = self.state.lock().unwrap();
            state.reading += 1;
            state.reading_max = state.reading_max.max(state.reading);
            drop(state);
            // Others get their chance to come in between.
            std::thread::yield_now();
            self.state.lock().unwrap().reading -= 1;
        }
        let mut state = self.state.lock().unwrap();
        let State { entries, busy, disturbed, .. } = &mut *state;
        let slot = entries.get_mut(entry).ok_or(ErrorKind::NotFound)?;
        match attribute {
            "outblob" if *busy > 0 => {
                *busy -= 1;
                Err(ErrorKind::ResourceBusy.into())
            }
            "outblob" => {
                if *disturbed > 0 {
                    *disturbed -= 1;
                    slot.generation += 1;
                    slot.inblob = vec![0xee; 64];
                }
                Ok((self.make)(&slot.inblob))
            }
            "auxblob" => self.aux.clone().ok_or_else(|| ErrorKind::NotFound.into()),
            "provider" => Ok(format!("{}\n", self.provider).into_bytes()),
            "generation" => Ok(format!("{}\n", slot.generation).into_bytes()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, entry: &str) -> io::Result<()> {
        self.state.lock().unwrap().entries.remove(entry).map(|_| ()).ok_or(ErrorKind::NotFound.into())
    }
}

fn tsm() -> Tsm<FakeTree> {
    Tsm::new(FakeTree::new("fake", <[u8]>::to_vec, None))
}

#[test]
fn a_report_carries_its_input_and_leaves_nothing_behind() {
    let tsm = tsm();
    let blobs = tsm.report(&[7; 64]).unwrap();
    assert_eq!((blobs.provider.as_str(), blobs.out, blobs.aux), ("fake", vec![7; 64], Vec::new()));
    assert_eq!(tsm.provider().unwrap(), "fake");
    assert_eq!(tsm.tree.entries_left(), 0);
}

#[test]
fn a_disturbed_or_busy_report_is_taken_again() {
    let tsm = tsm();
    tsm.tree.state.lock().unwrap().disturbed = 2;
    tsm.tree.state.lock().unwrap().busy = 1;
    assert_eq!(tsm.report(&[7; 64]).unwrap().out, vec![7; 64]);
    assert_eq!(tsm.tree.state.lock().unwrap().made, 4);
    assert_eq!(tsm.tree.entries_left(), 0);
}

#[test]
fn one_that_is_always_disturbed_is_an_error_with_the_values_compared() {
    let tsm = tsm();
    tsm.tree.state.lock().unwrap().disturbed = u32::MAX;
    let error = tsm.report(&[7; 64]).unwrap_err();
    assert_eq!(error, AttestError::GenerationChanged { attempts: ATTEMPTS, expected: 1, found: 2 });
}

#[test]
fn an_interface_that_fails_is_named() {
    let tsm = tsm();
    tsm.tree.state.lock().unwrap().absent = true;
    let error = tsm.report(&[7; 64]).unwrap_err();
    assert!(matches!(&error, AttestError::Io { action: "make", .. }), "{error}");
    let empty = Tsm::new(FakeTree::new("fake", |_| Vec::new(), None));
    assert!(matches!(empty.report(&[7; 64]), Err(AttestError::Attribute { attribute: "outblob", .. })));
}

#[test]
fn an_input_that_is_not_taken_is_noticed() {
    let tsm = tsm();
    tsm.tree.state.lock().unwrap().deaf = true;
    let error = tsm.report(&[7; 64]).unwrap_err();
    assert_eq!(error, AttestError::GenerationChanged { attempts: ATTEMPTS, expected: 1, found: 0 });
}

#[test]
fn requests_at_the_same_time_each_get_their_own_report_one_after_the_other() {
    let tsm = tsm();
    std::thread::scope(|scope| {
        for byte in 0..16 {
            let tsm = &tsm;
            scope.spawn(move || assert_eq!(tsm.report(&[byte; 64]).unwrap().out, vec![byte; 64]));
        }
    });
    assert_eq!(tsm.tree.state.lock().unwrap().reading_max, 1);
}

#[test]
fn nobody_waits_for_ever_behind_a_report_that_does_not_come() {
    let tree = FakeTree::new("fake", <[u8]>::to_vec, None);
    let tsm = Tsm { turns: Turns::waiting(std::time::Duration::ZERO), ..Tsm::new(tree) };
    let turn = tsm.turns.take().unwrap();
    assert_eq!(tsm.report(&[7; 64]).unwrap_err(), AttestError::Timeout { seconds: 0 });
    drop(turn);
    assert_eq!(tsm.report(&[7; 64]).unwrap().out, vec![7; 64]);
}
