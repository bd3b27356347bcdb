//! Writing JSON, once per type: what is laid out for people, or wanted as a value, is made of the text.

use alloc::string::String;

use serde::Serialize;

use super::{DEPTH_MAX, Limits, Value};

/// JSON laid out for people; empty for what cannot be written as JSON.
pub fn to_pretty<T: Serialize>(written: &T) -> String {
    indent(&serde_json::to_string(written).unwrap_or_default())
}

/// A type as a value; `None` for what cannot be written as JSON.
pub fn to_value<T: Serialize>(written: &T) -> Option<Value> {
    let text = serde_json::to_vec(written).ok()?;
    super::value(&text, Limits { bytes_max: text.len(), depth_max: DEPTH_MAX }).ok()
}

/// Lays out JSON that was written without white space: a line per value, two blanks per level.
///
/// What comes out is what `serde_json::to_string_pretty` writes.
fn indent(json: &str) -> String {
    let mut out = String::with_capacity(json.len().saturating_mul(2));
    let mut level = 0_usize;
    let mut is_text = false;
    let mut is_escaped = false;
    let mut before = ' ';
    let line = |out: &mut String, level: usize| {
        out.push('\n');
        (0..level).for_each(|_| out.push_str("  "));
    };
    for character in json.chars() {
        if is_text {
            out.push(character);
            is_text = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            before = character;
            continue;
        }
        let opened = matches!(before, '{' | '[');
        match character {
            '}' | ']' => {
                level = level.saturating_sub(1);
                if !opened {
                    line(&mut out, level);
                }
            }
            _ if opened => line(&mut out, level),
            _ => {}
        }
        out.push(character);
        match character {
            '"' => is_text = true,
            '{' | '[' => level = level.saturating_add(1),
            ',' => line(&mut out, level),
            ':' => out.push(' '),
            _ => {}
        }
        before = character;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn lays_out_as_serde_json_does() {
        let texts = json!({"a{": [], "b": {}, "c": [1, -2.5, null, true, [], [[]]], "d": {"e": {"f": "}"}},
            "quote \" and \\": "a\\\"[1,2]:\\\\", "": ["", "\u{1F980}\n"]});
        for value in [texts, json!([]), json!({}), json!("\\\""), json!(7)] {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            assert_eq!(indent(&value.to_string()), pretty);
            assert_eq!(serde_json::from_str::<Value>(&pretty).unwrap(), value);
        }
    }
}
