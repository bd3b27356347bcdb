//! A verdict as a table for people.

use std::fmt::Write;

use anstyle::Style;
use vouchsafe_bundle::{Decision, Finding, Judgement, Outcome, Statement, Step, Verdict};

use super::table::wrap;
use super::{BOLD, DIM, GREEN, RED, YELLOW, clean};

/// Width of the column with words and steps.
const WORD: usize = 22;
const WIDTH: usize = 100;
/// Prefix of the words for rules that a policy ignores.
const IGNORED: &str = "ignored:";

/// The whole text, with colours.
pub(super) fn text(verdict: &Verdict, verbose: bool) -> String {
    let mut out = String::new();
    headline(&mut out, verdict);
    steps(&mut out, verdict, verbose);
    statements(&mut out, "Proved", verdict.proved(), GREEN, "✓");
    let (ignored, unproved): (Vec<_>, Vec<_>) =
        verdict.not_proved().iter().cloned().partition(|statement| statement.code.starts_with(IGNORED));
    statements(&mut out, "Not proved", &unproved, YELLOW, "·");
    if verbose {
        statements(&mut out, "Ignored by the policy", &ignored, DIM, "·");
    } else if !ignored.is_empty() {
        let _ = writeln!(out, "  · {} rules that the policy ignores (--verbose lists them)", ignored.len());
    }
    out
}

fn headline(out: &mut String, verdict: &Verdict) {
    let decision = verdict.decision();
    let style = style_of(decision);
    let code = verdict.code().map(|code| format!("  {BOLD}{code}{BOLD:#}")).unwrap_or_default();
    let level = match verdict.assurance() {
        Some(level) => format!("  {level}", level = level.as_str()),
        None => String::new(),
    };
    let _ = writeln!(out, "{style}{decision}{style:#}{level}{code}");
    if let Some(detail) = verdict.detail() {
        for line in wrap(&clean(detail), WIDTH - 2) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let (name, purpose) = verdict.policy();
    let name = clean(name);
    let _ = writeln!(out, "  {DIM}policy {name:?} ({purpose}), judged for {}{DIM:#}", verdict.at());
    if let Some(logged) = verdict.as_logged() {
        judgement(out, "as logged", logged);
        judgement(out, "as of now", verdict.as_of_now());
    }
    if verdict.simulated() {
        let _ = writeln!(out, "  {YELLOW}SIMULATED{YELLOW:#}: no hardware vouches for anything here");
    }
}

/// What came of judging for one moment.
fn judgement(out: &mut String, when: &str, judgement: Judgement) {
    let style = style_of(judgement.verdict);
    let (decision, at) = (judgement.verdict, judgement.at);
    let code = judgement.code.map(|code| format!("  {code}")).unwrap_or_default();
    let _ = writeln!(out, "  {when}  {at}  {style}{decision}{style:#}{code}");
}

fn style_of(decision: Decision) -> Style {
    match decision {
        Decision::Accepted => GREEN,
        Decision::Rejected => RED,
        Decision::Incomplete => YELLOW,
    }
}

/// One line per step: how many checks passed, or what went wrong first.
fn steps(out: &mut String, verdict: &Verdict, verbose: bool) {
    let _ = writeln!(out, "\n{BOLD}Checks{BOLD:#}");
    let mut rest = verdict.findings();
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|finding| finding.step == first.step).count();
        let (findings, others) = rest.split_at(length);
        rest = others;
        step(out, first.step, findings);
        if verbose {
            findings.iter().for_each(|finding| check(out, finding));
        }
    }
}

fn step(out: &mut String, step: Step, findings: &[Finding]) {
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    let bad = findings.iter().find(|finding| finding.outcome == Outcome::Failed);
    let bad = bad.or_else(|| findings.iter().find(|finding| finding.outcome == Outcome::Skipped));
    let (style, mark, text) = match bad {
        Some(finding) => {
            let (style, mark, _) = mark(finding.outcome);
            let word = if finding.outcome == Outcome::Failed { "failed" } else { "skipped" };
            (style, mark, format!("{word}: {}", finding.code.unwrap_or_default()))
        }
        None if count(Outcome::Passed) == 0 => (DIM, "·", "ignored by the policy".into()),
        None => {
            let ignored = match count(Outcome::Ignored) {
                0 => String::new(),
                ignored => format!(", {ignored} ignored by the policy"),
            };
            (GREEN, "✓", format!("{} passed{ignored}", count(Outcome::Passed)))
        }
    };
    let _ = writeln!(out, "  {style}{mark}{style:#} {:WORD$}{text}", step.as_str());
}

fn check(out: &mut String, finding: &Finding) {
    let (style, mark, _) = mark(finding.outcome);
    let _ = writeln!(out, "      {style}{mark}{style:#} {}", finding.rule);
    for (label, text) in [("expected", &finding.expected), ("seen", &finding.seen)] {
        for (index, line) in wrap(&clean(text), WIDTH - 19).into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let _ = writeln!(out, "        {DIM}{label:9}{line}{DIM:#}");
        }
    }
}

fn mark(outcome: Outcome) -> (Style, &'static str, &'static str) {
    match outcome {
        Outcome::Passed => (GREEN, "✓", "passed"),
        Outcome::Failed => (RED, "✗", "failed"),
        Outcome::Skipped => (YELLOW, "?", "skipped"),
        Outcome::Ignored => (DIM, "·", "ignored"),
    }
}

fn statements(out: &mut String, title: &str, statements: &[Statement], style: Style, mark: &str) {
    if statements.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{BOLD}{title}{BOLD:#}");
    for statement in statements {
        let code = clean(&statement.code);
        let code = code.strip_prefix(IGNORED).unwrap_or(&code);
        // A long word stands alone.
        let is_long = code.len() >= WORD;
        if is_long {
            let _ = writeln!(out, "  {style}{mark}{style:#} {code}");
        }
        for (index, line) in wrap(&clean(&statement.text), WIDTH - WORD - 4).into_iter().enumerate() {
            match index == 0 && !is_long {
                true => {
                    let _ = writeln!(out, "  {style}{mark}{style:#} {code:WORD$}{line}");
                }
                false => {
                    let _ = writeln!(out, "    {:WORD$}{line}", "");
                }
            }
        }
    }
}
