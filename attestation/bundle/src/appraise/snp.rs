//! Policy on verified SEV-SNP reports.

use vouchsafe_verifier::encoding::{Hex, to_hex};
use vouchsafe_verifier::snp::{Tcb, VerifiedSnp};

use super::checks::{Checks, check};
use super::platform::any_of;
use crate::codes;
use crate::policy::{Rule, SnpTcb};
use crate::verdict::Step;

/// Holds a verified report against the section `platform.snp`.
pub(super) fn appraise(checks: &mut Checks<'_>, step: Step, verified: &VerifiedSnp) {
    let rules = &checks.document().platform.snp;
    let report = verified.report();
    let product = verified.product();
    checks.rule(
        check(step, "platform.snp.products", codes::SNP_PRODUCT),
        &rules.products,
        product.name(),
        |products| any_of(products.iter().map(|product| product.as_str())),
        |products| products.iter().any(|accepted| *accepted == product),
    );
    minimum_tcb(checks, step, verified);
    checks.rule(
        check(step, "platform.snp.vmpl_max", codes::SNP_VMPL),
        &rules.vmpl_max,
        report.vmpl().to_string(),
        |max| format!("at most {max}"),
        |max| u32::from(report.vmpl()) <= *max,
    );
    let (policy, info) = (report.policy(), report.platform_info());
    let bits: [(&'static str, &'static str, &Rule<bool>, bool); 8] = [
        ("platform.snp.debug", codes::SNP_DEBUG, &rules.debug, policy.debug_allowed()),
        ("platform.snp.migration", codes::SNP_MIGRATION, &rules.migration, policy.migrate_ma_allowed()),
        ("platform.snp.smt", codes::SNP_SMT, &rules.smt, info.smt_enabled()),
        (
            "platform.snp.single_socket",
            codes::SNP_SINGLE_SOCKET,
            &rules.single_socket,
            policy.single_socket(),
        ),
        ("platform.snp.ecc", codes::SNP_ECC, &rules.ecc, info.ecc_enabled()),
        ("platform.snp.rapl_disabled", codes::SNP_RAPL, &rules.rapl_disabled, info.rapl_disabled()),
        (
            "platform.snp.ciphertext_hiding",
            codes::SNP_CIPHERTEXT_HIDING,
            &rules.ciphertext_hiding,
            info.ciphertext_hiding_enabled(),
        ),
        ("platform.snp.alias_check", codes::SNP_ALIAS_CHECK, &rules.alias_check, info.alias_check_complete()),
    ];
    for (path, code, rule, seen) in bits {
        checks
            .rule(check(step, path, code), rule, seen.to_string(), bool::to_string, |wanted| *wanted == seen);
    }
    checks.rule(
        check(step, "platform.snp.crl", codes::SNP_CRL),
        &rules.crl,
        if verified.crl_checked() { "consulted" } else { "none at hand" },
        |_| "AMD's revocation list consulted".into(),
        |_| verified.crl_checked(),
    );
    let kind = verified.vek_kind();
    checks.rule(
        check(step, "platform.snp.signing_keys", codes::SNP_SIGNING_KEY),
        &rules.signing_keys,
        kind.to_string(),
        |kinds| any_of(kinds.iter().map(|kind| kind.as_str())),
        |kinds| kinds.iter().any(|accepted| *accepted == kind),
    );
    identities(checks, step, verified);
}

/// Who vouches for the guest, what the host said of it, and on which chip it runs.
fn identities(checks: &mut Checks<'_>, step: Step, verified: &VerifiedSnp) {
    let rules = &checks.document().platform.snp;
    let report = verified.report();
    digest(
        checks,
        check(step, "platform.snp.id_key_digests", codes::SNP_ID_KEY),
        &rules.id_key_digests,
        report.id_key_digest(),
    );
    digest(
        checks,
        check(step, "platform.snp.author_key_digests", codes::SNP_AUTHOR_KEY),
        &rules.author_key_digests,
        report.author_key_digest(),
    );
    digest(
        checks,
        check(step, "platform.snp.host_data", codes::SNP_HOST_DATA),
        &rules.host_data,
        Some(report.host_data()),
    );
    digest(checks, check(step, "platform.snp.chip_ids", codes::SNP_CHIP), &rules.chip_ids, report.chip_id());
}

/// Holds a field that may be absent against a list of accepted values.
pub(super) fn digest<const N: usize>(
    checks: &mut Checks<'_>,
    check: super::checks::Check,
    rule: &Rule<Vec<Hex<N>>>,
    seen: Option<&[u8; N]>,
) {
    checks.rule(
        check,
        rule,
        seen.map_or_else(|| String::from("none"), |seen| to_hex(seen)),
        |accepted| any_of(accepted.iter().map(Hex::to_string)),
        |accepted| seen.is_some_and(|seen| accepted.iter().any(|one| one.0 == *seen)),
    );
}

/// Compares REPORTED_TCB component by component: the current one may be newer, but what the signing
/// key was derived for is the one that counts.
fn minimum_tcb(checks: &mut Checks<'_>, step: Step, verified: &VerifiedSnp) {
    let check = check(step, "platform.snp.minimum_tcb", codes::SNP_TCB);
    let reported = verified.reported_tcb();
    let seen = tcb_text(reported.fmc, reported.bootloader, reported.tee, reported.snp, reported.microcode);
    let product = verified.product();
    checks.rule(
        check,
        &checks.document().platform.snp.minimum_tcb,
        seen,
        |floors| match floors.iter().find(|(name, _)| **name == product) {
            Some((_, floor)) => format!(
                "at least {}",
                tcb_text(floor.fmc, floor.bootloader, floor.tee, floor.snp, floor.microcode)
            ),
            None => format!("a minimum for {product}, which the policy lacks"),
        },
        |floors| floors.iter().any(|(name, floor)| *name == product && reaches(&reported, floor)),
    );
}

fn reaches(tcb: &Tcb, floor: &SnpTcb) -> bool {
    let fmc = match (tcb.fmc, floor.fmc) {
        (Some(level), Some(floor)) => level >= floor,
        (_, None) => true,
        (None, Some(_)) => false,
    };
    fmc && tcb.bootloader >= floor.bootloader
        && tcb.tee >= floor.tee
        && tcb.snp >= floor.snp
        && tcb.microcode >= floor.microcode
}

fn tcb_text(fmc: Option<u8>, bootloader: u8, tee: u8, snp: u8, microcode: u8) -> String {
    let fmc = fmc.map(|fmc| format!("fmc {fmc}, ")).unwrap_or_default();
    format!("{fmc}bootloader {bootloader}, tee {tee}, snp {snp}, microcode {microcode}")
}
