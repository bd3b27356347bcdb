//! Results for people and for programs.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use vouchsafe_policy::cases::Outcome;
use vouchsafe_policy::check::{Finding, Severity};
use vouchsafe_policy::compare::{Comparison, Open};
use vouchsafe_policy::diff::{Change, Direction};
use vouchsafe_policy::explain::Explanation;

use super::Format;

const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const YELLOW: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const DIM: Style = Style::new().dimmed();

pub(super) fn findings(findings: &[Finding], format: Format) {
    if format == Format::Json {
        return json(findings);
    }
    if findings.is_empty() {
        anstream::println!("{GREEN}nothing to object to{GREEN:#}");
    }
    for finding in findings {
        let (style, word) = match finding.severity {
            Severity::Error => (RED, "error"),
            Severity::Warning => (YELLOW, "warning"),
        };
        let Finding { name, path, text, .. } = finding;
        anstream::println!("{style}{word:<8}{style:#} {name:<26} {path}");
        anstream::println!("         {DIM}{}{DIM:#}", clean(text));
    }
}

pub(super) fn explanation(explanation: &Explanation, format: Format) {
    if format == Format::Json {
        return json(explanation);
    }
    anstream::println!("What must hold");
    for sentence in &explanation.demands {
        anstream::println!("  {}", clean(sentence));
    }
    anstream::println!("\nWhat is left open, and why");
    for sentence in &explanation.leaves_open {
        anstream::println!("  {}", clean(sentence));
    }
}

pub(super) fn changes(changes: &[Change], format: Format) {
    if format == Format::Json {
        return json(changes);
    }
    if changes.is_empty() {
        anstream::println!("the same evidence is accepted");
    }
    for change in changes {
        let (style, mark) = match change.direction {
            Direction::Widens => (YELLOW, "+"),
            Direction::Narrows => (GREEN, "-"),
        };
        anstream::println!("{style}{mark}{style:#} {:<34} {}", change.path, clean(&change.text));
    }
    let widening = changes.iter().filter(|change| change.direction == Direction::Widens).count();
    if !changes.is_empty() {
        let narrowing = changes.len() - widening;
        anstream::println!("\n{widening} accept what was not accepted, {narrowing} refuse what was");
    }
}

pub(super) fn comparison(comparison: &Comparison, format: Format) {
    if format == Format::Json {
        return json(comparison);
    }
    let [first, second] = &comparison.decisions;
    anstream::println!("first {}, second {}", clean(first), clean(second));
    for (title, style, open) in [
        ("The first leaves unproved, and the second establishes", GREEN, &comparison.second_establishes),
        ("The second leaves unproved, and the first establishes", YELLOW, &comparison.first_establishes),
        ("One leaves unproved, and the other says nothing of", DIM, &comparison.unsaid),
    ] {
        if open.is_empty() {
            continue;
        }
        anstream::println!("\n{title}");
        for Open { code, text, established_by } in open {
            let by = established_by.as_ref().map(|by| format!("  ({})", clean(by))).unwrap_or_default();
            anstream::println!("  {style}{}{style:#}{DIM}{by}{DIM:#}", clean(code));
            anstream::println!("    {}", clean(text));
        }
    }
    anstream::println!("\n{} left unproved by both", comparison.both.len());
}

pub(super) fn outcomes(outcomes: &[Outcome], format: Format) {
    if format == Format::Json {
        return json(outcomes);
    }
    let text = |verdict: &str, code: &Option<String>| match code {
        None => verdict.to_owned(),
        Some(code) => format!("{verdict} {code}"),
    };
    for outcome in outcomes {
        let seen = text(&outcome.seen.verdict, &outcome.seen.code);
        let name = clean(&outcome.name);
        if outcome.is_as_expected() {
            anstream::println!("{GREEN}ok{GREEN:#}    {name}  {seen}");
        } else {
            let expected = clean(&text(&outcome.expected.verdict, &outcome.expected.code));
            anstream::println!("{RED}wrong{RED:#} {name}  {seen}, expected {expected}");
        }
    }
    let wrong = outcomes.iter().filter(|outcome| !outcome.is_as_expected()).count();
    anstream::println!("\n{} cases, {wrong} judged otherwise than expected", outcomes.len());
}

fn json<T: Serialize + ?Sized>(value: &T) {
    anstream::println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Without what could control a terminal: names and reasons are a stranger's text.
fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
