//! What came of an appraisal: accepted, rejected or incomplete; what was proved and what was not.

use core::fmt;

use serde::Serialize;
use vouchsafe_receipt::{Assurance, ExecutionRecord, ReceiptPayload};
use vouchsafe_verifier::{UnixSeconds, strict_json};

/// The decision of an appraisal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Everything the policy requires was checked and holds.
    Accepted,
    /// Something that was checked does not hold.
    Rejected,
    /// Nothing that was checked failed, but a required check could not run.
    Incomplete,
}

impl Decision {
    /// The word in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Incomplete => "incomplete",
        }
    }

    /// The exit status of a verifying command.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Rejected => 10,
            Self::Incomplete => 20,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The steps of an appraisal, in their fixed order. The first that fails gives the verdict its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// The bundle or document is well formed, and the policy is meant for such.
    Format,
    /// The boot report, or the evidence itself: signature, certificates, consistency.
    BootEvidence,
    /// The epoch report.
    EpochEvidence,
    /// The report that answers the client's challenge.
    ChallengeEvidence,
    /// What the boot report says, against the policy.
    BootPlatform,
    /// What the epoch report says.
    EpochPlatform,
    /// What the challenge report says.
    ChallengePlatform,
    /// Reports bind statements, and statements bind each other.
    Binding,
    /// The client's nonce is covered.
    Challenge,
    /// Nothing is older than the policy allows.
    Freshness,
    /// Who runs the enclave, and whether receipts settle.
    Boot,
    /// The receipt's signature and form, and that it is of this boot and epoch.
    Receipt,
    /// The signed records of a stream.
    Stream,
    /// Which model answered.
    Model,
    /// Which engine computed.
    Engine,
    /// The request opens its commitment.
    Request,
    /// The response opens its commitment.
    Response,
    /// The execution record opens its commitment and satisfies the policy.
    Execution,
    /// What the receipt promises of the log, and that it is in the log under witnesses' eyes.
    Settlement,
}

impl Step {
    /// The word in texts and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::BootEvidence => "boot_evidence",
            Self::EpochEvidence => "epoch_evidence",
            Self::ChallengeEvidence => "challenge_evidence",
            Self::BootPlatform => "boot_platform",
            Self::EpochPlatform => "epoch_platform",
            Self::ChallengePlatform => "challenge_platform",
            Self::Binding => "binding",
            Self::Challenge => "challenge",
            Self::Freshness => "freshness",
            Self::Boot => "boot",
            Self::Receipt => "receipt",
            Self::Stream => "stream",
            Self::Model => "model",
            Self::Engine => "engine",
            Self::Request => "request",
            Self::Response => "response",
            Self::Execution => "execution",
            Self::Settlement => "settlement",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran and holds.
    Passed,
    /// It ran and does not hold.
    Failed,
    /// It counts and could not run.
    Skipped,
    /// The policy does not let it count.
    Ignored,
}

impl Outcome {
    /// Whether it keeps a verdict from being accepted.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Skipped)
    }
}

/// One check of an appraisal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The step it belongs to.
    pub step: Step,
    /// The rule: the policy's path where the policy decides, else a fixed rule's name.
    pub rule: &'static str,
    /// What would pass.
    pub expected: String,
    /// What was there.
    pub seen: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The stable word, where it failed or could not run.
    pub code: Option<&'static str>,
}

/// Something that was proved, or that was not: a stable word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Statement {
    /// The stable word.
    pub code: String,
    /// The sentence.
    pub text: String,
}

/// What came of judging for one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Judgement {
    /// The decision.
    pub verdict: Decision,
    /// The stable word of the first check that failed or could not run.
    pub code: Option<&'static str>,
    /// The moment.
    #[serde(serialize_with = "rfc3339")]
    pub at: UnixSeconds,
}

/// The result of an appraisal. Only this crate makes one, and it can't be deserialised.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    verdict: Decision,
    code: Option<&'static str>,
    detail: Option<String>,
    simulated: bool,
    policy: PolicyName,
    #[serde(serialize_with = "rfc3339")]
    at: UnixSeconds,
    assurance: Option<Assurance>,
    as_of_now: Judgement,
    as_logged: Option<Judgement>,
    claims: Option<serde_json::Value>,
    receipt: Option<ReceiptPayload>,
    execution: Option<ExecutionRecord>,
    proved: Vec<Statement>,
    not_proved: Vec<Statement>,
    findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PolicyName {
    pub(crate) name: String,
    pub(crate) purpose: &'static str,
}

/// What an appraisal found out, from which its verdict follows.
#[derive(Debug)]
pub(crate) struct Conclusion {
    pub(crate) policy: PolicyName,
    pub(crate) at: UnixSeconds,
    pub(crate) simulated: bool,
    pub(crate) settled_by: Option<UnixSeconds>,
    pub(crate) claims: Option<serde_json::Value>,
    pub(crate) receipt: Option<ReceiptPayload>,
    pub(crate) execution: Option<ExecutionRecord>,
    pub(crate) proved: Vec<Statement>,
    pub(crate) not_proved: Vec<Statement>,
    pub(crate) findings: Vec<Finding>,
}

