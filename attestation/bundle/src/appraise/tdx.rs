//! Policy on verified TDX quotes.

use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::tdx::{ReplayedLog, TcbPart, TcbStatus, TdAttributes, VerifiedTdx};

use super::checks::{Checks, check};
use super::evidence::seconds_since;
use super::platform::any_of;
use super::snp::digest;
use crate::codes;
use crate::policy::{Rule, TrailingBytes};
use crate::verdict::Step;

const SECONDS_PER_DAY: u64 = 86_400;

/// Holds a verified quote against the section `platform.tdx`.
pub(super) fn appraise(checks: &mut Checks<'_>, step: Step, verified: &VerifiedTdx) {
    let rules = &checks.document().platform.tdx;
    tcb_status(checks, step, verified);
    advisories(checks, step, verified);
    let number = verified.evaluation_number();
    checks.rule(
        check(step, "platform.tdx.evaluation_number_min", codes::TDX_EVALUATION_NUMBER),
        &rules.evaluation_number_min,
        number.to_string(),
        |min| format!("at least {min}"),
        |min| number >= *min,
    );
    let attributes = verified.report().td_attributes;
    let bits: [(&'static str, &'static str, &Rule<bool>, bool); 3] = [
        ("platform.tdx.debug", codes::TDX_DEBUG, &rules.debug, attributes.is_under_debug()),
        (
            "platform.tdx.sept_ve_disable",
            codes::TDX_SEPT_VE_DISABLE,
            &rules.sept_ve_disable,
            attributes.contains(TdAttributes::SEPT_VE_DISABLE),
        ),
        (
            "platform.tdx.migratable",
            codes::TDX_MIGRATABLE,
            &rules.migratable,
            attributes.contains(TdAttributes::MIGRATABLE),
        ),
    ];
    for (path, code, rule, seen) in bits {
        checks
            .rule(check(step, path, code), rule, seen.to_string(), bool::to_string, |wanted| *wanted == seen);
    }
    shape(checks, step, verified);
    let report = verified.report();
    digest(
        checks,
        check(step, "platform.tdx.mrconfigid", codes::TDX_MRCONFIGID),
        &rules.mrconfigid,
        Some(&report.mrconfigid),
    );
    digest(
        checks,
        check(step, "platform.tdx.mrowner", codes::TDX_MROWNER),
        &rules.mrowner,
        Some(&report.mrowner),
    );
    digest(
        checks,
        check(step, "platform.tdx.mrownerconfig", codes::TDX_MROWNERCONFIG),
        &rules.mrownerconfig,
        Some(&report.mrownerconfig),
    );
    digest(
        checks,
        check(step, "platform.tdx.ppids", codes::TDX_PPID),
        &rules.ppids,
        Some(verified.platform().ppid()),
    );
}

/// What must be absent, zero or at hand.
fn shape(checks: &mut Checks<'_>, step: Step, verified: &VerifiedTdx) {
    let rules = &checks.document().platform.tdx;
    let report = verified.report();
    let service_td = report.td_1_5.is_some_and(|td| td.mrservicetd != [0; 48]);
    checks.rule(
        check(step, "platform.tdx.no_service_td", codes::TDX_SERVICE_TD),
        &rules.no_service_td,
        if service_td { "MRSERVICETD is not zero" } else { "none" },
        |_| "no service TD".into(),
        |_| !service_td,
    );
    let trailing = verified.trailing();
    let code = if trailing.all_zero { codes::TDX_PADDING } else { codes::TDX_TRAILING };
    checks.rule(
        check(step, "platform.tdx.trailing_bytes", code),
        &rules.trailing_bytes,
        format!("{} bytes, {}", trailing.count, if trailing.all_zero { "all zero" } else { "not all zero" }),
        |accepted| accepted.as_str().into(),
        |accepted| match accepted {
            TrailingBytes::None => trailing.count == 0,
            TrailingBytes::Zeros => trailing.all_zero,
        },
    );
    let rtmrs_zero = report.rtmr.iter().all(|rtmr| *rtmr == [0; 48]);
    checks.rule(
        check(step, "platform.tdx.rtmrs_nonzero", codes::TDX_RTMRS_ZERO),
        &rules.rtmrs_nonzero,
        if rtmrs_zero { "all four are zero" } else { "not all are zero" },
        |_| "RTMRs that were extended".into(),
        |_| !rtmrs_zero,
    );
    let log = verified.event_log();
    checks.rule(
        check(step, "platform.tdx.event_log", codes::TDX_EVENT_LOG),
        &rules.event_log,
        log.map_or_else(|| "none".into(), |log| format!("{} events", log.events().len())),
        |_| "an event log that replays to the RTMRs".into(),
        |_| log.is_some(),
    );
    if let Some(log) = log {
        event_contents(checks, log);
    }
}

