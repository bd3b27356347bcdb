//! What a boot signs: statements, evidence, receipts, streams. With simulated hardware.

use std::path::Path;
use std::sync::{Mutex, OnceLock};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::Policy;
use vouchsafe_receipt::stream::{Head, StreamHead, StreamStart};
use vouchsafe_receipt::{
    Assurance, AttestationDocument, AttestedStatement, BootKeys, BootStatement, ChallengeAnswer,
    EngineIdentity, Envelope, EpochStatement, ExecutionOpening, ExecutionRecord, ModelFile, ModelManifest,
    Opening, PayloadType, ReceiptKey, ReceiptPayload, RequestOpening, ResponseOpening, Settlement, pae,
    receipt_leaf_hash, report_data, to_low_s,
};
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};

const DAY: u64 = 86_400;
const MEASUREMENT: [u8; 48] = [0x5a; 48];
const STREAM: [u8; 32] = [0x77; 32];

pub(crate) fn now() -> u64 {
    vouchsafe_client::now().unwrap().0
}

/// The simulated authority. Its RSA keys take a while to make, so they are kept between runs.
fn authority() -> &'static AmdAuthority {
    static AUTHORITY: OnceLock<AmdAuthority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client-authority");
        AmdAuthority::load_or_generate(&folder, Product::Genoa, UnixSeconds(now() - 2 * DAY)).unwrap()
    })
}

/// The shipped policy for simulation, with this authority's root.
pub(crate) fn policy() -> Policy {
    let json = include_bytes!("../../../../policies/simulated.json");
    Policy::parse(json).unwrap().with_simulated_root(Ring.sha256(authority().ark_der())).unwrap()
}

/// One boot of an enclave.
pub(crate) struct Boot {
    key: EcdsaKeyPair,
    receipt_spki: Vec<u8>,
    machine: SnpMachine,
    statement: Vec<u8>,
    model: ModelManifest,
    engine: EngineIdentity,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    seq: u64,
    previous: Option<[u8; 32]>,
}

impl Boot {
    /// A boot whose statement names this TLS key.
    pub(crate) fn new(tls_spki: &[u8]) -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let receipt_spki = ReceiptKey::spki_of_point(key.public_key().as_ref().try_into().unwrap());
        let spec = SnpMachineSpec::typical(authority(), UnixSeconds(now() - DAY));
        let machine = SnpMachine::new(authority(), &spec, MEASUREMENT, &mut OsRng).unwrap();
        let file = ModelFile { name: "m.gguf".into(), sha256: Hex([1; 32]) };
        let model =
            ModelManifest { name: "m".into(), files: vec![file], tokenizer: None, chat_template: None };
        let engine = EngineIdentity { name: "test".into(), version: "1".into(), kernel: "none".into() };
        let statement = BootStatement {
            version: 1,
            boot: Hex(Ring.sha256(&receipt_spki)),
            keys: BootKeys { receipt: Base64(receipt_spki.clone()), tls: Base64(tls_spki.to_vec()) },
            models: vec![model.clone()],
            engine: engine.clone(),
            configuration: Hex([2; 32]),
            operator: None,
            settlement: Settlement::None,
        };
        let statement = statement.to_bytes();
        Self { key, receipt_spki, machine, statement, model, engine, state: Mutex::default() }
    }

    pub(crate) fn next_epoch(&self) {
        self.state.lock().unwrap().epoch += 1;
    }

    fn epoch_statement(&self) -> Vec<u8> {
        let epoch = EpochStatement {
            version: 1,
            boot_statement: Hex(Ring.sha256(&self.statement)),
            epoch: self.state.lock().unwrap().epoch,
            checkpoint: None,
            tenants: None,
            not_after: now() + 3600,
        };
        epoch.to_bytes()
    }

    /// What it presents of itself, with an answer to `nonce`.
    pub(crate) fn document(&self, nonce: Option<[u8; 32]>) -> AttestationDocument {
        let epoch = self.epoch_statement();
        let attested = |statement: &[u8], report_data| AttestedStatement {
            statement: Base64(statement.to_vec()),
            evidence: self.machine.evidence(report_data),
        };
        let challenge = nonce.map(|nonce| {
            let root = Ring.sha256(&[[0].as_slice(), &nonce].concat());
            ChallengeAnswer {
                nonce: Hex(nonce),
                leaf_index: 0,
                tree_size: 1,
                path: Vec::new(),
                evidence: self.machine.evidence(report_data::challenge(&epoch, &root, &Ring)),
            }
        });
        AttestationDocument {
            version: 1,
            boot: attested(&self.statement, report_data::boot(&self.statement, &Ring)),
            epoch: attested(&epoch, report_data::epoch(&epoch, &Ring)),
            challenge,
            endorsements: Some(self.machine.endorsements()),
        }
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        Ring.sha256(&self.receipt_spki)
    }

    fn sign(&self, kind: PayloadType, payload: Vec<u8>) -> Envelope {
        let signature = self.key.sign(&SystemRandom::new(), &pae(kind.as_str(), &payload)).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        Envelope::new(kind, payload, self.id(), signature)
    }

    pub(crate) fn start(&self, request: &RequestOpening, body: &[u8]) -> Envelope {
        let start = StreamStart {
            version: 1,
            boot: Hex(self.id()),
            epoch: self.state.lock().unwrap().epoch,
            stream: Hex(STREAM),
            model: Hex(self.model.digest(&Ring)),
            engine: Hex(self.engine.digest(&Ring)),
            request: Hex(request.commit(body, &Ring)),
            assurance: Assurance::Attested,
            checkpoint: None,
            unattested_time: now(),
        };
        self.sign(PayloadType::StreamStart, start.to_bytes())
    }

    pub(crate) fn head(&self, chain: &Head) -> Envelope {
        let head = StreamHead {
            version: 1,
            boot: Hex(self.id()),
            stream: Hex(STREAM),
            events: chain.events,
            head: Hex(chain.value),
        };
        self.sign(PayloadType::StreamHead, head.to_bytes())
    }

    /// A receipt and what opens it. `committed` is the response's body or the stream's head.
    pub(crate) fn receipt(
        &self,
        request: RequestOpening,
        body: &[u8],
        response: ResponseOpening,
        committed: &[u8],
    ) -> (Envelope, Opening) {
        let record = ExecutionRecord {
            version: 1,
            operation: "chat.completions".into(),
            model: "m".into(),
            parameters: Default::default(),
            seed: None,
            usage: None,
            finish_reasons: vec!["stop".into()],
            error: None,
        };
        let record = serde_json::to_string(&record).unwrap();
        let execution = ExecutionOpening { salt: Hex([3; 32]), record };
        let mut state = self.state.lock().unwrap();
        let payload = ReceiptPayload {
            version: 1,
            boot: Hex(self.id()),
            epoch: state.epoch,
            seq: state.seq,
            previous: state.previous.map(Hex),
            model: Some(Hex(self.model.digest(&Ring))),
            engine: Hex(self.engine.digest(&Ring)),
            request: Hex(request.commit(body, &Ring)),
            response: Hex(response.commit(committed, &Ring)),
            execution: Hex(execution.commit(&Ring)),
            assurance: Assurance::Attested,
            checkpoint: None,
            settle_by: None,
            unattested_time: now(),
        };
        let envelope = self.sign(PayloadType::Receipt, payload.to_bytes());
        state.seq += 1;
        state.previous = Some(receipt_leaf_hash(&envelope, &Ring));
        let opening = Opening {
            version: 1,
            request: Some(request),
            response: Some(response),
            execution: Some(execution),
        };
        (envelope, opening)
    }
}
