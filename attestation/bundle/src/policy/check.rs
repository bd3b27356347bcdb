//! Decisions that contradict each other, or the policy's purpose.

use vouchsafe_receipt::ReceiptKey;
use vouchsafe_receipt::threshold::SIGNATURES_MAX;
use vouchsafe_translog::Algorithm;
use vouchsafe_translog::quorum::WITNESSES_MAX;
use vouchsafe_verifier::encoding::Base64;

use super::document::{PolicyDocument, Purpose};
use super::platform::{PlatformName, SnpProduct};
use super::reference::ReferenceValue;
use super::rule::Rule;
use crate::Error;

/// Refuses a document whose decisions cannot stand together.
pub(super) fn check(document: &PolicyDocument) -> Result<(), Error> {
    check_trust(document)?;
    check_platform(document)?;
    check_measurements(document)?;
    check_models(document)?;
    check_log(document)?;
    check_revocations(document)?;
    check_images(document)?;
    match document.purpose {
        Purpose::Production => check_production(document),
        Purpose::Simulation | Purpose::Evidence => Ok(()),
    }
}

fn contradiction(path: impl Into<String>, why: impl Into<String>) -> Error {
    Error::PolicyContradiction { path: path.into(), why: why.into() }
}

/// Puts a name among those seen, which are in order; whether it is new.
fn note<'a>(seen: &mut Vec<&'a str>, name: &'a str) -> bool {
    let place = seen.binary_search(&name);
    if let Err(place) = place {
        seen.insert(place, name);
    }
    place.is_err()
}

fn check_trust(document: &PolicyDocument) -> Result<(), Error> {
    if !document.trust.vendors.is_required() {
        return Err(contradiction("trust.vendors", "roots of trust can't be ignored: name them, or none"));
    }
    let Rule::Require(roots) = &document.trust.simulated_roots else {
        return Err(contradiction(
            "trust.simulated_roots",
            "roots of trust can't be ignored: name them, or none",
        ));
    };
    if !roots.is_empty() && document.purpose != Purpose::Simulation {
        let purpose = document.purpose.as_str();
        let why = format!("a policy of purpose {purpose} can't believe simulated roots");
        return Err(contradiction("trust.simulated_roots", why));
    }
    Ok(())
}

fn check_platform(document: &PolicyDocument) -> Result<(), Error> {
    let snp = &document.platform.snp;
    if let (Rule::Require(products), Rule::Require(floors)) = (&snp.products, &snp.minimum_tcb)
        && let Some(product) = products.iter().find(|product| !floors.contains_key(product))
    {
        let why = format!("{} is accepted by products and has no minimum here", product.as_str());
        return Err(contradiction("platform.snp.minimum_tcb", why));
    }
    if let Rule::Require(floors) = &snp.minimum_tcb {
        for (product, floor) in floors {
            if floor.fmc.is_some() != (*product == SnpProduct::Turin) {
                let why = format!("{}: exactly Turin has the component fmc", product.as_str());
                return Err(contradiction("platform.snp.minimum_tcb", why));
            }
        }
    }
    let tdx = &document.platform.tdx;
    if let (Rule::Require(denied), Rule::Require(tolerated)) =
        (&tdx.advisories_denied, &tdx.advisories_tolerated)
        && let Some(both) = denied.iter().find(|id| tolerated.contains(id))
    {
        let why = format!("{both} is tolerated and denied");
        return Err(contradiction("platform.tdx.advisories_denied", why));
    }
    if let Rule::Require(statuses) = &tdx.tcb_statuses {
        let mut seen = Vec::new();
        for rule in statuses {
            if !note(&mut seen, rule.status.as_str()) {
                let why = format!("{} is named twice", rule.status);
                return Err(contradiction("platform.tdx.tcb_statuses", why));
            }
        }
    }
    Ok(())
}

fn check_measurements(document: &PolicyDocument) -> Result<(), Error> {
    let Rule::Require(values) = &document.measurements else { return Ok(()) };
    let mut names = Vec::new();
    for value in values {
        if !note(&mut names, &value.name) {
            return Err(contradiction("measurements", format!("the name {:?} is given twice", value.name)));
        }
        check_validity(value)?;
    }
    Ok(())
}

fn check_validity(value: &ReferenceValue) -> Result<(), Error> {
    let name = &value.name;
    if let (Some(from), Some(until)) = (value.valid_from, value.valid_until)
        && from >= until
    {
        let why = format!("{name:?} is valid from {} until {}: never", from.0, until.0);
        return Err(contradiction("measurements", why));
    }
    if let (Some(from), Some(revoked)) = (value.valid_from, &value.revoked)
        && revoked.at < from
    {
        let why = format!("{name:?} is revoked at {}, before it is valid at {}", revoked.at.0, from.0);
        return Err(contradiction("measurements", why));
    }
    Ok(())
}

