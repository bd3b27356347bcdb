//! Reference measurements, models and witnesses: lists whose entries have more to them than a value.

use vouchsafe_bundle::policy::{
    ModelReference, Moment, QuorumReference, ReferenceValue, RevocationReference, Rule,
};

use super::Changes;
use super::order::{both, shown};

/// Measurements are the same where their digests are, whatever they are called.
pub(super) fn measurements(
    changes: &mut Changes,
    old: &Rule<Vec<ReferenceValue>>,
    new: &Rule<Vec<ReferenceValue>>,
) {
    const PATH: &str = "measurements";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    let name = |value: &ReferenceValue| format!("{:?} ({})", value.name, shown(&value.digests));
    for value in new {
        match old.iter().find(|before| before.digests == value.digests) {
            None => changes.widens(PATH, format!("also accepts {}", name(value))),
            Some(before) => validity(changes, before, value),
        }
    }
    for value in old.iter().filter(|value| !new.iter().any(|after| after.digests == value.digests)) {
        changes.narrows(PATH, format!("no longer accepts {}", name(value)));
    }
}

/// When a measurement is good.
fn validity(changes: &mut Changes, old: &ReferenceValue, new: &ReferenceValue) {
    const PATH: &str = "measurements";
    let seconds = |moment: Option<Moment>, open: u64| moment.map_or(open, |moment| moment.0.0);
    let text = |moment: Option<Moment>| moment.map_or_else(|| "no limit".into(), |m| m.0.to_string());
    let revoked = |value: &ReferenceValue| value.revoked.as_ref().map(|revoked| revoked.at);
    let limits = [
        // A later beginning accepts less, a later end more.
        (
            "good from",
            seconds(old.valid_from, 0),
            seconds(new.valid_from, 0),
            old.valid_from,
            new.valid_from,
            true,
        ),
        (
            "good until",
            seconds(old.valid_until, u64::MAX),
            seconds(new.valid_until, u64::MAX),
            old.valid_until,
            new.valid_until,
            false,
        ),
        (
            "revoked at",
            seconds(revoked(old), u64::MAX),
            seconds(revoked(new), u64::MAX),
            revoked(old),
            revoked(new),
            false,
        ),
    ];
    for (what, was, is, before, after, is_lower_bound) in limits {
        if was == is {
            continue;
        }
        let line = format!("{:?}: {what} {}, before {}", new.name, text(after), text(before));
        if (is > was) == is_lower_bound {
            changes.narrows(PATH, line);
        } else {
            changes.widens(PATH, line);
        }
    }
}

/// Models are the same where both digests are.
pub(super) fn models(
    changes: &mut Changes,
    old: &Rule<Vec<ModelReference>>,
    new: &Rule<Vec<ModelReference>>,
) {
    const PATH: &str = "models";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    let is_same = |a: &ModelReference, b: &ModelReference| a.manifest == b.manifest && a.weights == b.weights;
    for model in new.iter().filter(|model| !old.iter().any(|before| is_same(before, model))) {
        changes.widens(PATH, format!("also accepts {}", shown(model)));
    }
    for model in old.iter().filter(|model| !new.iter().any(|after| is_same(after, model))) {
        changes.narrows(PATH, format!("no longer accepts {}", shown(model)));
    }
}

/// Who may revoke may also fail to, so that other keys, fewer signatures and an older list accept more.
pub(super) fn revocations(
    changes: &mut Changes,
    old: &Rule<RevocationReference>,
    new: &Rule<RevocationReference>,
) {
    const PATH: &str = "revocations.list";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    for key in new.keys.iter().filter(|key| !old.keys.contains(key)) {
        changes.widens(PATH, format!("also believes {}", shown(key)));
    }
    for key in old.keys.iter().filter(|key| !new.keys.contains(key)) {
        changes.narrows(PATH, format!("no longer believes {}", shown(key)));
    }
    let line = format!("{} signatures suffice, before {}", new.threshold, old.threshold);
    if new.threshold < old.threshold {
        changes.widens(PATH, line);
    } else if new.threshold > old.threshold {
        changes.narrows(PATH, line);
    }
    let line = format!("a list may be {} s old, before {}", new.age_seconds_max, old.age_seconds_max);
    if new.age_seconds_max > old.age_seconds_max {
        changes.widens(PATH, line);
    } else if new.age_seconds_max < old.age_seconds_max {
        changes.narrows(PATH, line);
    }
}

/// More witnesses are more ways to a quorum, a higher threshold fewer.
pub(super) fn quorum(changes: &mut Changes, old: &Rule<QuorumReference>, new: &Rule<QuorumReference>) {
    const PATH: &str = "witnesses.quorum";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    for key in new.keys.iter().filter(|key| !old.keys.contains(key)) {
        changes.widens(PATH, format!("also counts {}", key.as_str()));
    }
    for key in old.keys.iter().filter(|key| !new.keys.contains(key)) {
        changes.narrows(PATH, format!("no longer counts {}", key.as_str()));
    }
    let line = format!("{} witnesses suffice, before {}", new.threshold, old.threshold);
    if new.threshold < old.threshold {
        changes.widens(PATH, line);
    } else if new.threshold > old.threshold {
        changes.narrows(PATH, line);
    }
}
