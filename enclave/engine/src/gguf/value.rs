//! Metadata values.

use super::reader::DigestingReader;
use crate::LoadError;

/// A metadata value. Arrays keep their elements' bytes; they are decoded when they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any integer type.
    Integer(i128),
    /// 32 or 64 bits.
    Float(f64),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    Numbers {
        kind: Kind,
        bytes: Vec<u8>,
    },
    /// An array of arrays: read past, since no key that we use has one.
    Nested,
}

/// The value types: enum `gguf_metadata_value_type` of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one value; of a string or array, the fewest.
    fn bytes_min(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }
}

impl Value {
    /// The name of the value's type, for errors.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Strings(_) => "an array of strings",
            Self::Numbers { .. } => "an array of numbers",
            Self::Nested => "an array of arrays",
        }
    }
}

/// Reads the header's values and shows every byte to `tap`, which digests the entries that have
/// digests of their own.
pub(super) struct ValueReader<'r, 'a> {
    pub(super) reader: &'r mut DigestingReader<'a>,
    pub(super) tap: Option<&'r mut ring::digest::Context>,
    /// What is being read, for errors.
    pub(super) what: String,
}

impl ValueReader<'_, '_> {
    pub(super) fn read_value(&mut self) -> Result<Value, LoadError> {
        let kind = self.read_kind()?;
        match kind {
            Kind::String => Ok(Value::String(self.read_string()?)),
            Kind::Array => self.read_array_value(0),
            _ => {
                let bytes = self.read_bytes(kind.bytes_min())?;
                self.scalar(kind, &bytes)
            }
        }
    }

    fn read_array_value(&mut self, depth: u32) -> Result<Value, LoadError> {
        let kind = self.read_kind()?;
        let count = u64::from_le_bytes(self.read_fixed()?);
        let bytes_min = count.checked_mul(kind.bytes_min()).ok_or_else(|| LoadError::TooLarge {
            what: self.what.clone(),
            value: count,
            max: self.reader.remaining(),
        })?;
        self.reader.require(bytes_min, &self.what)?;
        match kind {
            Kind::String => {
                // Each string has eight bytes or more in the file, so this allocates at most three
                // times what is there.
                let mut strings = Vec::new();
                for _ in 0..count {
                    strings.push(self.read_string()?);
                }
                Ok(Value::Strings(strings))
            }
            Kind::Array => {
                if depth >= ARRAY_DEPTH_MAX {
                    return Err(LoadError::Malformed {
                        what: self.what.clone(),
                        problem: "nested too deeply",
                    });
                }
                for _ in 0..count {
                    self.read_array_value(depth.saturating_add(1))?;
                }
                Ok(Value::Nested)
            }
            _ => Ok(Value::Numbers { kind, bytes: self.read_bytes(bytes_min)? }),
        }
    }

    fn scalar(&self, kind: Kind, bytes: &[u8]) -> Result<Value, LoadError> {
        if kind == Kind::Bool && bytes != [0] && bytes != [1] {
            return Err(LoadError::Malformed { what: self.what.clone(), problem: "a boolean is not 0 or 1" });
        }
        decode(kind, bytes)
            .ok_or(LoadError::Malformed { what: self.what.clone(), problem: "a value of the wrong length" })
    }

    fn read_kind(&mut self) -> Result<Kind, LoadError> {
        let number = u32::from_le_bytes(self.read_fixed()?);
        Kind::from_number(number)
            .ok_or(LoadError::Malformed { what: self.what.clone(), problem: "an unknown value type" })
    }

    pub(super) fn read_string(&mut self) -> Result<String, LoadError> {
        let length = u64::from_le_bytes(self.read_fixed()?);
        let bytes = self.read_bytes(length)?;
        String::from_utf8(bytes)
            .map_err(|_| LoadError::Malformed { what: self.what.clone(), problem: "text that is not UTF-8" })
    }

    pub(super) fn read_fixed<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let bytes = self.reader.read_array(&self.what)?;
        self.note(&bytes)?;
        Ok(bytes)
    }

    fn read_bytes(&mut self, count: u64) -> Result<Vec<u8>, LoadError> {
        if count > HEADER_BYTES_MAX {
            self.reader.require(count, &self.what)?;
            return Err(LoadError::TooLarge { what: self.what.clone(), value: count, max: HEADER_BYTES_MAX });
        }
        let bytes = self.reader.read_vec(count, &self.what)?;
        self.note(&bytes)?;
        Ok(bytes)
    }

    fn note(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        if let Some(tap) = &mut self.tap {
            tap.update(bytes);
        }
        if self.reader.position() > HEADER_BYTES_MAX {
            return Err(LoadError::TooLarge {
                what: "the header".to_owned(),
                value: self.reader.position(),
                max: HEADER_BYTES_MAX,
            });
        }
        Ok(())
    }
}

/// Decodes one number or boolean; `None` where the length does not fit the kind.
pub(crate) fn decode(kind: Kind, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        Kind::U8 => Value::Integer(u8::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::I8 => Value::Integer(i8::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::U16 => Value::Integer(u16::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::I16 => Value::Integer(i16::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::U32 => Value::Integer(u32::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::I32 => Value::Integer(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::U64 => Value::Integer(u64::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::I64 => Value::Integer(i64::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::F32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        Kind::F64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        Kind::Bool => Value::Bool(bytes.first()? != &0),
        Kind::String | Kind::Array => return None,
    })
}

impl Kind {
    /// The width of one element in [`Value::Numbers`].
    pub(crate) fn width(self) -> usize {
        usize::try_from(self.bytes_min()).unwrap_or(1)
    }
}

/// The largest header: the largest vocabularies in use make about 20 MB.
pub(super) const HEADER_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Arrays of arrays of arrays exist in no file.
const ARRAY_DEPTH_MAX: u32 = 2;
