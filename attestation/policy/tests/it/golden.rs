//! Evidence and answers that are wrong in as many ways as possible at once, and what policies say of each: every
//! code, so that whatever a policy no longer objects to is missed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use vouchsafe_bundle::{EvidenceInputs, Inputs, Policy, Verdict, appraise_evidence, verify_bundle_json};
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec, Tcb, VekKind};
use vouchsafe_simulator::intel::{IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use crate::common::*;

/// 2025-01-01T00:00:00Z, when the authorities begin.
const BEGIN: UnixSeconds = UnixSeconds(1_735_689_600);
/// 2026-01-01T00:00:00Z, when machines are endorsed and the golden answers were given.
const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
const MEASUREMENT: [u8; 48] = [0x4d; 48];

/// DEBUG and MIGRATE_MA of a guest's policy (AMD 56860, table "Guest Policy").
const DEBUG_AND_MIGRATION: u64 = 1 << 19 | 1 << 18;

struct Recorded {
    evidence: Vec<(Evidence, Endorsements)>,
    roots: Vec<String>,
}

/// One of each platform with everything wrong that a report can have wrong, and one that is merely someone's.
fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-amd-milan");
        let amd = AmdAuthority::load_or_generate(&folder, Product::Milan, BEGIN).unwrap();
        let mut spec = SnpMachineSpec::typical(&amd, NOW);
        spec.vek = VekKind::Vlek { csp_id: "provider".into() };
        spec.tcb = Tcb { fmc: 0, boot_loader: 0, tee: 0, snp: 0, microcode: 0 };
        let mut snp = SnpMachine::new(&amd, &spec, MEASUREMENT, &mut OsRng).unwrap();
        let fields = snp.fields_mut();
        (fields.vmpl, fields.platform_info) = (1, 0);
        fields.policy |= DEBUG_AND_MIGRATION;
        let mut unlisted = snp.endorsements();
        if let Endorsements::SevSnp(endorsements) = &mut unlisted {
            endorsements.crl = None;
        }
        let intel = IntelAuthority::generate(BEGIN).unwrap();
        let mut tdx = TdxMachine::new(&intel, &TdxMachineSpec::typical(&intel, NOW), MEASUREMENT).unwrap();
        for level in &mut tdx.collateral_mut().tcb_info.tcb_levels {
            level.tcb_status = "OutOfDate".into();
            level.advisory_ids = vec!["INTEL-SA-00960".into()];
        }
        let attributes = &mut tdx.body_mut().td_attributes;
        attributes[0] |= 1;
        attributes[3] = (attributes[3] & !0x10) | 0x20;
        let mut evidence =
            vec![(snp.evidence([9; 64]), unlisted), (tdx.evidence([9; 64]), tdx.endorsements().unwrap())];
        let td15 = TdxMachineSpec { quote_version: 5, is_td15: true, ..TdxMachineSpec::typical(&intel, NOW) };
        let mut td15 = TdxMachine::new(&intel, &td15, MEASUREMENT).unwrap();
        td15.body_mut().td15.as_mut().unwrap().mr_service_td = [1; 48];
        let mut padded = td15.evidence([9; 64]);
        if let Evidence::Tdx { quote, .. } = &mut padded {
            quote.0.extend([0; 8]);
        }
        evidence.push((padded, td15.endorsements().unwrap()));
        let mut roots: Vec<_> =
            [amd.ark_der(), intel.root_der()].map(|root| to_hex(&Ring.sha256(root))).into();
        let golden: Value = serde_json::from_slice(&golden_file("v1-settled/policy.json")).unwrap();
        roots.extend(
            golden["trust"]["simulated_roots"]["require"]
                .as_array()
                .unwrap()
                .iter()
                .map(|root| root.as_str().unwrap().into()),
        );
        let plain: Value = serde_json::from_slice(&golden_file("v1/policy.json")).unwrap();
        roots.extend(
            plain["trust"]["simulated_roots"]["require"]
                .as_array()
                .unwrap()
                .iter()
                .map(|root| root.as_str().unwrap().into()),
        );
        for product in [Product::Genoa, Product::Turin] {
            let folder =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("policy-amd-{}", product.name()));
            let amd = AmdAuthority::load_or_generate(&folder, product, BEGIN).unwrap();
            roots.push(to_hex(&Ring.sha256(amd.ark_der())));
            evidence.extend(one_below(&amd, product));
        }
        Recorded { evidence, roots }
    })
}

