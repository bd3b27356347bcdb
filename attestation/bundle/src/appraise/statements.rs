//! Reports bind statements, and statements bind each other; what the boot states of itself.

use vouchsafe_receipt::{AttestedStatement, BootStatement, EpochStatement, ReceiptKey, report_data};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::{Evidence, UnixSeconds, VerifiedEvidence};

use super::checks::{Check, Checks, check};
use super::evidence::{Basis, OtherRoots, platform_of, unsupported};
use super::platform::{self, any_of};
use super::{revoked, settlement};
use crate::codes;
use crate::policy::Rule;
use crate::verdict::Step;

/// The statements of a boot and one of its epochs, bound by verified reports.
pub(super) struct Attested {
    pub(super) boot: BootStatement,
    pub(super) epoch: EpochStatement,
    pub(super) receipt_key: ReceiptKey,
}

/// The evidence of one report: its step for verification, its step for policy.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pub(super) evidence: Step,
    pub(super) platform: Step,
}

pub(super) const BOOT: Steps = Steps { evidence: Step::BootEvidence, platform: Step::BootPlatform };
const EPOCH: Steps = Steps { evidence: Step::EpochEvidence, platform: Step::EpochPlatform };

/// What was verified of a boot and its epoch.
pub(super) struct Verified<'a> {
    pub(super) basis: Option<Basis<'a>>,
    pub(super) boot: Option<VerifiedEvidence>,
    pub(super) attested: Option<Attested>,
}

/// Verifies boot and epoch: their reports, the policy on them, and the statements they bind.
pub(super) fn appraise<'a>(
    checks: &mut Checks<'_>,
    boot: &AttestedStatement,
    epoch: &AttestedStatement,
    endorsements: Option<&'a vouchsafe_verifier::Endorsements>,
    extra_roots: &[Vec<u8>],
    crypto: &'a dyn Crypto,
) -> Verified<'a> {
    let Some(vendor) = platform_of(&boot.evidence) else {
        unsupported(checks, Step::BootEvidence);
        return Verified { basis: None, boot: None, attested: None };
    };
    let basis = Basis::new(checks, vendor, endorsements, OtherRoots::Added(extra_roots), crypto);
    let boot_evidence = report(checks, &basis, BOOT, &boot.evidence, None);
    let epoch_evidence = report(checks, &basis, EPOCH, &epoch.evidence, boot_evidence.as_ref());
    let boot_bytes = &boot.statement.0;
    let epoch_bytes = &epoch.statement.0;
    let boot_bound = bound(
        checks,
        check(Step::Binding, "boot_report_data", codes::BOOT_REPORT_DATA),
        boot_evidence.as_ref(),
        &report_data::boot(boot_bytes, crypto),
    );
    let epoch_bound = bound(
        checks,
        check(Step::Binding, "epoch_report_data", codes::EPOCH_REPORT_DATA),
        epoch_evidence.as_ref(),
        &report_data::epoch(epoch_bytes, crypto),
    );
    let statements = parse(checks, boot_bytes, epoch_bytes, crypto);
    let attested = statements.filter(|_| boot_bound && epoch_bound);
    if attested.is_some() {
        checks.prove(
            Step::Binding,
            "keys_attested",
            "The key that signs receipts and the key of the TLS sessions were made in this guest at this boot.",
        );
    }
    Verified { basis: Some(basis), boot: boot_evidence, attested }
}

/// Verifies one report and holds it against the policy, and against the boot's where there is one.
pub(super) fn report(
    checks: &mut Checks<'_>,
    basis: &Basis<'_>,
    steps: Steps,
    evidence: &Evidence,
    boot: Option<&VerifiedEvidence>,
) -> Option<VerifiedEvidence> {
    let verified = basis.verify(checks, steps.evidence, evidence)?;
    platform::appraise(checks, steps.platform, &verified);
    if let Some(boot) = boot {
        platform::same_machine(checks, steps.platform, boot, &verified);
    }
    Some(verified)
}

/// Holds a report's REPORT_DATA against what it must bind.
pub(super) fn bound(
    checks: &mut Checks<'_>,
    check: Check,
    evidence: Option<&VerifiedEvidence>,
    expected: &[u8; 64],
) -> bool {
    match evidence {
        None => {
            checks.blocked(check.step, check.rule, "a verified report");
            false
        }
        Some(evidence) => {
            let seen = evidence.report_data();
            checks.demand(check, seen == expected, to_hex(expected), to_hex(seen))
        }
    }
}

