//! One line per type that is read from JSON.

/// Reads a struct from a JSON object with exactly these fields: `json_record!(Type { field, other as "name" })`.
///
/// Only fields of a type that may be null may be absent. `json_record!(open Type {…})` passes over fields of
/// other names. The compiler sees to it that no field of the struct is left out.
#[macro_export]
macro_rules! json_record {
    (open $record:ty { $($fields:tt)+ }) => {
        $crate::json_record!(@ $record, value, $crate::json_fields!(open value, Self { $($fields)+ }));
    };
    (@ $record:ty, $value:ident, $read:expr) => {
        impl $crate::strict_json::FromValue for $record {
            fn from_value($value: &$crate::strict_json::Value) -> Result<Self, $crate::strict_json::Fault> {
                $read
            }
        }
        $crate::json_deserialize!($record);
    };
    ($record:ty { $($fields:tt)+ }) => {
        $crate::json_record!(@ $record, value, $crate::json_fields!(value, [], Self { $($fields)+ }));
    };
}

/// Reads the fields of one struct or variant within a function: `json_fields!(value, ["tag"], Self::A { field })`
/// of an object that has these fields and the named others, `json_fields!(open value, Self { field })` of one
/// that may have any.
#[macro_export]
macro_rules! json_fields {
    (open $value:expr, $made:ident $(:: $variant:ident)? { $($field:ident $(as $name:literal)?),+ $(,)? }) => {
        $crate::json_fields!(@ $value, [], $made $(:: $variant)? { $($field = $crate::__json_name!($field $($name)?)),+ })
    };
    (@ $value:expr, [$($known:expr),*], $made:ident $(:: $variant:ident)? { $($field:ident = $name:expr),+ }) => {{
        let mut fields = $crate::strict_json::Fields::of($value, &[$($known),*])?;
        // All fields are read before the first fault is looked at: to leave at each takes code that grows with
        // the square of their number.
        $(let $field = fields.read($name);)+
        let ($(Some($field),)+) = ($($field,)+) else { return Err(fields.into_fault()) };
        Ok($made $(:: $variant)? { $($field),+ })
    }};
    ($value:expr, [$($other:expr),*], $made:ident $(:: $variant:ident)? { $($field:ident $(as $name:literal)?),+ $(,)? }) => {
        $crate::json_fields!(@ $value, [$($other,)* $($crate::__json_name!($field $($name)?)),+],
            $made $(:: $variant)? { $($field = $crate::__json_name!($field $($name)?)),+ })
    };
}

/// A field's name in JSON: the one given, else the struct's.
#[doc(hidden)]
#[macro_export]
macro_rules! __json_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

/// Reads and writes an enum as a word, and gives it `as_str`: `json_words!(Type { "first" => First })`.
#[macro_export]
macro_rules! json_words {
    ($word:ident { $($text:literal => $variant:ident),+ $(,)? }) => {
        impl $word {
            /// The word in documents.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl $crate::strict_json::FromValue for $word {
            fn from_value(value: &$crate::strict_json::Value) -> Result<Self, $crate::strict_json::Fault> {
                $crate::strict_json::word(value, &[$(($text, Self::$variant)),+])
            }
        }

        impl $crate::__serde::Serialize for $word {
            fn serialize<S: $crate::__serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        $crate::json_deserialize!($word);
    };
}

/// Makes a type with `FromValue` part of what serde reads.
#[macro_export]
macro_rules! json_deserialize {
    ($read:ty) => {
        impl<'de> $crate::__serde::Deserialize<'de> for $read {
            fn deserialize<D: $crate::__serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::strict_json::deserialize_by_value(deserializer)
            }
        }
    };
}