fn check_models(document: &PolicyDocument) -> Result<(), Error> {
    let Rule::Require(models) = &document.models else { return Ok(()) };
    match models.iter().find(|model| model.manifest.is_none() && model.weights.is_none()) {
        Some(model) => {
            let why = format!("{:?} names neither a manifest nor a weights file", model.name);
            Err(contradiction("models", why))
        }
        None => Ok(()),
    }
}

fn check_log(document: &PolicyDocument) -> Result<(), Error> {
    const QUORUM: &str = "witnesses.quorum";
    if let Rule::Require(logs) = &document.log.inclusion
        && let Some(log) = logs.iter().find(|log| log.key.algorithm() != Algorithm::Ed25519)
    {
        let why = format!("{} is not a log's key: it is not of type 0x01", log.key.as_str());
        return Err(contradiction("log.inclusion", why));
    }
    let Rule::Require(quorum) = &document.witnesses.quorum else { return Ok(()) };
    if !document.log.inclusion.is_required() {
        return Err(contradiction(QUORUM, "witnesses cosign a log's checkpoint: require log.inclusion too"));
    }
    let mut seen = Vec::new();
    for key in &quorum.keys {
        if key.algorithm() != Algorithm::CosignatureV1 {
            let why = format!("{} is not a witness's key: it is not of type 0x04", key.as_str());
            return Err(contradiction(QUORUM, why));
        }
        if !note(&mut seen, key.as_str()) {
            return Err(contradiction(QUORUM, format!("{} is named twice", key.as_str())));
        }
    }
    let witnesses = u64::try_from(quorum.keys.len()).unwrap_or(u64::MAX);
    if quorum.threshold == 0 {
        return Err(contradiction(QUORUM, "a threshold of zero trusts nobody's eyes"));
    }
    // No witness at all accepts nothing, as every empty list; some, but too few, are a mistake.
    if witnesses != 0 && quorum.threshold > witnesses {
        let why = format!("a threshold of {} of {witnesses} witnesses", quorum.threshold);
        return Err(contradiction(QUORUM, why));
    }
    if quorum.keys.len() > WITNESSES_MAX {
        return Err(contradiction(QUORUM, format!("more than {WITNESSES_MAX} witnesses")));
    }
    Ok(())
}

fn check_revocations(document: &PolicyDocument) -> Result<(), Error> {
    let Rule::Require(reference) = &document.revocations.list else { return Ok(()) };
    check_signers("revocations.list", &reference.keys, reference.threshold)
}

fn check_images(document: &PolicyDocument) -> Result<(), Error> {
    const RELEASED: &str = "images.released";
    let Rule::Require(reference) = &document.images.released else { return Ok(()) };
    if !document.log.inclusion.is_required() {
        return Err(contradiction(RELEASED, "releases are in a log: require log.inclusion too"));
    }
    check_signers(RELEASED, &reference.keys, reference.threshold)
}

fn check_signers(path: &str, keys: &[Base64], threshold: u64) -> Result<(), Error> {
    if let Some(place) = keys.iter().position(|key| !ReceiptKey::is_spki(&key.0)) {
        return Err(contradiction(path, format!("key {place} is not a P-256 SubjectPublicKeyInfo")));
    }
    if keys.iter().enumerate().any(|(place, key)| keys.iter().take(place).any(|before| before == key)) {
        return Err(contradiction(path, "a key is named twice"));
    }
    if keys.len() > SIGNATURES_MAX {
        return Err(contradiction(path, format!("more than {SIGNATURES_MAX} keys")));
    }
    if threshold == 0 {
        return Err(contradiction(path, "a threshold of zero believes anybody"));
    }
    let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    // As with witnesses: nobody at all accepts nothing; some, but too few, are a mistake.
    if count != 0 && threshold > count {
        return Err(contradiction(path, format!("a threshold of {threshold} of {count} keys")));
    }
    Ok(())
}

/// What a production policy can't waive: each of these would accept what is not a confidential
/// machine running known code, or receipts that no auditor ever sees.
fn check_production(document: &PolicyDocument) -> Result<(), Error> {
    let refuse = |path: &str, why: &str| Err(contradiction(path, format!("a production policy {why}")));
    if !document.settlement.promised.is_required() {
        return refuse("settlement.promised", "can't accept enclaves whose receipts never settle");
    }
    if !document.measurements.is_required() {
        return refuse("measurements", "must say what a guest measures to");
    }
    let Rule::Require(platforms) = &document.platform.accepted else {
        return refuse("platform.accepted", "must say which platforms it accepts");
    };
    if platforms.contains(&PlatformName::SevSnp) && document.platform.snp.debug != Rule::Require(false) {
        return refuse("platform.snp.debug", "must refuse guests that the host may debug");
    }
    if platforms.contains(&PlatformName::Tdx) && document.platform.tdx.debug != Rule::Require(false) {
        return refuse("platform.tdx.debug", "must refuse TDs that the host may debug");
    }
    Ok(())
}