fn parse(checks: &mut Checks<'_>, boot: &[u8], epoch: &[u8], crypto: &dyn Crypto) -> Option<Attested> {
    let boot_parsed = BootStatement::parse(boot, crypto)
        .and_then(|statement| Ok((statement.receipt_key(crypto)?, statement)));
    let epoch_parsed = EpochStatement::parse(epoch);
    let mut readable = |rule, error: Option<&vouchsafe_receipt::Error>| match error {
        None => {}
        Some(error) => {
            let check = check(Step::Binding, rule, error.code());
            checks.fail(check, "a well-formed statement of version 1", error.to_string());
        }
    };
    readable("boot_statement", boot_parsed.as_ref().err());
    readable("epoch_statement", epoch_parsed.as_ref().err());
    let ((receipt_key, boot_statement), epoch_statement) = (boot_parsed.ok()?, epoch_parsed.ok()?);
    let digest = crypto.sha256(boot);
    let is_of_boot = checks.demand(
        check(Step::Binding, "epoch_of_boot", codes::EPOCH_OTHER_BOOT),
        epoch_statement.boot_statement.0 == digest,
        to_hex(&digest),
        epoch_statement.boot_statement.to_string(),
    );
    is_of_boot.then_some(Attested { boot: boot_statement, epoch: epoch_statement, receipt_key })
}

/// Holds what the boot states of itself against the policy: who runs it, whether receipts settle.
pub(super) fn boot(checks: &mut Checks<'_>, boot: &BootStatement) {
    let document = checks.document();
    let operator = boot.operator.as_deref();
    checks.rule(
        check(Step::Boot, "operator.identities", codes::OPERATOR_MISMATCH),
        &document.operator.identities,
        operator.map_or_else(|| String::from("none stated"), |operator| format!("{operator:?}")),
        |accepted| any_of(accepted.iter()),
        |accepted| operator.is_some_and(|operator| accepted.iter().any(|one| one == operator)),
    );
    if let (Rule::Require(_), Some(operator)) = (&document.operator.identities, operator) {
        checks.prove(
            Step::Boot,
            "operator",
            format!("The boot statement names the operator {operator:?}: that holds where the measurement covers the configuration."),
        );
    }
    settlement::promised(checks, boot);
    revoked::boot(checks, &boot.boot.0);
}

/// Holds the epoch against `now`, which is the moment of judging or the receipt's own time.
pub(super) fn epoch_freshness(checks: &mut Checks<'_>, epoch: &EpochStatement, now: UnixSeconds) {
    let end = UnixSeconds(epoch.not_after);
    let expired = check(Step::Freshness, "freshness.epoch_seconds_max", codes::EPOCH_EXPIRED);
    let seen = format!("ends at {end}");
    match &checks.document().freshness.epoch_seconds_max {
        Rule::Ignore(reason) => checks.ignore(expired, reason.as_str(), seen),
        Rule::Require(max) => {
            if checks.demand(expired, now <= end, format!("an epoch that lasts at {now}"), seen.clone()) {
                let too_long = check(Step::Freshness, expired.rule, codes::EPOCH_TOO_LONG);
                let ahead = end.0.saturating_sub(now.0);
                checks.demand(too_long, ahead <= *max, format!("at most {max} s after {now}"), seen);
            }
        }
    }
}

/// Says which hardware vouches, once its report is verified.
pub(super) fn prove_hardware(checks: &mut Checks<'_>, evidence: &VerifiedEvidence) {
    let machine = match (evidence.snp(), evidence.tdx()) {
        (Some(snp), _) => format!("AMD SEV-SNP processor ({})", snp.product()),
        (None, Some(_)) => "Intel TDX platform".into(),
        (None, None) => return,
    };
    match evidence.root() {
        vouchsafe_verifier::RootKind::Vendor => {
            let text = format!("A genuine {machine} signed the evidence, by its vendor's root.");
            checks.prove(Step::BootEvidence, "hardware", text);
        }
        vouchsafe_verifier::RootKind::Test { .. } => {
            let text =
                format!("A simulated {machine} signed the evidence: no hardware vouches for anything here.");
            checks.prove(Step::BootEvidence, "simulated_hardware", text);
        }
    }
}
