//! What a policy accepts, or waives, that deserves a second look.

use vouchsafe_bundle::policy::{
    PlatformName, PolicyDocument, Purpose, ReferenceDigests, Rule, SnpProduct, TcbStatusRule,
};

use super::{Findings, platforms};

pub(super) fn check(document: &PolicyDocument, findings: &mut Findings) {
    if document.trust.simulated_roots.required().is_some_and(|roots| !roots.is_empty()) {
        findings.note("accepts_simulation", "trust.simulated_roots");
    }
    for platform in platforms(document) {
        match platform {
            PlatformName::SevSnp => snp(document, findings),
            _ => tdx(document, findings),
        }
    }
    if document.purpose != Purpose::Evidence {
        enclave(document, findings);
    }
}

/// Whether a rule that should demand `false` does.
fn lets_through(rule: &Rule<bool>) -> bool {
    *rule != Rule::Require(false)
}

fn snp(document: &PolicyDocument, findings: &mut Findings) {
    let rules = &document.platform.snp;
    if lets_through(&rules.debug) {
        findings.note("accepts_debug", "platform.snp.debug");
    }
    if lets_through(&rules.migration) {
        findings.note("accepts_migration", "platform.snp.migration");
    }
    if rules.products.required().is_none_or(|products| products.contains(&SnpProduct::Milan)) {
        findings.note("accepts_milan", "platform.snp.products");
    }
    if !rules.minimum_tcb.is_required() {
        findings.note("tcb_unbounded", "platform.snp.minimum_tcb");
    }
    if !rules.crl.is_required() {
        findings.note("crl_ignored", "platform.snp.crl");
    }
}

fn tdx(document: &PolicyDocument, findings: &mut Findings) {
    let rules = &document.platform.tdx;
    if lets_through(&rules.debug) {
        findings.note("accepts_debug", "platform.tdx.debug");
    }
    if lets_through(&rules.migratable) {
        findings.note("accepts_migration", "platform.tdx.migratable");
    }
    match &rules.tcb_statuses {
        Rule::Ignore(_) => findings.note("tcb_unbounded", "platform.tdx.tcb_statuses"),
        Rule::Require(statuses) => {
            let is_open =
                |rule: &&TcbStatusRule| rule.grace_days.is_none() && rule.status.as_str() != "UpToDate";
            for rule in statuses.iter().filter(is_open) {
                let text = format!("{} is accepted without a limit of days", rule.status);
                findings.add("grace_unlimited", "platform.tdx.tcb_statuses", text);
            }
        }
    }
    if !rules.evaluation_number_min.is_required() {
        findings.note("evaluation_unbounded", "platform.tdx.evaluation_number_min");
    }
    for (index, value) in document.measurements.required().into_iter().flatten().enumerate() {
        if let ReferenceDigests::Tdx { rtmr1, rtmr2, .. } = &value.digests
            && !(rtmr1.is_required() && rtmr2.is_required())
        {
            let text = format!("{:?} leaves RTMR1 or RTMR2 open", value.name);
            findings.add("kernel_unmeasured", format!("measurements.{index}"), text);
        }
    }
}

fn enclave(document: &PolicyDocument, findings: &mut Findings) {
    let waived = [
        (document.measurements.is_required(), "measurements_ignored", "measurements"),
        (document.models.is_required(), "models_ignored", "models"),
        (document.log.inclusion.is_required(), "log_ignored", "log.inclusion"),
        (document.witnesses.quorum.is_required(), "witnesses_ignored", "witnesses.quorum"),
        (document.sessions.challenge.is_required(), "challenge_ignored", "sessions.challenge"),
    ];
    for (_, name, path) in waived.into_iter().filter(|(is_required, _, _)| !is_required) {
        findings.note(name, path);
    }
    if let Some(quorum) = document.witnesses.quorum.required() {
        let witnesses = u64::try_from(quorum.keys.len()).unwrap_or(u64::MAX);
        if witnesses > 0 && quorum.threshold.saturating_mul(2) <= witnesses {
            let text = format!("{} of {witnesses} suffice", quorum.threshold);
            findings.add("quorum_weak", "witnesses.quorum", text);
        }
    }
}
