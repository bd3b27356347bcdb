//! Admission by the whole policy: every rule that speaks of a boot keeps one out, and so does everything
//! that is wrong with an epoch.

use std::sync::Arc;

use serde_json::{Value, json};
use vouchsafe_log::Log;
use vouchsafe_log::admission::{Admission as _, PolicyAdmission, Refusal};
use vouchsafe_log::blobs::BlobPool;
use vouchsafe_receipt::records::{endorsements_blob, evidence_blob};
use vouchsafe_receipt::{
    AttestedStatement, EndorsementsRecord, EpochRecord, EpochStatement, LogSettlement, PayloadType,
    Settlement, endorsements_leaf, envelope_leaf, report_data,
};
use vouchsafe_simulator::intel::TdxMachine;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex, to_hex};

use crate::admission::{Boot, Vendor};
use crate::common::Place;

pub(crate) const KEY: &str = "log.example/2026+a5a5a5a5+AaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWl";

/// A log's admission, without the program around it.
pub(crate) struct Desk {
    place: Place,
    blobs: Arc<BlobPool>,
    admission: PolicyAdmission,
    log: Log,
    /// Whether batches come to nothing, as on a full disk.
    pub(crate) is_failing: bool,
}

impl Desk {
    pub(crate) fn new(change: impl FnOnce(&mut Value)) -> Self {
        Self::over(Place::new(), change)
    }

    /// Admission into a log that there is, as after a restart.
    pub(crate) fn over(place: Place, change: impl FnOnce(&mut Value)) -> Self {
        let log = place.open().unwrap();
        let storage = log.storage().clone();
        let blobs = Arc::new(BlobPool::new(Arc::clone(&storage.blobs)));
        let policy = Vendor::get().policy_with(change);
        let admission = PolicyAdmission::new(policy, storage, Arc::clone(&blobs));
        Self { place, blobs, admission, log, is_failing: false }
    }

    pub(crate) fn into_place(self) -> Place {
        self.place
    }

    pub(crate) fn post(&self, blobs: impl IntoIterator<Item = Vec<u8>>) {
        blobs.into_iter().for_each(|blob| self.blobs.hold(Ring.sha256(&blob), blob.into()));
    }

    /// Submits leaves, appends those that are admitted, and says what came of each.
    pub(crate) fn submit(&mut self, leaves: &[&[u8]], at: UnixSeconds) -> Vec<&'static str> {
        let has = |leaf: &&&[u8]| crate::common::all_leaves(self.log.storage()).iter().any(|l| l == **leaf);
        let known: Vec<&[u8]> = leaves.iter().filter(has).copied().collect();
        let new: Vec<&[u8]> = leaves.iter().filter(|leaf| !has(leaf)).copied().collect();
        let judged = self.admission.admit(&new, &known, at);
        if !self.is_failing {
            let admitted: Vec<_> = judged.iter().flatten().map(|admitted| admitted.leaf.clone()).collect();
            self.log.append(&admitted).unwrap();
        }
        let code = |judged: Result<_, Refusal>| match judged {
            Ok(_) => "ok",
            Err(Refusal::Code(code)) => code,
            Err(Refusal::Unavailable(error)) => panic!("{error}"),
        };
        judged.into_iter().map(code).collect()
    }

    pub(crate) fn boot(&mut self, boot: &Boot, at: UnixSeconds) -> &'static str {
        self.post(boot.blobs());
        self.submit(&[&boot.boot_leaf(), &boot.endorsements_leaf()], at)[0]
    }
}

/// An epoch's leaf and its blobs.
pub(crate) fn epoch(boot: &Boot, number: u64, attested: &AttestedStatement) -> (Vec<u8>, [Vec<u8>; 2]) {
    let record = EpochRecord::of(boot.key.id(), number, attested, &Ring);
    let leaf = envelope_leaf(&boot.sign(PayloadType::Epoch, &record.to_bytes())).unwrap();
    (leaf, [attested.statement.0.clone(), evidence_blob(&attested.evidence)])
}

