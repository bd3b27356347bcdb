//! What is printed: verdicts as tables or JSON, failures on standard error.
//!
//! Colours only where a terminal shows them (`anstream` decides, and honours NO_COLOR). Texts from
//! evidence, receipts and policies are strangers' texts: control characters never reach the terminal.

mod ear;
mod table;
mod verdict;

use anstyle::{AnsiColor, Color, Style};
use std::path::Path;

use vouchsafe_bundle::Verdict;

use crate::command::Format;
use crate::failure::Failure;

pub(crate) use table::{Row, table};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = colour(AnsiColor::Green);
pub(crate) const RED: Style = colour(AnsiColor::Red);
pub(crate) const YELLOW: Style = colour(AnsiColor::Yellow);

const fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(Color::Ansi(colour))).bold()
}

/// Prints a verdict on standard output.
pub(crate) fn verdict(verdict: &Verdict, format: Format, verbose: bool) {
    match format {
        Format::Json => anstream::println!("{}", verdict.to_json()),
        Format::Text => anstream::print!("{}", verdict::text(verdict, verbose)),
    }
}

/// Prints a verdict as an EAT attestation result, signed if a key is given.
pub(crate) fn ear(verdict: &Verdict, key: Option<&Path>) -> Result<(), Failure> {
    anstream::println!("{}", ear::ear(verdict, key)?);
    Ok(())
}

/// Prints on standard error why there is no verdict.
pub(crate) fn failure(failure: &Failure) {
    anstream::eprintln!("{RED}error:{RED:#} {}", clean(&failure.to_string()));
}

/// A stranger's text without control characters, and without those that turn the reading direction.
pub(crate) fn clean(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn no_control_character_reaches_the_terminal() {
        assert_eq!(
            clean("a\x1b[2Jb\r\nc\u{202e}d\u{9b}e"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}e"
        );
        assert_eq!(clean("Grüße, 世界"), "Grüße, 世界");
    }
}
