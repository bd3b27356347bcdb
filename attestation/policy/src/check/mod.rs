//! Findings about a policy that is well formed: it accepts nothing, it accepts too much, it is out of date.
//!
//! What contradicts itself is no policy at all and is refused when it is read. Every finding has a stable
//! name; `docs/policy.md` lists them.

mod accepts;
mod dead;
mod references;

use serde::Serialize;
use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{PlatformName, PolicyDocument, Rule};
use vouchsafe_verifier::UnixSeconds;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The policy can't do what a policy is for.
    Error,
    /// It accepts something that deserves a second look.
    Warning,
}

/// Every finding by name, with its severity and what it means.
pub const FINDINGS: [(&str, Severity, &str); 36] = [
    (
        "accepts_nothing",
        Severity::Error,
        "no evidence can satisfy the policy: a list that must be matched is empty",
    ),
    (
        "revocation_void",
        Severity::Error,
        "another reference measurement goes on accepting what one revokes, so that the revocation does nothing",
    ),
    (
        "references_not_yet",
        Severity::Error,
        "no reference measurement is good at this moment, and the first that will be is of a time to come",
    ),
    ("references_past", Severity::Error, "every reference measurement has expired or is revoked"),
    ("platform_accepts_nothing", Severity::Warning, "one of the accepted platforms can satisfy nothing"),
    ("rule_without_platform", Severity::Warning, "a rule is required for a platform that is not accepted"),
    ("accepts_debug", Severity::Warning, "guests whose memory the host may read are accepted"),
    ("accepts_migration", Severity::Warning, "guests that may be moved to another machine are accepted"),
    (
        "accepts_milan",
        Severity::Warning,
        "EPYC 7003 is accepted, of which a software extraction of the VCEK seed has been published",
    ),
    ("accepts_simulation", Severity::Warning, "simulated hardware is believed"),
    ("tcb_unbounded", Severity::Warning, "firmware of any age is accepted"),
    (
        "grace_unlimited",
        Severity::Warning,
        "a TCB status other than UpToDate is accepted for ever, or for more than a year",
    ),
    (
        "evaluation_unbounded",
        Severity::Warning,
        "TCB info of any evaluation is accepted, so that an older one can be replayed until it expires",
    ),
    ("crl_ignored", Severity::Warning, "AMD's revocation list need not be at hand"),
    (
        "kernel_unmeasured",
        Severity::Warning,
        "a TDX reference leaves the kernel, the command line or the initrd open",
    ),
    (
        "firmware_unmeasured",
        Severity::Warning,
        "a TDX reference leaves the firmware or its configuration open: whatever loads the kernel is accepted",
    ),
    ("tcb_revoked", Severity::Warning, "a TCB level that Intel has revoked is accepted"),
    (
        "advisory_unknown",
        Severity::Warning,
        "an advisory is not written as Intel writes them, so that no TCB level ever names it",
    ),
    (
        "sept_ve_ignored",
        Severity::Warning,
        "TDs are accepted in which a page that the host takes away goes unnoticed by a kernel that is not prepared",
    ),
    ("service_td_ignored", Severity::Warning, "TDs are accepted into which a service TD of the host can see"),
    ("vmpl_open", Severity::Warning, "a report is accepted that less privileged code of the guest asked for"),
    ("signing_keys_ignored", Severity::Warning, "keys of a cloud provider count as much as those of a chip"),
    (
        "alias_check_ignored",
        Severity::Warning,
        "machines are accepted that have not been checked for aliased memory, which a host can arrange",
    ),
    ("operator_ignored", Severity::Warning, "anybody may run the enclave, on any machine that they own"),
    ("epoch_unbounded", Severity::Warning, "what an enclave said of itself may be of any age"),
    ("bound_ignored", Severity::Warning, "receipts may promise to be in the log at any later time"),
    (
        "revocations_ignored",
        Severity::Warning,
        "no list of revocations need be at hand: what is revoked in a hurry is accepted by whoever lacks it",
    ),
    ("measurements_ignored", Severity::Warning, "any guest image is accepted"),
    ("models_ignored", Severity::Warning, "any model is accepted"),
    ("log_ignored", Severity::Warning, "receipts need not be in a log"),
    ("witnesses_ignored", Severity::Warning, "nobody need have watched the log"),
    (
        "quorum_weak",
        Severity::Warning,
        "half of the witnesses or fewer suffice, so that two disjoint quorums could see two logs",
    ),
    ("challenge_ignored", Severity::Warning, "live enclaves need not show that their evidence is fresh"),
    ("reference_expired", Severity::Warning, "a reference measurement has expired"),
    (
        "reference_expires_soon",
        Severity::Warning,
        "a reference measurement expires, or is revoked, within thirty days",
    ),
    ("reference_twice", Severity::Warning, "two reference measurements have the same digests"),
];

/// One finding about a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The rule it is about.
    pub path: String,
    /// The same in a sentence.
    pub text: String,
}

/// Collects findings.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, name: &'static str, path: impl Into<String>, text: impl Into<String>) {
        let known = FINDINGS.iter().find(|(known, _, _)| *known == name);
        let severity = known.map_or(Severity::Error, |(_, severity, _)| *severity);
        self.0.push(Finding { name, severity, path: path.into(), text: text.into() });
    }

    /// Adds the finding with its own meaning as its sentence.
    fn note(&mut self, name: &'static str, path: &str) {
        let meaning = FINDINGS.iter().find(|(known, _, _)| *known == name).map_or("", |known| known.2);
        self.add(name, path, meaning);
    }
}

/// Everything that is to be said of a policy at a moment, the worst first.
pub fn check(policy: &Policy, at: UnixSeconds) -> Vec<Finding> {
    let document = policy.document();
    let mut findings = Findings(Vec::new());
    dead::check(document, &mut findings);
    accepts::check(document, &mut findings);
    references::check(document, at, &mut findings);
    findings.0.sort_by(|a, b| (a.severity, &a.path, a.name).cmp(&(b.severity, &b.path, b.name)));
    findings.0
}

/// The platforms that count: those accepted, or both where the policy does not say.
pub(crate) fn platforms(document: &PolicyDocument) -> Vec<PlatformName> {
    match &document.platform.accepted {
        Rule::Require(accepted) => accepted.clone(),
        Rule::Ignore(_) => vec![PlatformName::SevSnp, PlatformName::Tdx],
    }
}
