//! Whose word is believed, and what a machine must be.

use std::collections::BTreeMap;

use vouchsafe_bundle::policy::{PolicyDocument, Rule, SnpProduct, SnpTcb, TcbStatusRule, TrailingBytes};

use super::Changes;
use super::order::{any_of, at_least, at_most, both, demanded, exactly, none_of, shown};

pub(super) fn compare(changes: &mut Changes<'_>, old: &PolicyDocument, new: &mut PolicyDocument) {
    any_of(changes, "trust.vendors", &old.trust.vendors, &mut new.trust.vendors);
    any_of(changes, "trust.simulated_roots", &old.trust.simulated_roots, &mut new.trust.simulated_roots);
    any_of(changes, "platform.accepted", &old.platform.accepted, &mut new.platform.accepted);
    demanded(changes, "platform.report_data", &old.platform.report_data, &mut new.platform.report_data);
    snp(changes, old, new);
    tdx(changes, old, new);
}

fn snp(changes: &mut Changes<'_>, old: &PolicyDocument, new: &mut PolicyDocument) {
    let (old, new) = (&old.platform.snp, &mut new.platform.snp);
    any_of(changes, "platform.snp.products", &old.products, &mut new.products);
    floors(changes, &old.minimum_tcb, &mut new.minimum_tcb);
    at_most(changes, "platform.snp.vmpl_max", &old.vmpl_max, &mut new.vmpl_max);
    for (path, old, new) in [
        ("platform.snp.debug", &old.debug, &mut new.debug),
        ("platform.snp.migration", &old.migration, &mut new.migration),
        ("platform.snp.smt", &old.smt, &mut new.smt),
        ("platform.snp.single_socket", &old.single_socket, &mut new.single_socket),
        ("platform.snp.ecc", &old.ecc, &mut new.ecc),
        ("platform.snp.rapl_disabled", &old.rapl_disabled, &mut new.rapl_disabled),
        ("platform.snp.ciphertext_hiding", &old.ciphertext_hiding, &mut new.ciphertext_hiding),
        ("platform.snp.alias_check", &old.alias_check, &mut new.alias_check),
    ] {
        exactly(changes, path, old, new);
    }
    demanded(changes, "platform.snp.crl", &old.crl, &mut new.crl);
    any_of(changes, "platform.snp.signing_keys", &old.signing_keys, &mut new.signing_keys);
    any_of(changes, "platform.snp.id_key_digests", &old.id_key_digests, &mut new.id_key_digests);
    any_of(changes, "platform.snp.author_key_digests", &old.author_key_digests, &mut new.author_key_digests);
    any_of(changes, "platform.snp.host_data", &old.host_data, &mut new.host_data);
    any_of(changes, "platform.snp.chip_ids", &old.chip_ids, &mut new.chip_ids);
}

type Floors = Rule<BTreeMap<SnpProduct, SnpTcb>>;

/// A product without a floor is refused, so a floor more accepts more.
fn floors(changes: &mut Changes<'_>, old: &Floors, new: &mut Floors) {
    const PATH: &str = "platform.snp.minimum_tcb";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    for (product, _) in old.iter().filter(|(product, _)| !new.contains_key(product)) {
        changes.narrows(PATH, format!("no longer accepts {}", product.as_str()));
    }
    new.retain(|product, floor| {
        let product_name = product.as_str();
        let Some(before) = old.get(product) else {
            return changes.widens(PATH, format!("accepts {product_name} from {}", shown(floor)));
        };
        let mut component = |name: &str, was: u8, is: &mut u8| {
            let to = format!("{product_name}: {name} from {is}");
            let text = format!("{to}, before {was}");
            if *is > was {
                changes.narrows(PATH, text);
            } else if *is < was && !changes.widens_to(PATH, &to, text) {
                *is = was;
            }
        };
        // That exactly one family has this component was checked.
        if let (Some(was), Some(is)) = (before.fmc, &mut floor.fmc) {
            component("fmc", was, is);
        }
        component("bootloader", before.bootloader, &mut floor.bootloader);
        component("tee", before.tee, &mut floor.tee);
        component("snp", before.snp, &mut floor.snp);
        component("microcode", before.microcode, &mut floor.microcode);
        true
    });
}

