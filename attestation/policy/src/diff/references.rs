//! Reference measurements, models and witnesses: lists whose entries have more to them than a value.

use vouchsafe_bundle::policy::{
    ModelReference, Moment, QuorumReference, ReferenceValue, ReleaseReference, RevocationReference, Rule,
};

use super::Changes;
use super::order::{QuorumOf, both, shown};
use super::region::{Region, meet};

const MEASUREMENTS: &str = "measurements";

/// Measurements are the same where their digests are, whatever they are called.
pub(super) fn measurements(
    changes: &mut Changes<'_>,
    old: &Rule<Vec<ReferenceValue>>,
    new: &mut Rule<Vec<ReferenceValue>>,
) {
    let Some((old, new)) = both(changes, MEASUREMENTS, old, new) else { return };
    let regions = |values: &[ReferenceValue]| values.iter().map(Region::of).collect::<Vec<_>>();
    let (old_regions, new_regions) = (regions(old), regions(new));
    for (value, region) in old.iter().zip(&old_regions) {
        if !region.is_covered_by(&new_regions) {
            let after = twin(value, region, new.iter().zip(&new_regions));
            let lines = after.map(|after| limits(value, after, true)).unwrap_or_default();
            for line in or_else(lines, || format!("no longer accepts {}", described(value))) {
                changes.narrows(MEASUREMENTS, line);
            }
        }
    }
    let mut kept = Vec::new();
    for (value, region) in new.iter().zip(&new_regions) {
        if region.is_covered_by(&old_regions) {
            kept.push(value.clone());
            continue;
        }
        let before = twin(value, region, old.iter().zip(&old_regions));
        let lines = before.map(|before| limits(before, value, false)).unwrap_or_default();
        let mut holds = true;
        // It is one thing, whatever is said of it: these registers, for that time.
        let to = bounded(value);
        for line in or_else(lines, || format!("also accepts {}", described(value))) {
            holds &= changes.widens_to(MEASUREMENTS, &to, line);
        }
        if holds {
            kept.push(value.clone());
        } else {
            kept.extend(old.iter().filter_map(|before| meet(before, value)));
        }
    }
    unique_names(&mut kept, |value| &mut value.name);
    *new = kept;
}

fn or_else(lines: Vec<String>, otherwise: impl FnOnce() -> String) -> Vec<String> {
    if lines.is_empty() { vec![otherwise()] } else { lines }
}

/// The entry that is the same image on the other side: of the same registers, and the same name if several are.
fn twin<'a>(
    value: &ReferenceValue,
    region: &Region,
    others: impl Iterator<Item = (&'a ReferenceValue, &'a Region)>,
) -> Option<&'a ReferenceValue> {
    let same: Vec<_> =
        others.filter(|(_, other)| other.has_registers_of(region)).map(|(other, _)| other).collect();
    same.iter().find(|other| other.name == value.name).or(same.first()).copied()
}

fn described(value: &ReferenceValue) -> String {
    format!("{:?} ({})", value.name, shown(&value.digests))
}

/// The digests with the time in which they are good.
fn bounded(value: &ReferenceValue) -> String {
    let [from, until, revoked] = moments(value).map(|(_, moment, _)| text(moment));
    format!("{} from {from} until {until}, revoked {revoked}", shown(&value.digests))
}

fn text(moment: Option<Moment>) -> String {
    moment.map_or_else(|| "no limit".into(), |moment| moment.0.to_string())
}

