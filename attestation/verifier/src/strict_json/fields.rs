//! An object's fields, taken one by one, and what is wrong where.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use super::from_value::object;
use super::{FromValue, JsonError, Map, Value, bounded};

/// Why well-formed JSON is not what was expected, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    path: String,
    why: String,
}

impl Fault {
    /// What is wrong with a value.
    pub fn new(why: impl Into<String>) -> Self {
        Self(Box::new(Inner { path: String::new(), why: why.into() }))
    }

    /// The value is not what it should be: `expected` says it with its article.
    #[cold]
    pub fn expected(expected: &str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self::new(format!("expected {expected}, found {found}"))
    }

    /// A word or name that is none of those known.
    #[cold]
    pub(super) fn unknown(what: &str, found: &str, known: &mut dyn Iterator<Item = &'static str>) -> Self {
        let mut why = format!("unknown {what} `{}`, expected one of", bounded(found));
        for (index, name) in known.enumerate() {
            why.push_str(if index == 0 { " `" } else { ", `" });
            why.push_str(name);
            why.push('`');
        }
        Self::new(why)
    }

    /// The same fault, of the object that holds the value under this name.
    #[cold]
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        let separator = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = [bounded(name).as_str(), separator, &self.0.path].concat();
        self
    }

    /// The same fault, of the list that holds the value at this place.
    #[cold]
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }

    /// Where in the document, as `measurements.require[0].name`; `.` for the whole of it.
    pub fn path(&self) -> &str {
        if self.0.path.is_empty() { "." } else { &self.0.path }
    }

    /// What is wrong there.
    pub fn why(&self) -> &str {
        &self.0.why
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            f.write_str(&self.0.path)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.0.why)
    }
}

impl From<Fault> for JsonError {
    fn from(fault: Fault) -> Self {
        Self::Shape(fault.to_string())
    }
}

/// The fields of an object, read one by one.
#[derive(Debug)]
pub struct Fields<'a> {
    of: &'a Map<String, Value>,
    /// What is wrong with the first field that was not what it should be.
    fault: Option<Fault>,
}

impl<'a> Fields<'a> {
    /// The fields of an object that has none but those `known`; with none known, of any object.
    ///
    /// # Errors
    /// [`Fault`] for anything but an object, and for a field of another name.
    pub fn of(value: &'a Value, known: &[&'static str]) -> Result<Self, Fault> {
        let of = object(value)?;
        let is_unknown = |name: &&String| !known.is_empty() && !known.contains(&name.as_str());
        match of.keys().find(is_unknown) {
            Some(name) => Err(Fault::unknown("field", name, &mut known.iter().copied())),
            None => Ok(Self { of, fault: None }),
        }
    }

    /// The name of the one field there is, of an object that stands for a variant.
    ///
    /// # Errors
    /// [`Fault`] where there are none or more.
    pub fn only(&self) -> Result<&'a str, Fault> {
        let mut names = self.of.keys();
        match (names.next(), names.next()) {
            (Some(name), None) => Ok(name),
            _ => Err(Fault::new(format!("expected one field, found {}", self.of.len()))),
        }
    }

    /// Reads a field; `None` where it is not a `T`, or is missing and `T` cannot be null.
    #[inline(never)]
    pub fn read<T: FromValue>(&mut self, name: &'static str) -> Option<T> {
        let value = self.of.get(name);
        match T::from_value(value.unwrap_or(&Value::Null)) {
            Ok(read) => Some(read),
            Err(fault) => {
                self.note(name, value.is_some(), fault);
                None
            }
        }
    }

    /// Reads a field.
    ///
    /// # Errors
    /// [`Fault`] where it is not a `T`, and where it is missing and `T` cannot be null.
    pub fn take<T: FromValue>(mut self, name: &'static str) -> Result<T, Fault> {
        self.read(name).ok_or_else(|| self.into_fault())
    }

    /// What is wrong with the first field that was not what it should be.
    #[cold]
    pub fn into_fault(self) -> Fault {
        self.fault.unwrap_or_else(|| Fault::new("unreadable"))
    }

    #[cold]
    fn note(&mut self, name: &'static str, is_there: bool, fault: Fault) {
        if self.fault.is_none() {
            let missing = || Fault::new(format!("missing field `{name}`"));
            self.fault = Some(if is_there { fault.within(name) } else { missing() });
        }
    }
}