/// An epoch of `boot`, its statement changed, attested by `machine`.
pub(crate) fn attested(
    boot: &Boot,
    machine: &TdxMachine,
    change: impl FnOnce(&mut EpochStatement),
) -> AttestedStatement {
    let mut statement = EpochStatement {
        version: 1,
        boot_statement: Hex(Ring.sha256(&boot.attested.statement.0)),
        epoch: 0,
        checkpoint: None,
        tenants: None,
        not_after: Vendor::get().now.0 + 3_600,
    };
    change(&mut statement);
    let statement = statement.to_bytes();
    let evidence = machine.evidence(report_data::epoch(&statement, &Ring));
    AttestedStatement { statement: Base64(statement), evidence }
}

fn measures(mrtd: [u8; 48]) -> Value {
    let any = json!({"ignore": "not what this test is about"});
    json!({"require": [{
        "name": "image", "computed": "by this test",
        "digests": {"platform": "tdx", "mrtd": {"require": [to_hex(&mrtd)]},
            "rtmr0": any, "rtmr1": any, "rtmr2": any, "rtmr3": any},
    }]})
}

pub(crate) fn settling() -> Settlement {
    let witnesses = vec![KEY.replace("log.example/2026", "witness.example/w").replace("+Aa", "+BK")];
    Settlement::Log(LogSettlement { key: KEY.into(), witnesses, quorum: 1, bound_s: 60, unsettled_max: 16 })
}

#[test]
fn every_rule_about_boots_keeps_one_out() {
    let now = Vendor::get().now;
    let other_key = KEY.replace("2026", "2027");
    let other_witness = KEY.replace("log.example", "witness.example").replace("+Aa", "+BK");
    let cases: [(&str, Value, &str); 10] = [
        ("/measurements", measures([0x4e; 48]), "tdx_register_mismatch"),
        ("/platform/accepted", json!({"require": ["sev-snp"]}), "platform_not_accepted"),
        ("/platform/tdx/mrowner", json!({"require": ["11".repeat(48)]}), "tdx_mrowner_mismatch"),
        ("/operator/identities", json!({"require": ["Somebody Else"]}), "operator_mismatch"),
        ("/models", json!({"require": [{"name": "m", "manifest": "11".repeat(32)}]}), "model_mismatch"),
        (
            "/engine/identities",
            json!({"require": [{"name": "e", "version": "2", "kernel": "k"}]}),
            "engine_mismatch",
        ),
        ("/settlement/bound", json!({"require": 59}), "settlement_bound_above_policy"),
        ("/log/inclusion", json!({"require": [{"key": other_key}]}), "log_not_trusted"),
        (
            "/witnesses/quorum",
            json!({"require": {"keys": [other_witness], "threshold": 1}}),
            "witnesses_not_trusted",
        ),
        ("/settlement/promised", json!({"require": true}), "settlement_none"),
    ];
    for (rule, value, code) in cases {
        let set = |json: &mut Value| {
            *json.pointer_mut(rule).expect(rule) = value.clone();
            if rule == "/witnesses/quorum" {
                // Witnesses are of a log.
                *json.pointer_mut("/log/inclusion").unwrap() = json!({"require": [{"key": KEY}]});
            }
        };
        let mut desk = Desk::new(set);
        let boot = Boot::with(Vendor::get(), |statement| {
            statement.operator = Some("Operator & Sons".into());
            statement.settlement = if code == "settlement_none" { Settlement::None } else { settling() };
        });
        assert_eq!(desk.boot(&boot, now), code, "{rule}");
        assert_eq!(desk.log.head().head.size, 0, "{rule}");
        // The same boot, where the policy asks for nothing more than its evidence.
        assert_eq!(Desk::new(|_| ()).boot(&boot, now), "ok", "{rule}");
    }
    let mut desk = Desk::new(|json| *json.pointer_mut("/measurements").unwrap() = measures([0x4d; 48]));
    assert_eq!(desk.boot(&Boot::new(), now), "ok", "the right measurement");
    // Endorsements that are not valid at the moment of judging.
    for at in [UnixSeconds(now.0 + 10 * 365 * 86_400), UnixSeconds(now.0 - 10 * 365 * 86_400)] {
        assert_ne!(Desk::new(|_| ()).boot(&Boot::new(), at), "ok", "{at}");
    }
    drop(desk.place);
}

