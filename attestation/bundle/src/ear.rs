//! The verdict as an EAT Attestation Result: for relying parties that speak draft-ietf-rats-ear.
//!
//! A claims-set in JSON, without a signature: who wants a JWT signs it. Values are those of
//! draft-ietf-rats-ar4si: each says at most what the verdict proved. What a policy ignored is "no assertion"
//! (0), what could not be checked "unknown elements" (1). Simulated hardware is never affirmed, whatever the
//! policy believes: it is hardware that is not recognised (97).
//!
//! The one attester is `vm`. What has no place in a trustworthiness vector (the receipt, the model, the
//! log) stands in the extension claims `vouchsafe.*`.

use serde_json::{Map, Value, json};
use vouchsafe_verifier::UnixSeconds;

use crate::{Decision, Finding, Outcome, Step, Verdict, codes};

const PROFILE: &str = "tag:github.com,2023:veraison/ear";

/// Values that more than one claim has (draft-ietf-rats-ar4si, section "Specific Claims").
const NO_ASSERTION: i8 = 0;
const UNKNOWN: i8 = 1;
const APPROVED: i8 = 2;
const APPROVED_AT_BOOT: i8 = 3;
const VULNERABLE: i8 = 32;
const UNRECOGNISED_EXECUTABLES: i8 = 33;
const CONTRAINDICATED: i8 = 96;
const UNRECOGNISED_HARDWARE: i8 = 97;
const CRYPTO_FAILED: i8 = 99;

/// The claims-set of a verdict, issued at a moment.
pub fn claims(verdict: &Verdict, issued: UnixSeconds) -> Value {
    let seen = Seen { verdict };
    let mut vector = Map::new();
    let mut add = |name: &str, value: i8| {
        vector.insert(name.into(), json!(value));
    };
    let values = [
        ("hardware", seen.hardware()),
        ("configuration", seen.configuration()),
        ("executables", seen.executables()),
        ("runtime-opaque", seen.runtime_opaque()),
    ];
    values.iter().for_each(|(name, value)| add(name, *value));
    let identity = seen.is_of_enclave().then(|| seen.instance_identity());
    identity.into_iter().for_each(|value| add("instance-identity", value));
    let worst = values.iter().map(|(_, value)| *value).chain(identity).map(Tier::of).max();
    let (policy, purpose) = verdict.policy();
    let words = |statements: &[crate::Statement]| {
        statements.iter().map(|statement| statement.code.clone()).collect::<Vec<_>>()
    };
    json!({
        "eat_profile": PROFILE,
        "iat": issued.0,
        "ear.verifier-id": {
            "build": concat!("vouchsafe ", env!("CARGO_PKG_VERSION")),
            "developer": "Vouchsafe",
        },
        "submods": {
            "vm": {
                "ear.status": Tier::of_whole(verdict.decision(), worst).as_str(),
                "ear.trustworthiness-vector": vector,
                "ear.appraisal-policy-id": format!("vouchsafe:{purpose}:{policy}"),
                "vouchsafe.verdict": verdict.decision().as_str(),
                "vouchsafe.code": verdict.code(),
                "vouchsafe.simulated": verdict.simulated(),
                "vouchsafe.judged-for": verdict.at().to_string(),
                "vouchsafe.assurance": verdict.assurance(),
                "vouchsafe.proved": words(verdict.proved()),
                "vouchsafe.not-proved": words(verdict.not_proved()),
            }
        }
    })
}

/// AR4SI's tiers, in the order of their numbers: what asserts nothing takes nothing from what affirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    None,
    Affirming,
    Warning,
    Contraindicated,
}

impl Tier {
    fn of(value: i8) -> Self {
        match value {
            2..=31 => Self::Affirming,
            32..=95 => Self::Warning,
            96..=127 => Self::Contraindicated,
            _ => Self::None,
        }
    }

    /// What is rejected is contraindicated, whatever a part of it looks like; what was not decided asserts
    /// nothing. An acceptance that leaves parts open is one: those parts say so themselves.
    fn of_whole(decision: Decision, worst: Option<Self>) -> Self {
        let worst = worst.unwrap_or(Self::None);
        match decision {
            Decision::Rejected => Self::Contraindicated,
            Decision::Incomplete if worst == Self::Affirming => Self::None,
            Decision::Incomplete | Decision::Accepted => worst,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::None => "none",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }
}

struct Seen<'a> {
    verdict: &'a Verdict,
}

