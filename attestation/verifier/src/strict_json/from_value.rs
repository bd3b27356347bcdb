//! From a JSON value to a type: the one reader of each type of our documents.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Fault, Map, Value};

/// A type that is read from a JSON value. [`json_record!`](crate::json_record) implements it for
/// structs, [`json_words!`](crate::json_words) for enums that are written as a word.
pub trait FromValue: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// [`Fault`] for a value of another shape.
    fn from_value(value: &Value) -> Result<Self, Fault>;
}

/// Reads a string without copying it.
///
/// # Errors
/// [`Fault`] for anything else.
pub fn text(value: &Value) -> Result<&str, Fault> {
    value.as_str().ok_or_else(|| Fault::expected("a string", value))
}

/// Reads an enum that is written as one of these words.
///
/// # Errors
/// [`Fault`] for anything else.
pub fn word<T: Copy>(value: &Value, words: &[(&'static str, T)]) -> Result<T, Fault> {
    let text = text(value)?;
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, variant)) => Ok(*variant),
        None => Err(Fault::unknown("variant", text, &mut words.iter().map(|(word, _)| *word))),
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        Ok(value.clone())
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        text(value).map(Self::from)
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        value.as_bool().ok_or_else(|| Fault::expected("a boolean", value))
    }
}

macro_rules! integers {
    ($($integer:ty),+) => {$(
        impl FromValue for $integer {
            fn from_value(value: &Value) -> Result<Self, Fault> {
                let number = value.as_u64().and_then(|number| Self::try_from(number).ok());
                number.ok_or_else(|| not_integer(value, Self::MAX.into()))
            }
        }
    )+};
}

integers!(u8, u16, u32);

impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        value.as_u64().ok_or_else(|| not_integer(value, Self::MAX))
    }
}

#[cold]
fn not_integer(value: &Value, max: u64) -> Fault {
    let expected = format!("an integer from 0 to {max}");
    match value {
        Value::Number(number) => Fault::new(format!("expected {expected}, found {number}")),
        other => Fault::expected(&expected, other),
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        let mut read = Self::new();
        for value in value.as_array().ok_or_else(|| Fault::expected("a list", value))? {
            match T::from_value(value) {
                Ok(value) => read.push(value),
                Err(fault) => return Err(fault.at(read.len())),
            }
        }
        Ok(read)
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: &Value) -> Result<Self, Fault> {
        let mut read = Self::new();
        for (name, value) in object(value)? {
            let value = V::from_value(value).map_err(|fault| fault.within(name))?;
            read.insert(K::from_value(&Value::String(name.clone()))?, value);
        }
        Ok(read)
    }
}

/// The fields of an object.
pub(super) fn object(value: &Value) -> Result<&Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| Fault::expected("an object", value))
}
