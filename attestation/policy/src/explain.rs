//! A policy in plain words: what it accepts, and what it leaves unproved.

use vouchsafe_bundle::Policy;
use vouchsafe_bundle::policy::{
    ModelReference, PlatformName, PolicyDocument, Purpose, ReferenceDigests, ReferenceValue, Rule, SnpRules,
    TdxRules, TrailingBytes,
};
use vouchsafe_verifier::encoding::Hex;

use crate::check::platforms;

/// Sentences, in the order in which people ask.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// What must hold.
    pub demands: Vec<String>,
    /// What is left open: each ignored rule with its reason.
    pub leaves_open: Vec<String>,
    /// What no policy can demand: words of `not_proved` that every verdict has, each with its sentence.
    pub never_shown: Vec<String>,
}

/// What verdicts by any policy leave open, of raw evidence and, from the fourth on, of enclaves and their answers.
const NEVER_SHOWN: [(&str, &str); 6] = [
    ("physical_attacks", "that nobody with physical access attacked the machine"),
    ("host_supplied_tables", "that tables and devices which the host supplies to the guest are harmless"),
    ("sizes_and_timing", "that sizes and timing of the traffic reveal nothing"),
    ("operator_uptime", "that the service keeps running, for everybody alike"),
    ("model_quality", "that an answer is true, safe or useful"),
    (
        "newest_receipts",
        "that a host which ended a boot did not lose its newest receipts: a monitor sees the hole",
    ),
];
const OF_EVIDENCE: usize = 3;

/// Explains a policy.
pub fn explain(policy: &Policy) -> Explanation {
    let document = policy.document();
    let mut demands = Vec::new();
    let mut say = |sentence: Option<String>| demands.extend(sentence);
    say(Some(purpose(document)));
    say(roots(document));
    if !document.platform.accepted.is_required() {
        say(Some("A machine of any platform is accepted that meets what is said of its platform.".into()));
    }
    for platform in platforms(document) {
        match platform {
            PlatformName::SevSnp => snp(&document.platform.snp).into_iter().for_each(|one| say(Some(one))),
            _ => tdx(&document.platform.tdx).into_iter().for_each(|one| say(Some(one))),
        }
    }
    if document.platform.report_data.is_required() {
        say(Some("For raw evidence REPORT_DATA is given, and matches.".into()));
    }
    say(measurements(document));
    for sentence in enclave(document) {
        say(Some(sentence));
    }
    let leaves_open =
        policy.ignored().into_iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
    let count = if document.purpose == Purpose::Evidence { OF_EVIDENCE } else { NEVER_SHOWN.len() };
    let never_shown = NEVER_SHOWN.iter().take(count).map(|(code, text)| format!("{code}: {text}")).collect();
    Explanation { demands, leaves_open, never_shown }
}

fn list<T: serde::Serialize>(values: &[T]) -> String {
    if values.is_empty() {
        return "nothing (the list is empty)".into();
    }
    let text = |value: &T| match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(value) => value.to_string(),
        Err(_) => String::new(),
    };
    values.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn purpose(document: &PolicyDocument) -> String {
    let name = &document.name;
    match document.purpose {
        Purpose::Production => format!("{name:?} judges enclaves on real machines, and their answers."),
        Purpose::Simulation => {
            format!("{name:?} is for development and tests: it may believe simulated hardware.")
        }
        _ => format!("{name:?} judges raw reports and quotes, without statements, receipts or models."),
    }
}

fn roots(document: &PolicyDocument) -> Option<String> {
    let vendors = document.trust.vendors.required()?;
    let simulated = document.trust.simulated_roots.required()?;
    let mut text = format!("Evidence must be signed under the built-in roots of: {}.", list(vendors));
    if !simulated.is_empty() {
        text.push_str(&format!(" So are simulated roots that anyone can make: {}.", list(simulated)));
    }
    Some(text)
}

fn demand(what: &str, rule: &Rule<bool>) -> Option<String> {
    rule.required().map(|value| {
        let word = if *value { "must" } else { "must not" };
        format!("{word} {what}")
    })
}

