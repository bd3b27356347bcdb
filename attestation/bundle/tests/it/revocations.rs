//! Urgent revocations: what is revoked is refused by name, what was logged before stays what it was, and
//! a policy that requires a list accepts nothing without a current one.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::policy::{Moment, PolicyDocument, RevocationReference, Rule};
use vouchsafe_bundle::{
    BundleParts, EvidenceInputs, Inputs, Policy, Verdict, appraise_boot, appraise_document,
    appraise_evidence, ear,
};
use vouchsafe_receipt::revocation::{AmdProduct, Registers, Revocation, Revoked};
use vouchsafe_receipt::threshold::KeySignature;
use vouchsafe_receipt::{ReceiptKey, RevocationList, SignedRevocations, VerifiedRevocations, to_low_s};
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{SnpMachine, SnpMachineSpec, VekKind};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Base64, Hex, from_hex};

use crate::common::*;
use crate::logs::Log;

const DAY: u64 = 86_400;
/// When witnesses had seen the receipts in the log.
const LOGGED: UnixSeconds = UnixSeconds(NOW.0 + 3);
const LATER: UnixSeconds = UnixSeconds(NOW.0 + 30);

/// Who may revoke.
struct Authority {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Authority {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, spki }
    }

    fn require(&self, document: &mut PolicyDocument) {
        let keys = vec![Base64(self.spki.clone())];
        document.revocations.list =
            Rule::Require(RevocationReference { keys, threshold: 1, age_seconds_max: DAY });
    }

    /// A list that revokes these from a moment on, issued at `NOW`.
    fn list(&self, revoked: impl IntoIterator<Item = Revoked>, at: UnixSeconds) -> VerifiedRevocations {
        let one = |(place, revokes): (usize, Revoked)| Revocation {
            name: format!("matter {place}"),
            revokes,
            at: Moment(at),
            reason: "for a test".into(),
        };
        let list = RevocationList {
            version: 1,
            serial: 1,
            issued: Moment(NOW),
            expires: Moment(UnixSeconds(NOW.0 + 2 * DAY)),
            revocations: revoked.into_iter().enumerate().map(one).collect(),
        };
        let mut signed = SignedRevocations::unsigned(list).unwrap();
        let signature = self.pair.sign(&SystemRandom::new(), &signed.pae()).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        let key_id = ReceiptKey::from_spki(&self.spki, &Ring).unwrap().id();
        signed.add(KeySignature { key_id, signature });
        let policy = policy_with(|document| self.require(document));
        signed.verify(&policy.revocation_signers(&Ring).unwrap(), &Ring).unwrap()
    }
}

/// A policy that trusts this log and requires a list.
fn requiring(authority: &Authority, log: &Log) -> Policy {
    policy_with(|document| {
        log.require(document);
        authority.require(document);
    })
}

fn judged(
    parts: &BundleParts,
    policy: &Policy,
    list: Option<&VerifiedRevocations>,
    at: UnixSeconds,
) -> Verdict {
    let inputs = inputs(Some(REQUEST), Some(RESPONSE));
    judge(parts, policy, &Inputs { at, revocations: list, ..inputs })
}

fn claim<const N: usize>(claims: &serde_json::Value, name: &str) -> Hex<N> {
    let text = claims[name].as_str().unwrap_or_else(|| panic!("{name}: {claims}"));
    Hex(from_hex(text).unwrap())
}

/// Every kind of thing that can be revoked of an answer, with the word of its refusal.
fn kinds(enclave: &Enclave) -> Vec<(Revoked, &'static str)> {
    let id = Hex(enclave.key.id());
    let of_machine = match &enclave.machine {
        Machine::Snp(machine) => vec![
            (Revoked::ChipId(Hex(machine.fields().chip_id)), "chip_revoked"),
            (Revoked::Measurement(Hex(MEASUREMENT)), "image_revoked"),
            (Revoked::Product(AmdProduct::Genoa), "processor_revoked"),
        ],
        Machine::Tdx(_) => {
            let verdict = judge(&enclave.plain(), &policy(), &inputs(None, None));
            let claims = verdict.claims().unwrap();
            let registers = Registers {
                mrtd: Some(Hex(MEASUREMENT)),
                rtmr0: None,
                rtmr1: None,
                rtmr2: Some(claim(claims, "rtmr2")),
                rtmr3: None,
            };
            vec![
                (Revoked::Ppid(claim(claims, "ppid")), "chip_revoked"),
                (Revoked::Registers(registers), "image_revoked"),
                (Revoked::Fmspc(claim(claims, "fmspc")), "processor_revoked"),
            ]
        }
    };
    let of_boot = [(Revoked::Boot(id), "boot_revoked"), (Revoked::ReceiptKey(id), "receipt_key_revoked")];
    of_machine.into_iter().chain(of_boot).collect()
}

