//! How rules of each shape are compared.

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
pub(super) fn both<'a, T: Serialize>(
    changes: &mut Changes,
    path: &str,
    old: &'a Rule<T>,
    new: &'a Rule<T>,
) -> Option<(&'a T, &'a T)> {
    match (old, new) {
        (Rule::Require(old), Rule::Require(new)) => return Some((old, new)),
        (Rule::Ignore(_), Rule::Ignore(_)) => {}
        (Rule::Require(old), Rule::Ignore(reason)) => {
            changes.widens(path, format!("no longer demands {} ({})", shown(old), reason.as_str()));
        }
        (Rule::Ignore(_), Rule::Require(new)) => changes.narrows(path, format!("now demands {}", shown(new))),
    }
    None
}

/// A rule that can only be made or waived.
pub(super) fn demanded(changes: &mut Changes, path: &str, old: &Rule<Demanded>, new: &Rule<Demanded>) {
    let _ = both(changes, path, old, new);
}

/// A rule that demands one value exactly.
pub(super) fn exactly<T: Serialize + PartialEq>(
    changes: &mut Changes,
    path: &str,
    old: &Rule<T>,
    new: &Rule<T>,
) {
    if let Some((old, new)) = both(changes, path, old, new)
        && old != new
    {
        changes.widens(path, format!("accepts {}", shown(new)));
        changes.narrows(path, format!("no longer accepts {}", shown(old)));
    }
}

/// A list of which any one suffices.
pub(super) fn any_of<T: Serialize + PartialEq>(
    changes: &mut Changes,
    path: &str,
    old: &Rule<Vec<T>>,
    new: &Rule<Vec<T>>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    for added in new.iter().filter(|value| !old.contains(value)) {
        changes.widens(path, format!("also accepts {}", shown(added)));
    }
    for removed in old.iter().filter(|value| !new.contains(value)) {
        changes.narrows(path, format!("no longer accepts {}", shown(removed)));
    }
}

/// A list of which none may be there.
pub(super) fn none_of<T: Serialize + PartialEq>(
    changes: &mut Changes,
    path: &str,
    old: &Rule<Vec<T>>,
    new: &Rule<Vec<T>>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    for added in new.iter().filter(|value| !old.contains(value)) {
        changes.narrows(path, format!("now denies {}", shown(added)));
    }
    for removed in old.iter().filter(|value| !new.contains(value)) {
        changes.widens(path, format!("no longer denies {}", shown(removed)));
    }
}

/// A highest accepted number.
pub(super) fn at_most<T: Serialize + PartialOrd + Display>(
    changes: &mut Changes,
    path: &str,
    old: &Rule<T>,
    new: &Rule<T>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    if new > old {
        changes.widens(path, format!("accepts up to {new}, before {old}"));
    } else if new < old {
        changes.narrows(path, format!("accepts up to {new} only, before {old}"));
    }
}

/// A lowest accepted number.
pub(super) fn at_least<T: Serialize + PartialOrd + Display>(
    changes: &mut Changes,
    path: &str,
    old: &Rule<T>,
    new: &Rule<T>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    if new < old {
        changes.widens(path, format!("accepts {new} and above, before {old}"));
    } else if new > old {
        changes.narrows(path, format!("accepts {new} and above only, before {old}"));
    }
}

/// Named values that must all be there.
pub(super) fn entries<V: Serialize + PartialEq>(
    changes: &mut Changes,
    path: &str,
    old: &Rule<BTreeMap<String, V>>,
    new: &Rule<BTreeMap<String, V>>,
) {
    let Some((old, new)) = both(changes, path, old, new) else { return };
    for (name, value) in new {
        match old.get(name) {
            None => changes.narrows(path, format!("now demands {name} = {}", shown(value))),
            Some(before) if before != value => {
                changes.widens(path, format!("accepts {name} = {}", shown(value)));
                changes.narrows(path, format!("no longer accepts {name} = {}", shown(before)));
            }
            Some(_) => {}
        }
    }
    for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        changes.widens(path, format!("no longer demands {name} = {}", shown(value)));
    }
}
