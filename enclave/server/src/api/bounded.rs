//! JSON of any shape within a budget: schemas and tools, which a request's type cannot spell out.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Number;
use vouchsafe_engine::Json;

/// Any JSON value of at most [`BoundedJson::COST_MAX`] bytes of text and [`BoundedJson::VALUE_COST`] for
/// each value in it: the value in memory is not much larger than that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoundedJson(pub(crate) Json);

impl BoundedJson {
    pub(crate) const COST_MAX: usize = 256 * 1024;
    pub(crate) const VALUE_COST: usize = 16;
}

impl Default for BoundedJson {
    fn default() -> Self {
        Self(Json::Null)
    }
}

impl<'de> Deserialize<'de> for BoundedJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let budget = Cell::new(Self::COST_MAX);
        Within(&budget).deserialize(deserializer).map(Self)
    }
}

/// Reads a value within what is left of a budget.
#[derive(Clone, Copy)]
struct Within<'a>(&'a Cell<usize>);

impl Within<'_> {
    fn spend<E: de::Error>(self, bytes: usize) -> Result<(), E> {
        let cost = bytes.saturating_add(BoundedJson::VALUE_COST);
        let left = self.0.get().checked_sub(cost);
        self.0.set(left.ok_or_else(|| E::custom("it is too large"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        self.spend(0).map(|()| Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        self.spend(0).map(|()| Json::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        self.spend(0).map(|()| Json::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        self.spend(0).map(|()| Json::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        self.spend(0)?;
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        self.spend(text.len()).map(|()| Json::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        self.spend(0)?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        self.spend(0)?;
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            self.spend(name.len())?;
            members.push((name, map.next_value_seed(self)?));
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_do_not_become_large_ones() {
        let read = |text: &str| serde_json::from_str::<BoundedJson>(text);
        let text = r#"{"b":[1,-2,2.5,null,true,"x"],"a":{}}"#;
        assert_eq!(serde_json::to_string(&read(text).unwrap().0).unwrap(), text);
        let items = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert!(read(&items(16_000)).is_ok());
        assert!(read(&items(17_000)).is_err());
        assert!(read(&format!("\"{}\"", "x".repeat(300_000))).is_err());
        assert!(read(&format!("{{\"{}\":1}}", "x".repeat(300_000))).is_err());
    }
}
