//! The record of an appraisal while it runs: every check with what it expected and saw.

use vouchsafe_receipt::{ExecutionRecord, ReceiptPayload, VerifiedRevocations};
use vouchsafe_verifier::UnixSeconds;

use super::released::Released;
use crate::policy::{Policy, Rule};
use crate::verdict::{Conclusion, Finding, Outcome, PolicyName, Statement, Step, Verdict};
use crate::{codes, policy};

/// What is known so far.
pub(super) struct Checks<'p> {
    pub(super) policy: &'p Policy,
    pub(super) at: UnixSeconds,
    /// The moment for which the caller asked, which `at` precedes where a verdict is sought as logged.
    pub(super) now: UnixSeconds,
    /// The newest list of revocations at hand.
    pub(super) revocations: Option<&'p VerifiedRevocations>,
    /// What is at hand of released images.
    pub(super) released: Released<'p>,
    pub(super) simulated: bool,
    pub(super) claims: Option<serde_json::Value>,
    pub(super) receipt: Option<ReceiptPayload>,
    pub(super) execution: Option<ExecutionRecord>,
    /// By when a quorum of witnesses had seen the receipt in its log.
    pub(super) settled_by: Option<UnixSeconds>,
    findings: Vec<Finding>,
    proved: Vec<(Step, Statement)>,
    not_proved: Vec<Statement>,
}

/// A check's place: its step, its rule, and the word it fails with.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) step: Step,
    pub(super) rule: &'static str,
    pub(super) code: &'static str,
}

pub(super) fn check(step: Step, rule: &'static str, code: &'static str) -> Check {
    Check { step, rule, code }
}

impl<'p> Checks<'p> {
    pub(super) fn new(policy: &'p Policy, at: UnixSeconds) -> Self {
        Self {
            policy,
            at,
            now: at,
            revocations: None,
            released: Released::Missing,
            simulated: false,
            claims: None,
            receipt: None,
            execution: None,
            settled_by: None,
            findings: Vec::new(),
            proved: Vec::new(),
            not_proved: Vec::new(),
        }
    }

    /// With a list of revocations, whose age counts up to `now`.
    pub(super) fn with_revocations(self, list: Option<&'p VerifiedRevocations>, now: UnixSeconds) -> Self {
        Self { revocations: list, now, ..self }
    }

    pub(super) fn document(&self) -> &'p policy::PolicyDocument {
        self.policy.document()
    }

    fn push(&mut self, check: Check, outcome: Outcome, expected: String, seen: String) {
        let code = matches!(outcome, Outcome::Failed | Outcome::Skipped).then_some(check.code);
        let (step, rule) = (check.step, check.rule);
        // In the order of steps, and within a step in that of the checks.
        let place = self.findings.partition_point(|finding| finding.step <= step);
        self.findings.insert(place, Finding { step, rule, expected, seen, outcome, code });
    }

    /// Records a check that every policy demands; says whether it holds.
    pub(super) fn demand(
        &mut self,
        check: Check,
        holds: bool,
        expected: impl Into<String>,
        seen: impl Into<String>,
    ) -> bool {
        let outcome = if holds { Outcome::Passed } else { Outcome::Failed };
        self.push(check, outcome, expected.into(), seen.into());
        holds
    }

    /// Records that `check` failed.
    pub(super) fn fail(&mut self, check: Check, expected: impl Into<String>, seen: impl Into<String>) {
        self.push(check, Outcome::Failed, expected.into(), seen.into());
    }

    /// Records that `check` counts and could not run.
    pub(super) fn skip(&mut self, check: Check, expected: impl Into<String>, seen: impl Into<String>) {
        self.push(check, Outcome::Skipped, expected.into(), seen.into());
    }

    /// Records that a step could not run because something it builds on did not hold.
    pub(super) fn blocked(&mut self, step: Step, rule: &'static str, missing: &str) {
        let check = check(step, rule, codes::PREREQUISITE_FAILED);
        self.push(check, Outcome::Skipped, missing.into(), "it did not verify".into());
    }

    /// Records a check that the policy decides about.
    pub(super) fn rule<T>(
        &mut self,
        check: Check,
        rule: &Rule<T>,
        seen: impl Into<String>,
        expected: impl FnOnce(&T) -> String,
        holds: impl FnOnce(&T) -> bool,
    ) {
        match rule {
            Rule::Require(value) => {
                self.demand(check, holds(value), expected(value), seen);
            }
            Rule::Ignore(reason) => self.ignore(check, reason.as_str(), seen),
        }
    }

    /// Records that the policy does not let `check` count.
    pub(super) fn ignore(&mut self, check: Check, reason: &str, seen: impl Into<String>) {
        self.push(check, Outcome::Ignored, format!("anything ({reason})"), seen.into());
    }

    /// Whether nothing failed or was skipped in the steps up to and including `last`.
    pub(super) fn is_clean_through(&self, last: Step) -> bool {
        !self.findings.iter().any(|finding| finding.step <= last && finding.outcome.is_bad())
    }

    /// Whether nothing failed or was skipped in one step.
    fn is_clean_in(&self, step: Step) -> bool {
        !self.findings.iter().any(|finding| finding.step == step && finding.outcome.is_bad())
    }

    /// Claims something that holds if every check up to and including `step` does.
    pub(super) fn prove(&mut self, step: Step, code: &str, text: impl Into<String>) {
        let place = self.proved.partition_point(|(known, _)| *known <= step);
        self.proved.insert(place, (step, Statement { code: code.into(), text: text.into() }));
    }

    /// Whether `code` was claimed and will stand: every check up to and including its step holds.
    pub(super) fn has_proved(&self, code: &str) -> bool {
        self.proved.iter().any(|(step, statement)| statement.code == code && self.is_clean_through(*step))
    }

    /// Says that something stays unproved, whatever the verdict.
    pub(super) fn leave_unproved(&mut self, code: impl Into<String>, text: impl Into<String>) {
        let statement = Statement { code: code.into(), text: text.into() };
        if !self.not_proved.contains(&statement) {
            self.not_proved.push(statement);
        }
    }

    pub(super) fn conclude(mut self) -> Verdict {
        let proved = std::mem::take(&mut self.proved);
        let proved = proved
            .into_iter()
            .filter(|(step, _)| self.is_clean_through(*step))
            .map(|(_, statement)| statement)
            .collect();
        let settled_by = self.settled_by.filter(|_| self.is_clean_in(Step::Settlement));
        let document = self.policy.document();
        Verdict::conclude(Conclusion {
            policy: PolicyName { name: document.name.clone(), purpose: document.purpose.as_str() },
            at: self.at,
            simulated: self.simulated,
            settled_by,
            claims: self.claims,
            receipt: self.receipt,
            execution: self.execution,
            proved,
            not_proved: self.not_proved,
            findings: self.findings,
        })
    }
}
