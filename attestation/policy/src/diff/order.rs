//! How rules of each shape are compared, and what of the new rule may hold already.
//!
//! Each function takes the rule as it was and the rule as it is to be, says what changes, and takes back in
//! the new rule what widens and may not hold yet. What is left accepts nothing that the old rule refused.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Serialize;
use vouchsafe_bundle::policy::{Demanded, Rule};

use super::Changes;

/// A value as documents write it.
pub(super) fn shown<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(value) => value.to_string(),
        Err(_) => String::new(),
    }
}

/// Compares whether a rule counts; gives both values where it did and does.
pub(super) fn both<'a, T: Serialize + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &'a Rule<T>,
    new: &'a mut Rule<T>,
) -> Option<(&'a T, &'a mut T)> {
    let waived = match (old, &*new) {
        (Rule::Require(old), Rule::Ignore(reason)) => Some((old, reason.as_str().to_owned())),
        (Rule::Ignore(_), Rule::Require(new)) => {
            changes.narrows(path, format!("now demands {}", shown(new)));
            None
        }
        _ => None,
    };
    if let Some((demanded, reason)) = waived {
        let text = format!("no longer demands {} ({reason})", shown(demanded));
        if !changes.widens_to(path, "nothing demanded", text) {
            *new = old.clone();
        }
        return None;
    }
    match (old, new) {
        (Rule::Require(old), Rule::Require(new)) => Some((old, new)),
        _ => None,
    }
}

/// A rule that can only be made or waived.
pub(super) fn demanded(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<Demanded>,
    new: &mut Rule<Demanded>,
) {
    let _ = both(changes, path, old, new);
}

/// A rule that demands one value exactly. No rule demands two at once: until the new one may hold, the old
/// one does.
pub(super) fn exactly<T: Serialize + PartialEq + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<T>,
    new: &mut Rule<T>,
) {
    if let Some((old, new)) = both(changes, path, old, new)
        && old != new
    {
        changes.narrows(path, format!("no longer accepts {}", shown(old)));
        if !changes.widens(path, format!("accepts {}", shown(new))) {
            *new = old.clone();
        }
    }
}

/// A list of which any one suffices.
pub(super) fn any_of<T: Serialize + PartialEq + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<Vec<T>>,
    new: &mut Rule<Vec<T>>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    for removed in old.iter().filter(|value| !new.contains(value)) {
        changes.narrows(path, format!("no longer accepts {}", shown(removed)));
    }
    new.retain(|value| old.contains(value) || changes.widens(path, format!("also accepts {}", shown(value))));
}

/// A list of which none may be there.
pub(super) fn none_of<T: Serialize + PartialEq + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<Vec<T>>,
    new: &mut Rule<Vec<T>>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    for added in new.iter().filter(|value| !old.contains(value)) {
        changes.narrows(path, format!("now denies {}", shown(added)));
    }
    let removed: Vec<T> = old.iter().filter(|value| !new.contains(value)).cloned().collect();
    for value in removed {
        if !changes.widens(path, format!("no longer denies {}", shown(&value))) {
            new.push(value);
        }
    }
}

/// A highest accepted number.
pub(super) fn at_most<T: Serialize + PartialOrd + Display + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<T>,
    new: &mut Rule<T>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    if *new > *old {
        let to = format!("accepts up to {new}");
        let text = format!("{to}, before {old}");
        if !changes.widens_to(path, &to, text) {
            *new = old.clone();
        }
    } else if *new < *old {
        changes.narrows(path, format!("accepts up to {new} only, before {old}"));
    }
}

/// A lowest accepted number.
pub(super) fn at_least<T: Serialize + PartialOrd + Display + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<T>,
    new: &mut Rule<T>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    if *new < *old {
        let to = format!("accepts {new} and above");
        let text = format!("{to}, before {old}");
        if !changes.widens_to(path, &to, text) {
            *new = old.clone();
        }
    } else if *new > *old {
        changes.narrows(path, format!("accepts {new} and above only, before {old}"));
    }
}

/// Named values that must all be there. No rule demands two values of one name: until the new one may hold,
/// the old one does.
pub(super) fn entries<V: Serialize + PartialEq + Clone>(
    changes: &mut Changes<'_>,
    path: &str,
    old: &Rule<BTreeMap<String, V>>,
    new: &mut Rule<BTreeMap<String, V>>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    for (name, value) in new.iter_mut() {
        match old.get(name) {
            None => changes.narrows(path, format!("now demands {name} = {}", shown(value))),
            Some(before) if before != value => {
                changes.narrows(path, format!("no longer accepts {name} = {}", shown(before)));
                if !changes.widens(path, format!("accepts {name} = {}", shown(value))) {
                    *value = before.clone();
                }
            }
            Some(_) => {}
        }
    }
    for (name, value) in old {
        if !new.contains_key(name)
            && !changes.widens(path, format!("no longer demands {name} = {}", shown(value)))
        {
            new.insert(name.clone(), value.clone());
        }
    }
}

/// Some of these must be there: more keys are more ways to satisfy it, a higher threshold fewer.
///
/// A quorum widens unless each set of keys that satisfies the new one satisfies the old one too. What
/// satisfies both for certain is the larger threshold among the keys that both name; where there are too
/// few of them, nothing does.
pub(super) struct QuorumOf<'a, K> {
    pub(super) keys: &'a mut Vec<K>,
    pub(super) threshold: &'a mut u64,
    /// What is said of a key more and a key less.
    pub(super) words: [&'static str; 2],
    /// What must be there in their number.
    pub(super) what: &'static str,
}

impl<K: Serialize + PartialEq + Clone> QuorumOf<'_, K> {
    pub(super) fn compare(self, changes: &mut Changes<'_>, path: &str, old: (&[K], u64)) {
        let Self { keys, threshold, words: [more, less], what } = self;
        let (old_keys, old_threshold) = old;
        let line = format!("{threshold} {what} suffice, before {old_threshold}");
        for key in old_keys.iter().filter(|key| !keys.contains(key)) {
            changes.narrows(path, format!("{less} {}", shown(key)));
        }
        if *threshold > old_threshold {
            changes.narrows(path, line.clone());
        }
        if implies((keys, *threshold), old) {
            return;
        }
        // The quorum is one thing: it holds as a whole, or not yet.
        let mut names: Vec<_> = keys.iter().map(|key| shown(key)).collect();
        names.sort();
        let to = format!("{threshold} of {}", names.join(", "));
        let mut holds = true;
        for key in keys.iter().filter(|key| !old_keys.contains(key)) {
            holds &= changes.widens_to(path, &to, format!("{more} {}", shown(key)));
        }
        if *threshold < old_threshold {
            holds &= changes.widens_to(path, &to, line);
        }
        if holds {
            return;
        }
        keys.retain(|key| old_keys.contains(key));
        *threshold = (*threshold).max(old_threshold);
        if count(keys) < *threshold {
            keys.clear();
        }
    }
}

fn count<K>(keys: &[K]) -> u64 {
    u64::try_from(keys.len()).unwrap_or(u64::MAX)
}

/// Whether whatever satisfies one quorum satisfies another.
fn implies<K: PartialEq>(one: (&[K], u64), other: (&[K], u64)) -> bool {
    let strangers = one.0.iter().filter(|key| !other.0.contains(key)).count();
    let strangers = u64::try_from(strangers).unwrap_or(u64::MAX);
    // More than there are can't be had: nothing satisfies it.
    one.1 > count(one.0) || one.1.checked_sub(strangers).is_some_and(|known| known >= other.1)
}