impl Seen<'_> {
    fn has_proved(&self, word: &str) -> bool {
        self.verdict.proved().iter().any(|statement| statement.code == word)
    }

    fn any(&self, outcome: Outcome, of: impl Fn(&Finding) -> bool) -> bool {
        self.verdict.findings().iter().any(|finding| finding.outcome == outcome && of(finding))
    }

    /// Whether statements were judged, and not a raw report or quote.
    fn is_of_enclave(&self) -> bool {
        self.verdict.policy().1 != "evidence"
    }

    fn has_evidence_failed(&self) -> bool {
        self.any(Outcome::Failed, |finding| {
            matches!(
                finding.step,
                Step::Format | Step::BootEvidence | Step::EpochEvidence | Step::ChallengeEvidence
            )
        })
    }

    /// The machine and its firmware.
    fn hardware(&self) -> i8 {
        let is_broken = |finding: &Finding| {
            finding.code.is_some_and(|code| [codes::CHIP_REVOKED, codes::PROCESSOR_REVOKED].contains(&code))
        };
        let is_firmware = |finding: &Finding| {
            [
                "platform.snp.products",
                "platform.snp.minimum_tcb",
                "platform.snp.crl",
                "platform.tdx.tcb_statuses",
                "platform.tdx.advisories_denied",
                "platform.tdx.advisories_tolerated",
                "platform.tdx.evaluation_number_min",
            ]
            .contains(&finding.rule)
        };
        let status = self.verdict.claims().and_then(|claims| claims.get("tcb_status"));
        if self.has_evidence_failed() {
            CRYPTO_FAILED
        } else if self.verdict.simulated() {
            UNRECOGNISED_HARDWARE
        } else if self.any(Outcome::Failed, is_firmware) || self.any(Outcome::Failed, is_broken) {
            CONTRAINDICATED
        } else if !self.has_proved("hardware") {
            UNKNOWN
        } else if status.is_some_and(|status| status != "UpToDate") {
            VULNERABLE
        } else {
            APPROVED
        }
    }

    /// Whether some report says of its guest that the host may debug it, or that it may not: whatever the policy
    /// makes of that.
    fn says_debug(&self, word: &str) -> bool {
        let findings = self.verdict.findings().iter();
        findings.filter(|finding| finding.rule.ends_with(".debug")).any(|finding| finding.seen == word)
    }

    /// How the guest was started: debugging, migration, privilege levels.
    fn configuration(&self) -> i8 {
        let is_platform = |finding: &Finding| {
            matches!(finding.step, Step::BootPlatform | Step::EpochPlatform | Step::ChallengePlatform)
                && finding.rule.starts_with("platform.")
        };
        let is_debug = |finding: &Finding| finding.rule.ends_with(".debug");
        if self.has_evidence_failed() {
            CRYPTO_FAILED
        } else if self.says_debug("true") || self.any(Outcome::Failed, is_platform) {
            CONTRAINDICATED
        } else if self.any(Outcome::Skipped, is_platform) {
            UNKNOWN
        } else if self.any(Outcome::Passed, is_debug) {
            APPROVED
        } else {
            NO_ASSERTION
        }
    }

    /// What was booted.
    fn executables(&self) -> i8 {
        let is_measurement = |finding: &Finding| ["measurements", "images.released"].contains(&finding.rule);
        let is_withdrawn = |finding: &Finding| {
            [Some(codes::MEASUREMENT_REVOKED), Some(codes::IMAGE_REVOKED)].contains(&finding.code)
        };
        if self.has_evidence_failed() {
            CRYPTO_FAILED
        } else if self.any(Outcome::Failed, is_withdrawn) {
            CONTRAINDICATED
        } else if self.any(Outcome::Failed, is_measurement) {
            UNRECOGNISED_EXECUTABLES
        } else if self.has_proved("measurement") {
            APPROVED_AT_BOOT
        } else {
            NO_ASSERTION
        }
    }

    /// Whether the host can see into the guest's memory.
    fn runtime_opaque(&self) -> i8 {
        match self.configuration() {
            _ if self.has_evidence_failed() => CRYPTO_FAILED,
            _ if self.says_debug("true") => CONTRAINDICATED,
            APPROVED if self.has_proved("hardware") => APPROVED,
            _ => NO_ASSERTION,
        }
    }

    /// The boot's own keys, bound to the machine's report.
    fn instance_identity(&self) -> i8 {
        let is_binding =
            |finding: &Finding| matches!(finding.step, Step::Binding | Step::Challenge | Step::Receipt);
        let is_revoked = |finding: &Finding| {
            finding.code.is_some_and(|code| [codes::BOOT_REVOKED, codes::RECEIPT_KEY_REVOKED].contains(&code))
        };
        if self.has_evidence_failed() || self.any(Outcome::Failed, is_binding) {
            CRYPTO_FAILED
        } else if self.any(Outcome::Failed, is_revoked) {
            CONTRAINDICATED
        } else if self.has_proved("keys_attested") {
            APPROVED
        } else {
            UNKNOWN
        }
    }
}
