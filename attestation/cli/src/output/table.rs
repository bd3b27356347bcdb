//! A table of three columns: name, value, comment.

use std::fmt::Write;

use super::{DIM, clean};

/// Widest text of a line; longer values are wrapped under themselves.
const WIDTH: usize = 100;

/// One line of a table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The field's name.
    pub(crate) name: &'static str,
    /// Its value.
    pub(crate) value: String,
    /// What it means.
    pub(crate) comment: &'static str,
}

/// The table as text. Comments stand under their value.
pub(crate) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for Row { name, value, comment } in rows {
        let value = clean(value);
        for (index, line) in wrap(&value, WIDTH.saturating_sub(width + 4)).into_iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            let _ = writeln!(out, "  {name:width$}  {line}");
        }
        if !comment.is_empty() {
            let _ = writeln!(out, "  {:width$}  {DIM}{comment}{DIM:#}", "");
        }
    }
    out
}

/// Lines of at most `width` characters, broken at spaces where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(16);
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(String::new());
            length = 0;
        } else if length > 0 {
            push(&mut lines, ' ');
            length += 1;
        }
        for c in word.chars() {
            if length == width {
                lines.push(String::new());
                length = 0;
            }
            push(&mut lines, c);
            length += 1;
        }
    }
    lines
}

fn push(lines: &mut [String], c: char) {
    if let Some(line) = lines.last_mut() {
        line.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_at_spaces_and_else_anywhere() {
        assert_eq!(wrap("one two three four five", 16), ["one two three", "four five"]);
        assert_eq!(wrap(&"ab".repeat(10), 16), ["ab".repeat(8), "ab".repeat(2)]);
        assert_eq!(wrap("", 16), [""]);
        assert_eq!(wrap(&format!("x {}", "y".repeat(20)), 16), ["x", &"y".repeat(16), "yyyy"]);
    }
}