fn snp(rules: &SnpRules) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(products) = rules.products.required() {
        said.push(format!("SEV-SNP: the processor is one of {}.", list(products)));
    }
    for (product, floor) in rules.minimum_tcb.required().into_iter().flatten() {
        let fmc = floor.fmc.map(|fmc| format!("FMC {fmc}, ")).unwrap_or_default();
        said.push(format!(
            "SEV-SNP: firmware of {} is at least {fmc}bootloader {}, TEE {}, SNP {}, microcode {}, each by itself.",
            product.as_str(),
            floor.bootloader,
            floor.tee,
            floor.snp,
            floor.microcode
        ));
    }
    if let Some(max) = rules.vmpl_max.required() {
        said.push(format!("SEV-SNP: the report was asked for at VMPL {max} or below."));
    }
    let facts = [
        demand("be open to debugging by the host", &rules.debug),
        demand("be open to migration", &rules.migration),
        demand("run with sibling threads on", &rules.smt),
        demand("be bound to one socket", &rules.single_socket),
        demand("have error-correcting memory", &rules.ecc),
        demand("have power measurement by software off", &rules.rapl_disabled),
        demand("have ciphertext hidden from the host", &rules.ciphertext_hiding),
        demand("have been checked for aliased memory", &rules.alias_check),
    ];
    let facts: Vec<_> = facts.into_iter().flatten().collect();
    if !facts.is_empty() {
        said.push(format!("SEV-SNP: guest and machine {}.", facts.join("; ")));
    }
    if rules.crl.is_required() {
        said.push(
            "SEV-SNP: AMD's revocation list is at hand, current, and names none of the certificates.".into(),
        );
    }
    for (what, values) in [
        ("identity-key digest", rules.id_key_digests.required().map(|values| list(values))),
        ("author-key digest", rules.author_key_digests.required().map(|values| list(values))),
        ("host data", rules.host_data.required().map(|values| list(values))),
        ("chip", rules.chip_ids.required().map(|values| list(values))),
        ("kind of signing key", rules.signing_keys.required().map(|values| list(values))),
    ] {
        if let Some(values) = values {
            said.push(format!("SEV-SNP: the {what} is one of {values}."));
        }
    }
    said
}

fn tdx(rules: &TdxRules) -> Vec<String> {
    let mut said = Vec::new();
    for status in rules.tcb_statuses.required().into_iter().flatten() {
        let how_long = match status.grace_days {
            None => "without limit".to_owned(),
            Some(days) => format!("for {days} days after the date of its TCB level"),
        };
        said.push(format!("TDX: the TCB status {} is accepted {how_long}.", status.status));
    }
    if let Some(denied) = rules.advisories_denied.required() {
        said.push(format!("TDX: none of these advisories may apply: {}.", list(denied)));
    }
    match rules.advisories_tolerated.required() {
        Some(none) if none.is_empty() => said.push("TDX: no advisory may apply.".into()),
        Some(tolerated) => said.push(format!("TDX: no advisory may apply but: {}.", list(tolerated))),
        None => {}
    }
    if let Some(minimum) = rules.evaluation_number_min.required() {
        said.push(format!("TDX: TCB info and QE identity are of evaluation {minimum} or later."));
    }
    let facts = [
        demand("be open to debugging by the host", &rules.debug),
        demand("have SEPT_VE_DISABLE set", &rules.sept_ve_disable),
        demand("be open to migration", &rules.migratable),
    ];
    let facts: Vec<_> = facts.into_iter().flatten().collect();
    if !facts.is_empty() {
        said.push(format!("TDX: the TD {}.", facts.join("; ")));
    }
    for (is_required, sentence) in [
        (rules.no_service_td.is_required(), "TDX: no service TD is bound."),
        (rules.rtmrs_nonzero.is_required(), "TDX: not all RTMRs are zero."),
        (rules.event_log.is_required(), "TDX: an event log is at hand and replays to the RTMRs."),
    ] {
        if is_required {
            said.push(sentence.into());
        }
    }
    match rules.trailing_bytes.required() {
        Some(TrailingBytes::None) => said.push("TDX: nothing follows the quote.".into()),
        Some(_) => said.push("TDX: only zeros may follow the quote.".into()),
        None => {}
    }
    for (what, values) in [
        ("MRCONFIGID", rules.mrconfigid.required().map(|values| list(values))),
        ("MROWNER", rules.mrowner.required().map(|values| list(values))),
        ("MROWNERCONFIG", rules.mrownerconfig.required().map(|values| list(values))),
        ("platform (PPID)", rules.ppids.required().map(|values| list(values))),
    ] {
        if let Some(values) = values {
            said.push(format!("TDX: {what} is one of {values}."));
        }
    }
    said
}

