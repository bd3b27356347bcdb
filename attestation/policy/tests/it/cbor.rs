//! CBOR by hand (RFC 8949), so that what is imported in tests was not written by the crate that reads it.

/// A value.
#[derive(Clone)]
pub(crate) enum Cbor {
    Int(i64),
    Bytes(Vec<u8>),
    Text(&'static str),
    Array(Vec<Cbor>),
    Map(Vec<(i64, Cbor)>),
    Tag(u64, Box<Cbor>),
}

use Cbor::{Array, Bytes, Int, Map, Tag, Text};

fn head(major: u8, value: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match value {
        0..24 => out.push(major | u8::try_from(value).unwrap()),
        24..0x100 => out.extend([major | 24, u8::try_from(value).unwrap()]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend(u16::try_from(value).unwrap().to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.extend(u32::try_from(value).unwrap().to_be_bytes());
        }
    }
}

impl Cbor {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Int(value @ 0..) => head(0, value.unsigned_abs(), out),
            Int(value) => head(1, value.unsigned_abs() - 1, out),
            Bytes(bytes) => {
                head(2, bytes.len() as u64, out);
                out.extend(bytes);
            }
            Text(text) => {
                head(3, text.len() as u64, out);
                out.extend(text.as_bytes());
            }
            Array(values) => {
                head(4, values.len() as u64, out);
                values.iter().for_each(|value| value.write(out));
            }
            Map(entries) => {
                head(5, entries.len() as u64, out);
                for (key, value) in entries {
                    Int(*key).write(out);
                    value.write(out);
                }
            }
            Tag(tag, inner) => {
                head(6, *tag, out);
                inner.write(out);
            }
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

pub(crate) fn tag(number: u64, inner: Cbor) -> Cbor {
    Tag(number, Box::new(inner))
}