/// Of a product machines that lack one level of one component each, of what the production template demands.
fn one_below(amd: &AmdAuthority, product: Product) -> Vec<(Evidence, Endorsements)> {
    let template = shipped("production-snp");
    let floor = &template["platform"]["snp"]["minimum_tcb"]["require"][product.name()];
    let level =
        |part: &str| floor.get(part).map_or(0, |level| u8::try_from(level.as_u64().unwrap()).unwrap());
    let floor = Tcb {
        fmc: level("fmc"),
        boot_loader: level("bootloader"),
        tee: level("tee"),
        snp: level("snp"),
        microcode: level("microcode"),
    };
    let lower = |level: u8| level.checked_sub(1);
    let lacking = [
        lower(floor.fmc).map(|fmc| Tcb { fmc, ..floor }),
        lower(floor.boot_loader).map(|boot_loader| Tcb { boot_loader, ..floor }),
        lower(floor.tee).map(|tee| Tcb { tee, ..floor }),
        lower(floor.snp).map(|snp| Tcb { snp, ..floor }),
        lower(floor.microcode).map(|microcode| Tcb { microcode, ..floor }),
    ];
    let machine = |tcb: Tcb| {
        let spec = SnpMachineSpec { tcb, ..SnpMachineSpec::typical(amd, NOW) };
        let machine = SnpMachine::new(amd, &spec, MEASUREMENT, &mut OsRng).unwrap();
        (machine.evidence([9; 64]), machine.endorsements())
    };
    lacking.into_iter().flatten().map(machine).collect()
}

/// The log that the golden answers settled in, as policies name it.
pub(crate) fn log() -> Value {
    let golden: Value = serde_json::from_slice(&golden_file("v1-settled/policy.json")).unwrap();
    golden["log"]["inclusion"]["require"][0].clone()
}

/// The policy that accepts the answer that settled.
pub(crate) fn policy() -> Value {
    serde_json::from_slice(&golden_file("v1-settled/policy.json")).unwrap()
}

/// The model that gave it, by both of its digests.
pub(crate) fn model() -> Value {
    use vouchsafe_receipt::BootStatement;
    let bundle = vouchsafe_bundle::Bundle::parse(&golden_file("v1-settled/settled.json")).unwrap();
    let boot = BootStatement::parse(&bundle.parts().boot.statement.0, &Ring).unwrap();
    let model = &boot.models[0];
    json!({"manifest": to_hex(&model.digest(&Ring)), "weights": to_hex(&model.files[0].sha256.0)})
}

fn golden_file(name: &str) -> Vec<u8> {
    std::fs::read(root().join("attestation/bundle/tests/data").join(name)).unwrap()
}

/// Of each golden case every code that a policy gives it.
pub(crate) fn verdicts(document: &Value) -> Vec<BTreeSet<String>> {
    let recorded = recorded();
    // The roots of what is recorded are simulated. Whatever else a policy says is left as it is.
    let mut pinned = document.clone();
    let is_evidence = document["purpose"] == "evidence";
    pinned["purpose"] = json!("simulation");
    pinned["trust"]["simulated_roots"] = json!({"require": recorded.roots});
    let policy = parse(&pinned);
    let codes = |verdict: &Verdict| {
        let codes = verdict.findings().iter().filter_map(|finding| finding.code);
        codes.map(str::to_owned).chain([verdict.decision().as_str().to_owned()]).collect::<BTreeSet<_>>()
    };
    let mut all = Vec::new();
    for (evidence, endorsements) in &recorded.evidence {
        let inputs = EvidenceInputs::new(NOW);
        all.push(codes(&appraise_evidence(evidence, Some(endorsements), &policy, &inputs, &Ring)));
    }
    if !is_evidence {
        let later = Inputs::new(UnixSeconds(NOW.0 + 30));
        for bundle in ["v1/plain.json", "v1-settled/settled.json", "v1-settled/unsettled.json"] {
            all.push(codes(&verify_bundle_json(&golden_file(bundle), &policy, &later, &Ring)));
        }
    }
    all.extend(of_real_hardware(document).iter().map(codes));
    all
}

/// A report and a quote of real processors, under the policy as it is.
fn of_real_hardware(document: &Value) -> Vec<Verdict> {
    let Some(all) = crate::monotone::recorded() else { return Vec::new() };
    let policy: Policy = parse(document);
    let judge = |(evidence, endorsements, at): &(Evidence, Endorsements, UnixSeconds)| {
        appraise_evidence(evidence, Some(endorsements), &policy, &EvidenceInputs::new(*at), &Ring)
    };
    all.iter().map(judge).collect()
}