/// Says what a log that replays does not show.
fn event_contents(checks: &mut Checks<'_>, log: &ReplayedLog) {
    let events = log.events();
    let unbound = events.iter().filter(|event| event.bound_content().is_none()).count();
    if unbound > 0 {
        let text = format!(
            "What {unbound} of {} events of the log say: their digests are of something that is not in the log, or \
             nothing was extended. The contents that are proved stand in the claims; of no event's type or label \
             is it proved that it goes with its digest.",
            events.len()
        );
        checks.leave_unproved("event_contents", text);
    }
}

fn tcb_status(checks: &mut Checks<'_>, step: Step, verified: &VerifiedTdx) {
    const RULE: &str = "platform.tdx.tcb_statuses";
    let status = verified.tcb().status();
    let accepted = match &checks.document().platform.tdx.tcb_statuses {
        Rule::Ignore(reason) => {
            let check = check(step, RULE, codes::TDX_TCB_STATUS);
            return checks.ignore(check, reason.as_str(), status.as_str());
        }
        Rule::Require(accepted) => accepted,
    };
    let accepts = |status| accepted.iter().any(|rule| rule.status == status);
    let code = match status {
        _ if accepts(verified.tcb().launch_status()) => codes::TDX_TCB_CURRENT,
        TcbStatus::NoMatchingLevel => codes::TDX_TCB_NO_LEVEL,
        _ => codes::TDX_TCB_STATUS,
    };
    let not_accepted = check(step, RULE, code);
    let expected = any_of(accepted.iter().map(|rule| rule.status.as_str()));
    let Some(rule) = accepted.iter().find(|rule| rule.status == status) else {
        return checks.fail(not_accepted, expected, status.as_str());
    };
    let Some(days) = rule.grace_days else {
        checks.demand(not_accepted, true, expected, status.as_str());
        return;
    };
    let check = check(step, RULE, codes::TDX_TCB_GRACE);
    let expected = format!("{status} for at most {days} days after the date of its TCB level");
    match oldest_level(verified) {
        None => checks.fail(check, expected, "a TCB level without a date"),
        Some(date) => {
            let grace = u64::from(days).saturating_mul(SECONDS_PER_DAY);
            let holds = seconds_since(date, checks.at) <= grace;
            checks.demand(check, holds, expected, format!("{status} of {date}, judged at {}", checks.at));
        }
    }
}

/// The date of the oldest level among the parts that are not up to date; `None` when one of those has
/// no date at all.
fn oldest_level(verified: &VerifiedTdx) -> Option<UnixSeconds> {
    let tcb = verified.tcb();
    let parts = [
        Some(tcb.platform()),
        tcb.module().part(),
        tcb.current_platform(),
        tcb.current_module().and_then(|module| module.part()),
        Some(tcb.qe()),
    ];
    let behind = parts.into_iter().flatten().filter(|part| part.status() != TcbStatus::UpToDate);
    let dates: Option<Vec<UnixSeconds>> = behind.map(TcbPart::tcb_date).collect();
    dates?.into_iter().min()
}

fn advisories(checks: &mut Checks<'_>, step: Step, verified: &VerifiedTdx) {
    let rules = &checks.document().platform.tdx;
    let present = verified.tcb().advisories();
    let seen = match present.is_empty() {
        true => String::from("none"),
        false => present.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    checks.rule(
        check(step, "platform.tdx.advisories_denied", codes::TDX_ADVISORY_DENIED),
        &rules.advisories_denied,
        seen.clone(),
        |denied| format!("none of {}", denied.join(", ")),
        |denied| !denied.iter().any(|id| present.contains(id)),
    );
    checks.rule(
        check(step, "platform.tdx.advisories_tolerated", codes::TDX_ADVISORY_NOT_TOLERATED),
        &rules.advisories_tolerated,
        seen,
        |tolerated| match tolerated.is_empty() {
            true => String::from("none"),
            false => format!("at most {}", tolerated.join(", ")),
        },
        |tolerated| present.iter().all(|id| tolerated.contains(id)),
    );
}