fn tdx(changes: &mut Changes<'_>, old: &PolicyDocument, new: &mut PolicyDocument) {
    let (old, new) = (&old.platform.tdx, &mut new.platform.tdx);
    statuses(changes, &old.tcb_statuses, &mut new.tcb_statuses);
    let path = "platform.tdx.advisories_denied";
    none_of(changes, path, &old.advisories_denied, &mut new.advisories_denied);
    let path = "platform.tdx.advisories_tolerated";
    any_of(changes, path, &old.advisories_tolerated, &mut new.advisories_tolerated);
    let path = "platform.tdx.evaluation_number_min";
    at_least(changes, path, &old.evaluation_number_min, &mut new.evaluation_number_min);
    exactly(changes, "platform.tdx.debug", &old.debug, &mut new.debug);
    exactly(changes, "platform.tdx.sept_ve_disable", &old.sept_ve_disable, &mut new.sept_ve_disable);
    exactly(changes, "platform.tdx.migratable", &old.migratable, &mut new.migratable);
    demanded(changes, "platform.tdx.no_service_td", &old.no_service_td, &mut new.no_service_td);
    trailing(changes, &old.trailing_bytes, &mut new.trailing_bytes);
    demanded(changes, "platform.tdx.rtmrs_nonzero", &old.rtmrs_nonzero, &mut new.rtmrs_nonzero);
    demanded(changes, "platform.tdx.event_log", &old.event_log, &mut new.event_log);
    any_of(changes, "platform.tdx.mrconfigid", &old.mrconfigid, &mut new.mrconfigid);
    any_of(changes, "platform.tdx.mrowner", &old.mrowner, &mut new.mrowner);
    any_of(changes, "platform.tdx.mrownerconfig", &old.mrownerconfig, &mut new.mrownerconfig);
    any_of(changes, "platform.tdx.ppids", &old.ppids, &mut new.ppids);
}

type Statuses = Rule<Vec<TcbStatusRule>>;

fn statuses(changes: &mut Changes<'_>, old: &Statuses, new: &mut Statuses) {
    const PATH: &str = "platform.tdx.tcb_statuses";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    let days = |rule: &TcbStatusRule| rule.grace_days.map_or(u64::MAX, u64::from);
    let text = |rule: &TcbStatusRule| match rule.grace_days {
        None => format!("{}", rule.status),
        Some(days) => format!("{} for {days} days", rule.status),
    };
    for rule in old.iter().filter(|rule| !new.iter().any(|after| after.status == rule.status)) {
        changes.narrows(PATH, format!("no longer accepts {}", text(rule)));
    }
    new.retain_mut(|rule| match old.iter().find(|before| before.status == rule.status) {
        None => changes.widens(PATH, format!("also accepts {}", text(rule))),
        Some(before) => {
            let to = format!("accepts {}", text(rule));
            if days(rule) < days(before) {
                changes.narrows(PATH, format!("{to} only, before {}", text(before)));
            } else if days(rule) > days(before)
                && !changes.widens_to(PATH, &to, format!("{to}, before {}", text(before)))
            {
                rule.grace_days = before.grace_days;
            }
            true
        }
    });
}

/// Zeros after a quote accept nothing after it too.
fn trailing(changes: &mut Changes<'_>, old: &Rule<TrailingBytes>, new: &mut Rule<TrailingBytes>) {
    const PATH: &str = "platform.tdx.trailing_bytes";
    let Some((old, new)) = both(changes, PATH, old, new) else { return };
    if (*old, *new) == (TrailingBytes::Zeros, TrailingBytes::None) {
        changes.narrows(PATH, "no longer accepts zeros after a quote");
    } else if old != new && !changes.widens(PATH, "accepts zeros after a quote") {
        *new = *old;
    }
}
