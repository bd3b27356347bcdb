//! How much of a client's JSON schema is compiled at all.
//!
//! The grammar compiler has bounds of its own for what it builds. What it does on the way is quadratic in
//! the number of patterns for property names and recursive in depth, so both are bounded here, before it
//! sees anything.

use serde_json::{Map, Value, json};

use super::ConstraintError;

/// The options' key in a schema's root. What a client writes there is replaced.
const OPTIONS: &str = "x-guidance";

/// A schema within bounds, ready to compile.
pub(super) fn checked(schema: &Value, what: &'static str) -> Result<Value, ConstraintError> {
    let Value::Object(root) = schema else {
        return Err(ConstraintError::Schema("it is not an object".to_owned()));
    };
    let mut budget = Budget { what, values: VALUES_MAX, patterns: PATTERN_PROPERTIES_MAX };
    budget.spend(schema, DEPTH_MAX)?;
    let mut root: Map<String, Value> = root.clone();
    root.insert(OPTIONS.to_owned(), options());
    Ok(Value::Object(root))
}

/// White space as `json.dumps` writes it.
fn options() -> Value {
    json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "})
}

struct Budget {
    what: &'static str,
    values: usize,
    patterns: usize,
}

impl Budget {
    fn spend(&mut self, value: &Value, depth: usize) -> Result<(), ConstraintError> {
        self.values = self.values.checked_sub(1).ok_or(self.over(VALUES_MAX, "values"))?;
        let Some(below) = depth.checked_sub(1) else { return Err(self.over(DEPTH_MAX, "levels")) };
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.spend(item, below)),
            Value::Object(members) => members.iter().try_for_each(|(name, member)| {
                if name == "patternProperties" {
                    let count = member.as_object().map_or(0, Map::len);
                    self.patterns = self
                        .patterns
                        .checked_sub(count)
                        .ok_or(self.over(PATTERN_PROPERTIES_MAX, "patterns for property names"))?;
                }
                self.spend(member, below)
            }),
            Value::String(text) if text.len() > TEXT_BYTES_MAX => {
                Err(self.over(TEXT_BYTES_MAX, "bytes in one string"))
            }
            _ => Ok(()),
        }
    }

    fn over(&self, max: usize, unit: &'static str) -> ConstraintError {
        ConstraintError::TooLarge { what: self.what, max, unit }
    }
}

/// JSON values in one schema, nested ones included.
const VALUES_MAX: usize = 5000;
const DEPTH_MAX: usize = 24;
const PATTERN_PROPERTIES_MAX: usize = 16;
const TEXT_BYTES_MAX: usize = 4096;
