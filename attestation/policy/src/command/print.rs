//! Results for people and for programs.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use vouchsafe_policy::cases::{Expected, Outcome};
use vouchsafe_policy::check::{Finding, Severity};
use vouchsafe_policy::compare::{Comparison, Open};
use vouchsafe_policy::diff::{Change, Direction};
use vouchsafe_policy::explain::Explanation;
use vouchsafe_policy::follow::Followed;

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
        anstream::println!("{style}{word:<8}{style:#} {name:<26} {}", clean(path));
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
    anstream::println!("\nWhat no policy can have shown");
    for sentence in &explanation.never_shown {
        anstream::println!("  {}", clean(sentence));
    }
}

pub(super) fn changes(changes: &[Change], format: Format) {
    if format == Format::Json {
        return json(changes);
    }
    anstream::println!("{}", change_lines(changes));
}

/// What came of looking at a release.
pub(super) fn followed(followed: &Followed, format: Format) {
    let (outcome, changes, waiting) = match followed {
        Followed::Current => ("current", [].as_slice(), [].as_slice()),
        Followed::First(changes) => ("first", changes.as_slice(), [].as_slice()),
        Followed::Applied(changes) => ("applied", changes.as_slice(), [].as_slice()),
        Followed::Pending { applied, waiting } => ("pending", applied.as_slice(), waiting.as_slice()),
    };
    if format == Format::Json {
        return json(&serde_json::json!({"outcome": outcome, "changes": changes, "waiting": waiting}));
    }
    match followed {
        Followed::Current => {}
        Followed::First(changes) => {
            anstream::println!("the first: nothing to compare it with");
            changes.iter().for_each(|change| anstream::println!("{}", change_line(change)));
        }
        Followed::Applied(_) | Followed::Pending { .. } => anstream::println!("{}", change_lines(changes)),
    }
}

/// Changes, a line each, and how many there are.
pub(super) fn change_lines(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "the same evidence is accepted".into();
    }
    let lines: Vec<_> = changes.iter().map(change_line).collect();
    let widening = changes.iter().filter(|change| change.direction == Direction::Widens).count();
    let narrowing = changes.len() - widening;
    format!("{}\n\n{widening} accept what was not accepted, {narrowing} refuse what was", lines.join("\n"))
}

fn change_line(change: &Change) -> String {
    let (style, mark) = match change.direction {
        Direction::Widens => (YELLOW, "+"),
        Direction::Narrows => (GREEN, "-"),
    };
    format!("{style}{mark}{style:#} {:<34} {}", clean(&change.path), clean(&change.text))
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
    let word = |verdict: &str, code: &Option<String>| match code {
        None => verdict.to_owned(),
        Some(code) => format!("{verdict} {code}"),
    };
    for outcome in outcomes {
        let text = |one: &Expected| match (&outcome.expected.as_logged, &one.as_logged) {
            (None, _) => word(&one.verdict, &one.code),
            (Some(_), None) => format!("{}, not as logged", word(&one.verdict, &one.code)),
            (Some(_), Some(logged)) => {
                let logged = word(&logged.verdict, &logged.code);
                format!("{}, as logged {logged}", word(&one.verdict, &one.code))
            }
        };
        let (name, seen) = (clean(&outcome.name), text(&outcome.seen));
        if outcome.is_as_expected() {
            anstream::println!("{GREEN}ok{GREEN:#}    {name}  {seen}");
        } else {
            anstream::println!(
                "{RED}wrong{RED:#} {name}  {seen}, expected {}",
                clean(&text(&outcome.expected))
            );
        }
    }
    let wrong = outcomes.iter().filter(|outcome| !outcome.is_as_expected()).count();
    anstream::println!("\n{} cases, {wrong} judged otherwise than expected", outcomes.len());
}

fn json<T: Serialize + ?Sized>(value: &T) {
    anstream::println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Without what could control a terminal: names and reasons are a stranger's text.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