fn measurements(document: &PolicyDocument) -> Option<String> {
    let values = document.measurements.required()?;
    let one = |value: &ReferenceValue| {
        let mut text = format!("{:?} ({})", value.name, value.digests.platform().as_str());
        text.push_str(&format!(", {}", digests(&value.digests)));
        if let Some(from) = value.valid_from {
            text.push_str(&format!(" from {}", from.0));
        }
        if let Some(until) = value.valid_until {
            text.push_str(&format!(" until {}", until.0));
        }
        if let Some(revoked) = &value.revoked {
            text.push_str(&format!(", revoked at {}: {}", revoked.at.0, revoked.reason));
        }
        text
    };
    let names: Vec<_> = values.iter().map(one).collect();
    let names = if names.is_empty() { "nothing (the list is empty)".into() } else { names.join("; ") };
    Some(format!("The guest measures to one of: {names}."))
}

/// What is measured, register by register.
fn digests(digests: &ReferenceDigests) -> String {
    match digests {
        ReferenceDigests::SevSnp { measurement } => format!("measurement {measurement}"),
        ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } => {
            let names = ["MRTD", "RTMR0", "RTMR1", "RTMR2", "RTMR3"];
            let register = |(name, rule): (&str, &Rule<Vec<Hex<48>>>)| match rule {
                Rule::Require(values) => format!("{name} {}", list(values).replace(", ", " or ")),
                Rule::Ignore(reason) => format!("{name} whatever it is ({})", reason.as_str()),
            };
            let registers = names.into_iter().zip([mrtd, rtmr0, rtmr1, rtmr2, rtmr3]);
            registers.map(register).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

fn model(model: &ModelReference) -> String {
    let digest = |what, digest: Option<Hex<32>>| digest.map(|digest| format!("{what} {digest}"));
    let digests = [digest("manifest", model.manifest), digest("weights", model.weights)];
    format!("{:?}, {}", model.name, digests.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

fn enclave(document: &PolicyDocument) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(identities) = document.operator.identities.required() {
        said.push(format!("The operator is one of: {}.", list(identities)));
    }
    if let Some(models) = document.models.required() {
        let models: Vec<_> = models.iter().map(model).collect();
        let models = if models.is_empty() { list::<String>(&[]) } else { models.join("; ") };
        said.push(format!("The model is one of: {models}."));
    }
    if let Some(engines) = document.engine.identities.required() {
        said.push(format!("The engine is one of: {}.", list(engines)));
    }
    for (name, value) in document.parameters.values.required().into_iter().flatten() {
        said.push(format!("The parameter {name} was {value}."));
    }
    for (is_required, sentence) in [
        (document.openings.request.is_required(), "The request is shown and matches the receipt."),
        (document.openings.response.is_required(), "The response is shown and matches the receipt."),
        (document.openings.execution.is_required(), "The execution record is shown and matches the receipt."),
        (
            document.sessions.challenge.is_required(),
            "A live enclave shows a fresh report over the client's nonce.",
        ),
        (
            document.settlement.promised.is_required(),
            "The enclave promises that its receipts settle into a log.",
        ),
    ] {
        if is_required {
            said.push(sentence.into());
        }
    }
    for (seconds, what) in [
        (document.settlement.bound.required(), "The promise is kept within"),
        (document.freshness.epoch_seconds_max.required(), "An epoch ends within"),
        (document.freshness.receipt_age_seconds_max.required(), "A receipt is not older than"),
    ] {
        if let Some(seconds) = seconds {
            said.push(format!("{what} {seconds} s."));
        }
    }
    if let Some(logs) = document.log.inclusion.required() {
        let keys: Vec<_> = logs.iter().map(|log| log.key.as_str()).collect();
        said.push(format!("The receipt is proved to be in one of these logs: {}.", list(&keys)));
    }
    if let Some(quorum) = document.witnesses.quorum.required() {
        let keys: Vec<_> = quorum.keys.iter().map(|key| key.as_str()).collect();
        said.push(format!("{} of these witnesses saw the log's state: {}.", quorum.threshold, list(&keys)));
    }
    if let Some(releases) = document.images.released.required() {
        said.push(format!(
            "The guest's image was released: {} of {} keys signed its manifest, which is in one of these logs.",
            releases.threshold,
            releases.keys.len()
        ));
    }
    if let Some(revocations) = document.revocations.list.required() {
        said.push(format!(
            "A list of revocations is at hand, at most {} s old and signed with {} of {} keys, that names none of this.",
            revocations.age_seconds_max,
            revocations.threshold,
            revocations.keys.len()
        ));
    }
    said
}
