//! Planted faults: for each target a reader of the same bytes with a mistake that such readers really
//! make, so that the check can prove that the fuzzer finds one.
//!
//! Off unless `VOUCHSAFE_FUZZ_PLANTED=1`. No seed of our own trips over them; what does is an input that
//! the fuzzer made. None of this is part of anything that ships.

use std::sync::LazyLock;

use serde_json::Value;
use vouchsafe_verifier::snp::FirmwareVersion;
use vouchsafe_verifier::tdx::TdAttributes;

static PLANTED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("VOUCHSAFE_FUZZ_PLANTED").is_some_and(|value| value == "1"));

/// Runs a careless reader if planted faults are armed.
pub fn planted<T>(careless: impl FnOnce() -> T) {
    if *PLANTED {
        std::hint::black_box(careless());
    }
}

/// Takes it for granted that firmware is never older than what was committed.
pub fn builds_ahead(committed: FirmwareVersion, current: FirmwareVersion) -> u8 {
    current.build - committed.build
}

/// Walks DER and trusts every length.
pub fn der_depth(mut der: &[u8]) -> usize {
    let mut deepest = 0;
    while let [tag, first, rest @ ..] = der {
        let (len, rest) = match first {
            0x82 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            0x81 => (usize::from(rest[0]), &rest[1..]),
            _ => (usize::from(*first), rest),
        };
        if tag & 0x20 != 0 {
            deepest = deepest.max(1 + der_depth(&rest[..len]));
        }
        der = &rest[len..];
    }
    deepest
}

/// Has names for the attributes in the lower half, and looks the highest one up.
pub fn highest_attribute(attributes: TdAttributes) -> &'static str {
    let mut names = [""; 32];
    names[0] = "DEBUG";
    names[28] = "SEPT_VE_DISABLE";
    attributes.bits().checked_ilog2().map_or("", |highest| names[usize::try_from(highest).unwrap_or(0)])
}

/// Takes it for granted that the end comes after the beginning.
pub fn seconds_between(from: u64, until: u64) -> u64 {
    until - from
}

/// Has room for the days of a month, as the documents that were looked at need.
pub fn day_of_month(from: u64, until: u64) -> u8 {
    let days: [u8; 32] = std::array::from_fn(|day| u8::try_from(day).unwrap_or_default());
    days[usize::try_from(until.saturating_sub(from) / 86_400).unwrap_or(usize::MAX)]
}

/// Thinks that whatever is not up to date has an advisory.
pub fn first_advisory<'a>(is_up_to_date: bool, advisories: impl IntoIterator<Item = &'a String>) -> &'a str {
    if is_up_to_date { "" } else { advisories.into_iter().next().expect("an advisory") }
}

/// Keeps the low byte of an event type, since the numbers in the specification fit.
pub fn event_number(event_type: u32) -> u8 {
    u8::try_from(event_type & 0x7fff_ffff).expect("a type of the specification")
}

/// Parses again what must be JSON, since it was signed.
pub fn signed_json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// Counts texts by their first letter, from `A` to `z`, which every text has.
pub fn first_letters<'a>(texts: impl IntoIterator<Item = &'a str>) -> [u32; 58] {
    let mut counts = [0; 58];
    texts.into_iter().for_each(|text| counts[usize::from(text.as_bytes()[0] - b'A')] += 1);
    counts
}

/// Counts a digest's bytes in a table that was long enough for those it was tried with.
pub fn spread(digest: [u8; 32]) -> [u8; 64] {
    let mut counts = [0; 64];
    digest.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    counts
}

/// Keeps an entry's place in a byte, counted from the end of the tree.
pub fn place(index: u64, size: u64) -> u8 {
    u8::try_from(size - index).expect("a small tree")
}

/// Keeps counts in bytes, since those that were seen fit.
pub fn small(counts: [u64; 5]) -> [u8; 5] {
    counts.map(|count| u8::try_from(count).expect("a small count"))
}
