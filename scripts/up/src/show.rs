//! How the demo looks: headings, a few colours, tables that line up. Plain when piped.

use std::time::Duration;

use anstyle::{AnsiColor, Style};

pub(crate) const GOOD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
pub(crate) const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
pub(crate) const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
pub(crate) const QUIET: Style = Style::new().dimmed();
const HEADING: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

/// A numbered step of the demo.
pub(crate) fn heading(text: &str) {
    anstream::println!("\n{HEADING}{text}{HEADING:#}");
}

/// One row of two columns.
pub(crate) fn row(left: &str, right: &str) {
    anstream::println!("  {left:<26} {right}");
}

/// One row whose left column says how it ended.
pub(crate) fn marked(style: Style, mark: &str, text: &str) {
    anstream::println!("  {style}{mark:<10}{style:#} {text}");
}

/// Text wrapped to `width` columns, every line after `indent` spaces.
pub(crate) fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// A duration in the unit that reads best.
pub(crate) fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_whole_and_lines_short() {
        assert_eq!(wrapped("one two three", 2, 7), "one two\n  three");
        assert_eq!(wrapped("", 2, 7), "");
        assert_eq!(wrapped("overlongword x", 0, 5), "overlongword\nx");
    }

    #[test]
    fn times_read_in_their_unit() {
        assert_eq!(time(Duration::from_micros(999)), "999 µs");
        assert_eq!(time(Duration::from_micros(1_500)), "1.5 ms");
        assert_eq!(time(Duration::from_millis(2_340)), "2.34 s");
    }
}