#[test]
fn what_is_revoked_is_refused_and_what_was_logged_before_stays_good() {
    let (log, authority) = (Log::new(), Authority::new());
    let policy = requiring(&authority, &log);
    for machine in [Machine::snp(), Machine::tdx()] {
        let mut enclave = Enclave::new(machine);
        enclave.boot.settlement = log.settlement();
        enclave.rebind();
        let settled = log.settled(&enclave);
        let accepted = judged(&settled, &policy, Some(&authority.list([], NOW)), LATER);
        assert_accepted(&accepted);
        assert!(proved(&accepted).contains(&"not_revoked"));
        for (revoked, code) in kinds(&enclave) {
            // From after the receipt was logged on: as of now refused, as logged good.
            let list = authority.list([revoked.clone()], UnixSeconds(LOGGED.0 + 1));
            let verdict = judged(&settled, &policy, Some(&list), LATER);
            assert_rejected(&verdict, code);
            assert!(!proved(&verdict).contains(&"not_revoked"), "{code}");
            let logged = verdict.as_logged().unwrap();
            assert_eq!((logged.verdict.as_str(), logged.at), ("accepted", LOGGED), "{code}");
            let detail = verdict.detail().unwrap();
            assert!(detail.contains("matter 0") && detail.contains("for a test"), "{detail}");
            // From before on: never good.
            let list = authority.list([revoked.clone()], LOGGED);
            let verdict = judged(&settled, &policy, Some(&list), LATER);
            assert_eq!(verdict.as_logged().unwrap().code, Some(code));
            // From later on: good, and the verdict says until when.
            let list = authority.list([revoked.clone()], UnixSeconds(LATER.0 + 1));
            let verdict = judged(&settled, &policy, Some(&list), LATER);
            assert_accepted(&verdict);
            assert!(not_proved(&verdict).contains(&"revoked_later"), "{code}");
            // What never settled has no moment at which it was good.
            let list = authority.list([revoked], UnixSeconds(LOGGED.0 + 1));
            let unsettled = judged(&log.unsettled(&enclave), &policy, Some(&list), LATER);
            assert_eq!((unsettled.decision().as_str(), unsettled.as_logged()), ("rejected", None));
        }
        // What is another's is no concern.
        let others = [
            Revoked::Boot(Hex([1; 32])),
            Revoked::ReceiptKey(Hex([1; 32])),
            Revoked::ChipId(Hex([1; 64])),
            Revoked::Ppid(Hex([1; 16])),
            Revoked::Measurement(Hex([1; 48])),
            Revoked::Product(AmdProduct::Milan),
            Revoked::Fmspc(Hex([1; 6])),
            Revoked::Registers(Registers {
                mrtd: Some(Hex(MEASUREMENT)),
                rtmr0: None,
                rtmr1: None,
                rtmr2: None,
                rtmr3: Some(Hex([1; 48])),
            }),
        ];
        assert_accepted(&judged(&settled, &policy, Some(&authority.list(others, NOW)), LATER));
    }
}

/// A client that is told to demand a list is never content without a current one.
#[test]
fn no_list_and_an_old_list_are_no_list_of_nothing() {
    let (log, authority) = (Log::new(), Authority::new());
    let (policy, enclave) = (requiring(&authority, &log), log.enclave());
    let settled = log.settled(&enclave);
    assert_incomplete(&judged(&settled, &policy, None, LATER), "revocations_missing");
    let list = authority.list([], NOW);
    // The machine's certificates outlast the list.
    let at = |seconds: u64| judged(&settled, &policy, Some(&list), UnixSeconds(NOW.0 + seconds));
    assert_accepted(&at(30));
    assert_accepted(&at(DAY));
    assert_incomplete(&at(DAY + 1), "revocations_stale");
    // Old as it is, what it revokes is revoked.
    let boot = Revoked::Boot(Hex(enclave.key.id()));
    let old = judged(&settled, &policy, Some(&authority.list([boot], NOW)), UnixSeconds(NOW.0 + DAY + 1));
    assert_rejected(&old, "boot_revoked");
    // Expired before it is too old.
    let patient = policy_with(|document| {
        log.require(document);
        authority.require(document);
        let Rule::Require(reference) = &mut document.revocations.list else { panic!() };
        reference.age_seconds_max = 3 * DAY;
    });
    let at = |seconds: u64| judged(&settled, &patient, Some(&list), UnixSeconds(NOW.0 + seconds));
    assert_accepted(&at(2 * DAY - 1));
    assert_incomplete(&at(2 * DAY), "revocations_stale");
    // A list that is given under a policy that demands none is applied all the same.
    let lenient = policy_with(|document| log.require(document));
    assert_accepted(&judged(&settled, &lenient, Some(&list), LATER));
    let boot = Revoked::Boot(Hex(enclave.key.id()));
    assert_rejected(&judged(&settled, &lenient, Some(&authority.list([boot], NOW)), LATER), "boot_revoked");
}

