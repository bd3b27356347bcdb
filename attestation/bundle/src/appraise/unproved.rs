//! What a verdict does not establish, in stable words.

use vouchsafe_verifier::Platform;

use super::checks::Checks;

/// What is being judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A raw report or quote.
    Evidence,
    /// A live enclave.
    Document,
    /// One answer.
    Answer,
}

/// What no attestation of this kind can show.
const OF_EVERY_MACHINE: [(&str, &str); 3] = [
    (
        "physical_attacks",
        "That nobody with physical access attacked the machine: memory interposers and fault injection are outside what the hardware defends against.",
    ),
    (
        "host_supplied_tables",
        "That the tables and devices which the host supplies to the guest kernel are harmless: they are not all measured.",
    ),
    ("sizes_and_timing", "That sizes and timing of the traffic reveal nothing: the host sees both."),
];

/// What no statement of an enclave can show.
const OF_EVERY_ENCLAVE: [(&str, &str); 1] =
    [("operator_uptime", "That the operator keeps the service running, or serves every client alike.")];

/// What the log and its witnesses would show, each with the word of what proves it.
const WITHOUT_LOG: [(&str, &str, &str); 3] = [
    (
        "time_unattested",
        "time",
        "When this happened: no time between two checkpoints that witnesses saw is bound in; the enclave's own clock can be influenced by its host.",
    ),
    (
        "unlogged",
        "logged",
        "That anyone else can see this: nothing here is shown in a log that the policy names, so that a record could be withheld or contradicted unseen.",
    ),
    (
        "unwitnessed",
        "witnessed",
        "That everybody sees the same log: no quorum of witnesses that the policy names is shown to have cosigned a checkpoint that holds this.",
    ),
];

/// What remains possible with a log.
const WITH_LOG: (&str, &str) = (
    "newest_receipts",
    "That no other receipt was lost: a host that ends a boot can keep the newest ones, up to the boot's bound on unsettled receipts, out of the log. A monitor sees the hole.",
);

/// Says what stays unproved whatever was checked, and what the policy chose to ignore.
pub(super) fn record(checks: &mut Checks<'_>, subject: Subject, platform: Option<Platform>) {
    for (code, text) in OF_EVERY_MACHINE {
        checks.leave_unproved(code, text);
    }
    if subject != Subject::Evidence {
        for (code, text) in OF_EVERY_ENCLAVE {
            checks.leave_unproved(code, text);
        }
        for (code, proved_by, text) in WITHOUT_LOG {
            if !checks.has_proved(proved_by) {
                checks.leave_unproved(code, text);
            }
        }
        if checks.has_proved("logged") {
            checks.leave_unproved(WITH_LOG.0, WITH_LOG.1);
        }
    }
    if subject == Subject::Answer {
        checks.leave_unproved(
            "model_quality",
            "That the answer is true, safe or useful: only that this model gave it.",
        );
    }
    if checks.simulated {
        checks.leave_unproved(
            "simulated_root",
            "Anything about hardware: the evidence is signed under a simulated root that anyone can make.",
        );
    }
    for (path, reason) in checks.policy.ignored() {
        if is_about(&path, subject, platform) {
            checks.leave_unproved(format!("ignored:{path}"), format!("The policy ignores {path}: {reason}"));
        }
    }
}

/// Whether a rule of the policy would say something about the subject at all.
fn is_about(path: &str, subject: Subject, platform: Option<Platform>) -> bool {
    let is_in = |sections: &[&str]| sections.iter().any(|section| path.starts_with(section));
    if path.starts_with("platform.snp.") {
        return platform.is_none_or(|platform| platform == Platform::SevSnp);
    }
    if path.starts_with("platform.tdx.") {
        return platform.is_none_or(|platform| platform == Platform::Tdx);
    }
    // What a reference value leaves out is said where it is the one that matches.
    if path.starts_with("measurements.") {
        return false;
    }
    match subject {
        Subject::Evidence => {
            path == "measurements" || is_in(&["trust.", "platform.", "images.", "revocations."])
        }
        Subject::Document => {
            path != "platform.report_data"
                && path != "freshness.receipt_age_seconds_max"
                && !is_in(&["openings.", "parameters."])
        }
        Subject::Answer => path != "platform.report_data" && path != "sessions.challenge",
    }
}