#[test]
fn everything_wrong_with_an_epoch_keeps_it_out() {
    let now = Vendor::get().now;
    let mut desk = Desk::new(|_| ());
    let boot = Boot::new();
    assert_eq!(desk.boot(&boot, now), "ok");
    let other_machine = Vendor::get().machine([0x4e; 48], now);
    let other_boot = Boot::new();
    let mut unbound = attested(&boot, &boot.machine, |_| ());
    unbound.evidence = boot.machine.evidence([9; 64]);
    let mut malformed = attested(&boot, &boot.machine, |_| ());
    malformed.statement.0.push(b'x');
    malformed.evidence = boot.machine.evidence(report_data::epoch(&malformed.statement.0, &Ring));
    let cases = [
        (attested(&boot, &other_machine, |_| ()), "machine_mismatch"),
        (
            attested(&boot, &boot.machine, |statement| {
                statement.boot_statement = Hex(Ring.sha256(&other_boot.attested.statement.0));
            }),
            "epoch_of_other_boot",
        ),
        (attested(&boot, &boot.machine, |statement| statement.epoch = 1), "epoch_mismatch"),
        (unbound, "epoch_report_data_mismatch"),
        (malformed, "payload_malformed"),
    ];
    for (attested, code) in cases {
        let (leaf, blobs) = epoch(&boot, 0, &attested);
        assert_eq!(desk.submit(&[&leaf], now), ["blob_missing"], "{code}");
        desk.post(blobs);
        assert_eq!(desk.submit(&[&leaf], now), [code]);
    }
    let good = attested(&boot, &boot.machine, |_| ());
    let (leaf, blobs) = epoch(&boot, 0, &good);
    desk.post(blobs);
    assert_eq!(desk.submit(&[&leaf], now), ["ok"]);
    // Of a boot that is not in the log.
    let stranger = attested(&other_boot, &other_boot.machine, |_| ());
    let (leaf, blobs) = epoch(&other_boot, 0, &stranger);
    desk.post(blobs);
    assert_eq!(desk.submit(&[&leaf], now), ["boot_not_admitted"]);
}

#[test]
fn later_epochs_bring_newer_endorsements() {
    let now = Vendor::get().now;
    let later = UnixSeconds(now.0 + 40 * 86_400);
    let mut desk = Desk::new(|_| ());
    let boot = Boot::new();
    assert_eq!(desk.boot(&boot, now), "ok");
    let (leaf, blobs) = epoch(&boot, 900, &attested(&boot, &boot.machine, |it| it.epoch = 900));
    desk.post(blobs);
    // The boot's own have expired by then.
    let code = desk.submit(&[&leaf], later)[0];
    assert!(code != "ok" && code != "blob_missing", "{code}");
    let endorsements = Vendor::get().machine([0x4d; 48], later).endorsements().unwrap();
    let record = endorsements_leaf(&EndorsementsRecord::of(boot.key.id(), &endorsements, &Ring));
    desk.post([endorsements_blob(&endorsements)]);
    assert_eq!(desk.submit(&[&record], later), ["endorsements_without_boot"]);
    assert_eq!(desk.submit(&[&leaf, &record], later), ["ok", "ok"]);
    // The next epoch names them again: they are in the log.
    let (next, blobs) = epoch(&boot, 901, &attested(&boot, &boot.machine, |it| it.epoch = 901));
    desk.post(blobs);
    assert_eq!(desk.submit(&[&next, &record], later), ["ok"]);
}

/// Evidence is dear to verify, and anyone may submit.
#[test]
fn one_submission_has_so_many_new_boots_judged_and_no_more() {
    let now = Vendor::get().now;
    let mut desk = Desk::new(|_| ());
    let (boot, honest) = (Boot::new(), Boot::new());
    // Each is another leaf, since its signature is.
    let leaves: Vec<_> = (0..66).map(|_| boot.boot_leaf()).collect();
    let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    let codes = desk.submit(&leaves, now);
    assert_eq!(codes.iter().filter(|code| **code == "blob_missing").count(), 64);
    assert_eq!(codes[64..], ["boots_too_many"; 2]);
    assert_eq!(desk.boot(&honest, now), "ok", "of another submission");
}