#[test]
fn a_live_enclave_is_held_against_the_list_and_so_are_its_answers() {
    let (log, authority) = (Log::new(), Authority::new());
    let (policy, enclave) = (requiring(&authority, &log), log.enclave());
    let nonce = [7; 32];
    let attest = |list: Option<&VerifiedRevocations>| {
        let inputs = Inputs { revocations: list, ..Inputs::new(LATER) };
        appraise_document(&enclave.document(Some(nonce)), &policy, Some(&nonce), &inputs, &Ring)
    };
    assert_incomplete(&attest(None).unwrap_err(), "revocations_missing");
    let boot = || Revoked::Boot(Hex(enclave.key.id()));
    assert_rejected(&attest(Some(&authority.list([boot()], NOW))).unwrap_err(), "boot_revoked");
    // Announced for later: the enclave serves until then, and not a second longer.
    let announced = authority.list([boot()], UnixSeconds(LATER.0 + 10));
    let accepted = attest(Some(&announced)).unwrap();
    assert_eq!(accepted.revocations(), Some(&announced));
    assert!(accepted.is_list_fresh(LATER) && !accepted.is_list_fresh(UnixSeconds(NOW.0 + DAY + 1)));
    let parts = log.unsettled(&enclave);
    let answer = vouchsafe_bundle::Answer {
        receipt: parts.receipt.as_ref(),
        opening: parts.opening.as_ref(),
        request: Some(REQUEST),
        response: Some(RESPONSE),
        ..vouchsafe_bundle::Answer::default()
    };
    let verdict = accepted.check_answer(&answer, LATER, &Ring);
    assert_accepted(&verdict);
    let count = proved(&verdict).iter().filter(|word| **word == "not_revoked").count();
    assert_eq!(count, 1, "{:?}", proved(&verdict));
    assert_rejected(&accepted.check_answer(&answer, UnixSeconds(LATER.0 + 10), &Ring), "boot_revoked");
    // A log admits by what a policy says of boots; revocations are in its leaves, not before its door.
    assert!(
        appraise_boot(
            &enclave.attested_boot(),
            Some(&enclave.machine.endorsements()),
            &policy,
            &[],
            LATER,
            &Ring
        )
        .is_ok()
    );
}

/// A host can have a report leave out its chip where a provider's key signs it, which names none either.
#[test]
fn evidence_that_hides_its_chip_is_not_taken_for_another_chips() {
    let authority = Authority::new();
    let policy = policy_with(|document| authority.require(document));
    let judge = |machine: &SnpMachine, list: &VerifiedRevocations| {
        let inputs = EvidenceInputs {
            report_data: Some(&[9; 64]),
            revocations: Some(list),
            ..EvidenceInputs::new(NOW)
        };
        appraise_evidence(&machine.evidence([9; 64]), Some(&machine.endorsements()), &policy, &inputs, &Ring)
    };
    let revoked = authority.list([Revoked::ChipId(Hex(snp_machine().fields().chip_id))], NOW);
    assert_rejected(&judge(snp_machine(), &revoked), "chip_revoked");
    let mut spec = SnpMachineSpec::typical(amd(), NOW);
    spec.vek = VekKind::Vlek { csp_id: "provider".into() };
    let mut of_provider = SnpMachine::new(amd(), &spec, MEASUREMENT, &mut OsRng).unwrap();
    assert_incomplete(&judge(&of_provider, &revoked), "revocation_undecided");
    assert_accepted(&judge(&of_provider, &authority.list([], NOW)));
    of_provider.fields_mut().chip_id = [5; 64];
    assert_accepted(&judge(&of_provider, &revoked));
}

#[test]
fn an_attestation_result_says_what_is_revoked() {
    let (log, authority) = (Log::new(), Authority::new());
    let (policy, enclave) = (requiring(&authority, &log), log.enclave());
    let settled = log.settled(&enclave);
    for (revoked, code) in kinds(&enclave) {
        let verdict = judged(&settled, &policy, Some(&authority.list([revoked], NOW)), LATER);
        let claims = ear::claims(&verdict, LATER);
        let vector = &claims["submods"]["vm"]["ear.trustworthiness-vector"];
        let claim = match code {
            // Simulated hardware is not recognised in any case.
            "chip_revoked" | "processor_revoked" => continue,
            "image_revoked" => "executables",
            _ => "instance-identity",
        };
        assert_eq!(vector[claim], 96, "{code}: {claims}");
        assert_eq!(claims["submods"]["vm"]["ear.status"], "contraindicated");
    }
}
