//! What reference measurements accept, whatever they are called and however they are written: which registers,
//! from when until when.

use std::collections::BTreeSet;

use vouchsafe_bundle::policy::{Moment, PlatformName, ReferenceDigests, ReferenceValue, Rule};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::Hex;

/// Most pieces that one reference is taken apart into, to find it covered by several.
const PIECES_MAX: usize = 256;

/// The measurements that one reference accepts, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    platform: PlatformName,
    /// For each register the digests of which any suffices; `None`: whatever it holds.
    registers: Vec<Option<BTreeSet<Hex<48>>>>,
    /// From this second on.
    from: u64,
    /// Until before this one.
    end: u64,
}

impl Region {
    pub(super) fn of(value: &ReferenceValue) -> Self {
        let registers = match &value.digests {
            ReferenceDigests::SevSnp { measurement } => vec![Some(BTreeSet::from([*measurement]))],
            ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } => [mrtd, rtmr0, rtmr1, rtmr2, rtmr3]
                .into_iter()
                .map(|rule| rule.required().map(|digests| digests.iter().copied().collect()))
                .collect(),
            _ => Vec::new(),
        };
        let seconds = |moment: Option<Moment>| moment.map(|moment| moment.0.0);
        let revoked = seconds(value.revoked.as_ref().map(|revoked| revoked.at)).unwrap_or(u64::MAX);
        Self {
            platform: value.digests.platform(),
            registers,
            from: seconds(value.valid_from).unwrap_or(0),
            end: seconds(value.valid_until).unwrap_or(u64::MAX).min(revoked),
        }
    }

    /// Whether both name the same registers, whenever they are good.
    pub(super) fn has_registers_of(&self, other: &Self) -> bool {
        self.platform == other.platform && self.registers == other.registers
    }

    fn is_empty(&self) -> bool {
        self.from >= self.end || self.registers.iter().flatten().any(BTreeSet::is_empty)
    }

    /// Whether several together accept all that this one does. Never said where it is not so.
    pub(super) fn is_covered_by(&self, others: &[Self]) -> bool {
        self.is_covered(others, &mut PIECES_MAX.clone())
    }

    fn is_covered(&self, others: &[Self], pieces: &mut usize) -> bool {
        if self.is_empty() {
            return true;
        }
        let holds = |wide: &Option<BTreeSet<_>>, narrow: &Option<BTreeSet<_>>| match (wide, narrow) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wide), Some(narrow)) => narrow.is_subset(wide),
        };
        let mut spans: Vec<(u64, u64)> = others
            .iter()
            .filter(|other| other.platform == self.platform && !other.is_empty())
            .filter(|other| {
                other.registers.iter().zip(&self.registers).all(|(wide, narrow)| holds(wide, narrow))
            })
            .map(|other| (other.from, other.end))
            .collect();
        spans.sort_unstable();
        let reached =
            spans.iter().fold(self.from, |at, (from, end)| if *from <= at { at.max(*end) } else { at });
        if reached >= self.end {
            return true;
        }
        // No single set of registers covers it: perhaps one does for each of several alternatives.
        let split =
            self.registers.iter().position(|digests| digests.as_ref().is_some_and(|set| set.len() > 1));
        let Some((place, Some(digests))) =
            split.and_then(|place| Some((place, self.registers.get(place)?.clone())))
        else {
            return false;
        };
        digests.into_iter().all(|digest| {
            let mut piece = self.clone();
            if let Some(register) = piece.registers.get_mut(place) {
                *register = Some(BTreeSet::from([digest]));
            }
            *pieces = pieces.saturating_sub(1);
            *pieces > 0 && piece.is_covered(others, pieces)
        })
    }
}

/// What two references both accept, under the second's name; `None` where that is nothing.
pub(crate) fn meet(old: &ReferenceValue, new: &ReferenceValue) -> Option<ReferenceValue> {
    let digests = match (&old.digests, &new.digests) {
        (
            ReferenceDigests::Tdx { mrtd: a, rtmr0: b, rtmr1: c, rtmr2: d, rtmr3: e },
            ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 },
        ) => ReferenceDigests::Tdx {
            mrtd: common(a, mrtd)?,
            rtmr0: common(b, rtmr0)?,
            rtmr1: common(c, rtmr1)?,
            rtmr2: common(d, rtmr2)?,
            rtmr3: common(e, rtmr3)?,
        },
        (old, new) if old == new => new.clone(),
        _ => return None,
    };
    let valid_from = old.valid_from.max(new.valid_from);
    let valid_until = [old.valid_until, new.valid_until].into_iter().flatten().min();
    let ever = Moment(UnixSeconds(0));
    if valid_until.is_some_and(|until| until <= valid_from.unwrap_or(ever)) {
        return None;
    }
    let revoked =
        [&old.revoked, &new.revoked].into_iter().flatten().min_by_key(|revoked| revoked.at).cloned();
    // What was revoked before it was good is never good, and says since when it is not.
    let revoked = revoked.map(|mut revoked| {
        revoked.at = revoked.at.max(valid_from.unwrap_or(revoked.at));
        revoked
    });
    let (name, computed) = (new.name.clone(), new.computed.clone());
    Some(ReferenceValue { name, computed, digests, valid_from, valid_until, revoked })
}

type Register = Rule<Vec<Hex<48>>>;

fn common(old: &Register, new: &Register) -> Option<Register> {
    match (old, new) {
        (Rule::Require(old), Rule::Require(new)) => {
            let both: Vec<_> = new.iter().filter(|digest| old.contains(digest)).copied().collect();
            (!both.is_empty()).then_some(Rule::Require(both))
        }
        (Rule::Require(_), Rule::Ignore(_)) => Some(old.clone()),
        (Rule::Ignore(_), _) => Some(new.clone()),
    }
}
