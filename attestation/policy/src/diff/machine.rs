//! Whose word is believed, and what a machine must be.

use std::collections::BTreeMap;

use vouchsafe_bundle::policy::{PolicyDocument, Rule, SnpProduct, SnpTcb, TcbStatusRule, TrailingBytes};

use super::Changes;
use super::order::{any_of, at_least, at_most, both, demanded, exactly, none_of, shown};

pub(super) fn compare(changes: &mut Changes, old: &PolicyDocument, new: &PolicyDocument) {
    any_of(changes, "trust.vendors", &old.trust.vendors, &new.trust.vendors);
    any_of(changes, "trust.simulated_roots", &old.trust.simulated_roots, &new.trust.simulated_roots);
    any_of(changes, "platform.accepted", &old.platform.accepted, &new.platform.accepted);
    demanded(changes, "platform.report_data", &old.platform.report_data, &new.platform.report_data);
    snp(changes, old, new);
    tdx(changes, old, new);
}

fn snp(changes: &mut Changes, old: &PolicyDocument, new: &PolicyDocument) {
    let (old, new) = (&old.platform.snp, &new.platform.snp);
    any_of(changes, "platform.snp.products", &old.products, &new.products);
    floors(changes, &old.minimum_tcb, &new.minimum_tcb);
    at_most(changes, "platform.snp.vmpl_max", &old.vmpl_max, &new.vmpl_max);
    for (path, old, new) in [
        ("platform.snp.debug", &old.debug, &new.debug),
        ("platform.snp.migration", &old.migration, &new.migration),
        ("platform.snp.smt", &old.smt, &new.smt),
        ("platform.snp.single_socket", &old.single_socket, &new.single_socket),
        ("platform.snp.ecc", &old.ecc, &new.ecc),
        ("platform.snp.rapl_disabled", &old.rapl_disabled, &new.rapl_disabled),
        ("platform.snp.ciphertext_hiding", &old.ciphertext_hiding, &new.ciphertext_hiding),
        ("platform.snp.alias_check", &old.alias_check, &new.alias_check),
    ] {
        exactly(changes, path, old, new);
    }
    demanded(changes, "platform.snp.crl", &old.crl, &new.crl);
    any_of(changes, "platform.snp.signing_keys", &old.signing_keys, &new.signing_keys);
    any_of(changes, "platform.snp.id_key_digests", &old.id_key_digests, &new.id_key_digests);
    any_of(changes, "platform.snp.author_key_digests", &old.author_key_digests, &new.author_key_digests);
    any_of(changes, "platform.snp.host_data", &old.host_data, &new.host_data);
    any_of(changes, "platform.snp.chip_ids", &old.chip_ids, &new.chip_ids);
}

type Floors = Rule<BTreeMap<SnpProduct, SnpTcb>>;

/// A product without a floor is refused, so a floor more accepts more.
fn floors(changes: &mut Changes, old: &Floors, new: &Floors) {
    const PATH: &str = "platform.snp.minimum_tcb";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    for (product, floor) in new {
        let product_name = product.as_str();
        let Some(before) = old.get(product) else {
            changes.widens(PATH, format!("accepts {product_name} from {}", shown(floor)));
            continue;
        };
        for (component, was, is) in [
            ("fmc", before.fmc, floor.fmc),
            ("bootloader", Some(before.bootloader), Some(floor.bootloader)),
            ("tee", Some(before.tee), Some(floor.tee)),
            ("snp", Some(before.snp), Some(floor.snp)),
            ("microcode", Some(before.microcode), Some(floor.microcode)),
        ] {
            let (was, is) = (was.unwrap_or(0), is.unwrap_or(0));
            let text = format!("{product_name}: {component} from {is}, before {was}");
            if is < was {
                changes.widens(PATH, text);
            } else if is > was {
                changes.narrows(PATH, text);
            }
        }
    }
    for (product, _) in old.iter().filter(|(product, _)| !new.contains_key(product)) {
        changes.narrows(PATH, format!("no longer accepts {}", product.as_str()));
    }
}

fn tdx(changes: &mut Changes, old: &PolicyDocument, new: &PolicyDocument) {
    let (old, new) = (&old.platform.tdx, &new.platform.tdx);
    statuses(changes, &old.tcb_statuses, &new.tcb_statuses);
    let path = "platform.tdx.advisories_denied";
    none_of(changes, path, &old.advisories_denied, &new.advisories_denied);
    let path = "platform.tdx.advisories_tolerated";
    any_of(changes, path, &old.advisories_tolerated, &new.advisories_tolerated);
    let path = "platform.tdx.evaluation_number_min";
    at_least(changes, path, &old.evaluation_number_min, &new.evaluation_number_min);
    exactly(changes, "platform.tdx.debug", &old.debug, &new.debug);
    exactly(changes, "platform.tdx.sept_ve_disable", &old.sept_ve_disable, &new.sept_ve_disable);
    exactly(changes, "platform.tdx.migratable", &old.migratable, &new.migratable);
    demanded(changes, "platform.tdx.no_service_td", &old.no_service_td, &new.no_service_td);
    trailing(changes, &old.trailing_bytes, &new.trailing_bytes);
    demanded(changes, "platform.tdx.rtmrs_nonzero", &old.rtmrs_nonzero, &new.rtmrs_nonzero);
    demanded(changes, "platform.tdx.event_log", &old.event_log, &new.event_log);
    any_of(changes, "platform.tdx.mrconfigid", &old.mrconfigid, &new.mrconfigid);
    any_of(changes, "platform.tdx.mrowner", &old.mrowner, &new.mrowner);
    any_of(changes, "platform.tdx.mrownerconfig", &old.mrownerconfig, &new.mrownerconfig);
    any_of(changes, "platform.tdx.ppids", &old.ppids, &new.ppids);
}

type Statuses = Rule<Vec<TcbStatusRule>>;

fn statuses(changes: &mut Changes, old: &Statuses, new: &Statuses) {
    const PATH: &str = "platform.tdx.tcb_statuses";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    let days = |rule: &TcbStatusRule| rule.grace_days.map_or(u64::MAX, u64::from);
    let text = |rule: &TcbStatusRule| match rule.grace_days {
        None => format!("{}", rule.status),
        Some(days) => format!("{} for {days} days", rule.status),
    };
    for rule in new {
        match old.iter().find(|before| before.status == rule.status) {
            None => changes.widens(PATH, format!("also accepts {}", text(rule))),
            Some(before) if days(rule) > days(before) => {
                changes.widens(PATH, format!("accepts {}, before {}", text(rule), text(before)));
            }
            Some(before) if days(rule) < days(before) => {
                changes.narrows(PATH, format!("accepts {} only, before {}", text(rule), text(before)));
            }
            Some(_) => {}
        }
    }
    for rule in old.iter().filter(|rule| !new.iter().any(|after| after.status == rule.status)) {
        changes.narrows(PATH, format!("no longer accepts {}", text(rule)));
    }
}

/// Zeros after a quote accept nothing after it too.
fn trailing(changes: &mut Changes, old: &Rule<TrailingBytes>, new: &Rule<TrailingBytes>) {
    const PATH: &str = "platform.tdx.trailing_bytes";
    match both(changes, PATH, old, new) {
        Some((TrailingBytes::None, TrailingBytes::Zeros)) => {
            changes.widens(PATH, "accepts zeros after a quote")
        }
        Some((TrailingBytes::Zeros, TrailingBytes::None)) => {
            changes.narrows(PATH, "no longer accepts zeros after a quote");
        }
        _ => {}
    }
}