/// The limits in time, each with its name and what it is where there is none, in seconds.
fn moments(value: &ReferenceValue) -> [(&'static str, Option<Moment>, u64); 3] {
    [
        ("good from", value.valid_from, 0),
        ("good until", value.valid_until, u64::MAX),
        ("revoked at", value.revoked.as_ref().map(|revoked| revoked.at), u64::MAX),
    ]
}

/// The limits of one image that narrow, or that widen.
fn limits(old: &ReferenceValue, new: &ReferenceValue, narrow: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for ((what, before, open), (_, after, _)) in moments(old).into_iter().zip(moments(new)) {
        let seconds = |moment: Option<Moment>| moment.map_or(open, |moment| moment.0.0);
        let (was, is) = (seconds(before), seconds(after));
        // A later beginning accepts less, a later end more.
        if was != is && ((is > was) == (open == 0)) == narrow {
            lines.push(format!("{:?}: {what} {}, before {}", new.name, text(after), text(before)));
        }
    }
    lines
}

/// What several pieces of one entry have for a name: the entry's, with a number from the second on.
fn unique_names<T>(values: &mut [T], name: impl Fn(&mut T) -> &mut String) {
    let mut seen = std::collections::BTreeSet::new();
    for value in values {
        let (name, mut number) = (name(value), 1);
        let first = name.clone();
        while !seen.insert(name.clone()) {
            number += 1;
            *name = format!("{first} ({number})");
        }
    }
}

/// A model that names a digest more accepts less.
pub(super) fn models(
    changes: &mut Changes<'_>,
    old: &Rule<Vec<ModelReference>>,
    new: &mut Rule<Vec<ModelReference>>,
) {
    const PATH: &str = "models";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    for model in old.iter().filter(|model| !new.iter().any(|after| is_within(model, after))) {
        changes.narrows(PATH, format!("no longer accepts {}", shown(model)));
    }
    let mut kept = Vec::new();
    for model in new.iter() {
        let to = format!("{} and {}", shown(&model.manifest), shown(&model.weights));
        if old.iter().any(|before| is_within(model, before))
            || changes.widens_to(PATH, &to, format!("also accepts {}", shown(model)))
        {
            kept.push(model.clone());
            continue;
        }
        for before in old {
            let mut both = model.clone();
            both.manifest = model.manifest.or(before.manifest);
            both.weights = model.weights.or(before.weights);
            if is_within(&both, before) {
                kept.push(both);
            }
        }
    }
    *new = kept;
}

/// Whether one model is accepted only where another is.
fn is_within(narrow: &ModelReference, wide: &ModelReference) -> bool {
    wide.manifest.is_none_or(|digest| narrow.manifest == Some(digest))
        && wide.weights.is_none_or(|digest| narrow.weights == Some(digest))
}

/// Who may revoke may also fail to, so that other keys, fewer signatures and an older list accept more.
pub(super) fn revocations(
    changes: &mut Changes<'_>,
    old: &Rule<RevocationReference>,
    new: &mut Rule<RevocationReference>,
) {
    const PATH: &str = "revocations.list";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    QuorumOf {
        keys: &mut new.keys,
        threshold: &mut new.threshold,
        words: ["also believes", "no longer believes"],
        what: "signatures",
    }
    .compare(changes, PATH, (&old.keys, old.threshold));
    let to = format!("a list may be {} s old", new.age_seconds_max);
    let line = format!("{to}, before {}", old.age_seconds_max);
    if new.age_seconds_max < old.age_seconds_max {
        changes.narrows(PATH, line);
    } else if new.age_seconds_max > old.age_seconds_max && !changes.widens_to(PATH, &to, line) {
        new.age_seconds_max = old.age_seconds_max;
    }
}

/// Who may release.
pub(super) fn releases(
    changes: &mut Changes<'_>,
    old: &Rule<ReleaseReference>,
    new: &mut Rule<ReleaseReference>,
) {
    const PATH: &str = "images.released";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    QuorumOf {
        keys: &mut new.keys,
        threshold: &mut new.threshold,
        words: ["also believes", "no longer believes"],
        what: "signatures",
    }
    .compare(changes, PATH, (&old.keys, old.threshold));
}

/// More witnesses are more ways to a quorum, a higher threshold fewer.
pub(super) fn quorum(
    changes: &mut Changes<'_>,
    old: &Rule<QuorumReference>,
    new: &mut Rule<QuorumReference>,
) {
    const PATH: &str = "witnesses.quorum";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    QuorumOf {
        keys: &mut new.keys,
        threshold: &mut new.threshold,
        words: ["also counts", "no longer counts"],
        what: "witnesses",
    }
    .compare(changes, PATH, (&old.keys, old.threshold));
}