impl Verdict {
    /// Decides: the first failing check rejects; without one, the first skipped check leaves the
    /// verdict incomplete; without either, and with something that passed, it is accepted.
    pub(crate) fn conclude(conclusion: Conclusion) -> Self {
        let Conclusion {
            policy,
            at,
            simulated,
            settled_by,
            claims,
            receipt,
            execution,
            proved,
            not_proved,
            findings,
        } = conclusion;
        let first = |outcome| findings.iter().find(|finding| finding.outcome == outcome);
        let (verdict, decisive) = match (first(Outcome::Failed), first(Outcome::Skipped)) {
            (Some(failed), _) => (Decision::Rejected, Some(failed)),
            (None, Some(skipped)) => (Decision::Incomplete, Some(skipped)),
            (None, None) if first(Outcome::Passed).is_some() => (Decision::Accepted, None),
            // Nothing was checked, so nothing was found to be good.
            (None, None) => (Decision::Incomplete, None),
        };
        let code = decisive.and_then(|finding| finding.code);
        let detail = decisive.map(Finding::describe);
        let assurance = match (&receipt, settled_by) {
            (None, _) => None,
            (Some(_), None) => Some(Assurance::Attested),
            (Some(_), Some(_)) => Some(Assurance::Settled),
        };
        Self {
            verdict,
            code,
            detail,
            simulated,
            policy,
            at,
            assurance,
            as_of_now: Judgement { verdict, code, at },
            as_logged: None,
            claims,
            receipt,
            execution,
            proved,
            not_proved,
            findings,
        }
    }

    /// Adds what the verdict was when the receipt was logged.
    pub(crate) fn with_as_logged(mut self, then: &Self) -> Self {
        self.as_logged = Some(then.as_of_now);
        self.assurance = then.assurance;
        self
    }

    /// The level that was reached: `settled` where the receipt was shown in its log under a quorum of
    /// witnesses, `attested` where only its signature was; `None` without a verified receipt.
    pub fn assurance(&self) -> Option<Assurance> {
        self.assurance
    }

    /// The judgement for the moment asked for: the verdict's own.
    pub fn as_of_now(&self) -> Judgement {
        self.as_of_now
    }

    /// The judgement for the moment by which witnesses had seen the receipt in its log; `None` where
    /// that was not shown. What was good then may be refused now, because it was revoked or expired
    /// since; and what is accepted now, by later knowledge, may have been refused then.
    pub fn as_logged(&self) -> Option<Judgement> {
        self.as_logged
    }

    /// The decision.
    pub fn decision(&self) -> Decision {
        self.verdict
    }

    /// Whether the decision is to accept.
    pub fn is_accepted(&self) -> bool {
        self.verdict == Decision::Accepted
    }

    /// The stable word of the first check that failed or could not run; `None` when accepted.
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// The same in a sentence.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Whether the evidence was verified under a simulated root: then it proves nothing about hardware.
    pub fn simulated(&self) -> bool {
        self.simulated
    }

    /// Name and purpose of the policy that was applied.
    pub fn policy(&self) -> (&str, &'static str) {
        (&self.policy.name, self.policy.purpose)
    }

    /// The moment the judgement is for.
    pub fn at(&self) -> UnixSeconds {
        self.at
    }

    /// What the (boot) evidence claims, by stable names; there as soon as it is verified, whatever
    /// the policy thinks of it.
    pub fn claims(&self) -> Option<&serde_json::Value> {
        self.claims.as_ref()
    }

    /// What the receipt says; there as soon as its signature is verified.
    pub fn receipt(&self) -> Option<&ReceiptPayload> {
        self.receipt.as_ref()
    }

    /// The execution record; there as soon as it opens its commitment.
    pub fn execution(&self) -> Option<&ExecutionRecord> {
        self.execution.as_ref()
    }

    /// What was proved: what rests only on steps in which every check passed. A rejected verdict can
    /// hold some, for the steps before the one that failed.
    pub fn proved(&self) -> &[Statement] {
        &self.proved
    }

    /// What was not proved.
    pub fn not_proved(&self) -> &[Statement] {
        &self.not_proved
    }

    /// Every check, in the fixed order of steps.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The verdict as indented JSON.
    pub fn to_json(&self) -> String {
        strict_json::to_pretty(self)
    }
}

/// Moments in a verdict are written as in policies and on the command line.
fn rfc3339<S: serde::Serializer>(at: &UnixSeconds, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

impl Finding {
    fn describe(&self) -> String {
        format!("{}: expected {}, seen {}", self.rule, self.expected, self.seen)
    }
}
