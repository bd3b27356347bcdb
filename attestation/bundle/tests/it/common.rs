//! A simulated enclave that boots, attests and answers as a real one does.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use vouchsafe_bundle::policy::{
    ModelReference, PolicyDocument, Reason, ReferenceDigests, ReferenceValue, Rule,
};
use vouchsafe_bundle::{Bundle, BundleParts, Inputs, Policy, StreamRecords, Verdict, verify_bundle};
use vouchsafe_receipt::stream::{Head, StreamHead, StreamStart};
use vouchsafe_receipt::{
    Assurance, AttestationDocument, AttestedStatement, BootKeys, BootStatement, ChallengeAnswer,
    EngineIdentity, Envelope, EpochStatement, ExecutionOpening, ExecutionRecord, ModelFile, ModelManifest,
    Opening, PayloadType, ReceiptKey, ReceiptPayload, RequestOpening, ResponseOpening, Settlement, Usage,
    pae, report_data, to_low_s,
};
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};
use vouchsafe_simulator::intel::{IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_translog::merkle;
use vouchsafe_verifier::crypto::{Crypto, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

/// 2025-01-01T00:00:00Z, when the authorities begin.
pub(crate) const BEGIN: UnixSeconds = UnixSeconds(1_735_689_600);
/// 2026-01-01T00:00:00Z, when machines are endorsed and answers given.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
pub(crate) const MEASUREMENT: [u8; 48] = [0x4d; 48];
pub(crate) const REQUEST: &[u8] = br#"{"model":"demo","messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const RESPONSE: &[u8] = br#"{"choices":[{"message":{"content":"hello"}}]}"#;
pub(crate) const EVENTS: [&str; 3] = [r#"{"delta":"hel"}"#, r#"{"delta":"lo"}"#, "[DONE]"];

/// The simulated AMD: made once per target directory, since RSA-4096 keys take seconds.
pub(crate) fn amd() -> &'static AmdAuthority {
    static AUTHORITY: OnceLock<AmdAuthority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bundle-amd-genoa");
        AmdAuthority::load_or_generate(&dir, Product::Genoa, BEGIN).unwrap_or_else(|_| {
            // What an earlier form of the simulator left behind is made anew.
            std::fs::remove_dir_all(&dir).unwrap();
            AmdAuthority::load_or_generate(&dir, Product::Genoa, BEGIN).unwrap()
        })
    })
}

/// The simulated Intel.
pub(crate) fn intel() -> &'static IntelAuthority {
    static AUTHORITY: OnceLock<IntelAuthority> = OnceLock::new();
    AUTHORITY.get_or_init(|| IntelAuthority::generate(BEGIN).unwrap())
}

/// A simulated chip with a guest.
pub(crate) fn snp_machine() -> &'static SnpMachine {
    static MACHINE: OnceLock<SnpMachine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let spec = SnpMachineSpec::typical(amd(), NOW);
        SnpMachine::new(amd(), &spec, MEASUREMENT, &mut OsRng).unwrap()
    })
}

/// What makes an enclave's reports.
pub(crate) enum Machine {
    Snp(Box<SnpMachine>),
    Tdx(Box<TdxMachine>),
}

impl Machine {
    /// Another guest on the one simulated chip: its certificates are made once, since RSA is slow.
    pub(crate) fn snp() -> Self {
        let mut machine = snp_machine().clone();
        SystemRandom::new().fill(&mut machine.fields_mut().report_id).unwrap();
        Self::Snp(Box::new(machine))
    }

    pub(crate) fn tdx() -> Self {
        let spec = TdxMachineSpec::typical(intel(), NOW);
        Self::Tdx(Box::new(TdxMachine::new(intel(), &spec, MEASUREMENT).unwrap()))
    }

    pub(crate) fn evidence(&self, report_data: [u8; 64]) -> Evidence {
        match self {
            Self::Snp(machine) => machine.evidence(report_data),
            Self::Tdx(machine) => machine.evidence(report_data),
        }
    }

    pub(crate) fn endorsements(&self) -> Endorsements {
        match self {
            Self::Snp(machine) => machine.endorsements(),
            Self::Tdx(machine) => machine.endorsements().unwrap(),
        }
    }
}

/// A booted enclave.
pub(crate) struct Enclave {
    pub(crate) machine: Machine,
    pair: EcdsaKeyPair,
    pub(crate) key: ReceiptKey,
    pub(crate) boot: BootStatement,
    pub(crate) epoch: EpochStatement,
}

impl Enclave {
    pub(crate) fn new(machine: Machine) -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        let key = ReceiptKey::from_spki(&spki, &Ring).unwrap();
        let boot = BootStatement {
            version: 1,
            boot: Hex(key.id()),
            keys: BootKeys { receipt: Base64(spki), tls: Base64(vec![7; 44]) },
            models: vec![ModelManifest {
                name: "demo".into(),
                files: vec![ModelFile { name: "demo.gguf".into(), sha256: Hex([1; 32]) }],
                tokenizer: Some(Hex([2; 32])),
                chat_template: None,
            }],
            engine: EngineIdentity { name: "engine".into(), version: "0.1.0".into(), kernel: "none".into() },
            configuration: Hex([3; 32]),
            operator: Some("operator.example".into()),
            settlement: Settlement::None,
        };
        let mut enclave = Self {
            machine,
            pair,
            key,
            boot,
            epoch: EpochStatement {
                version: 1,
                boot_statement: Hex([0; 32]),
                epoch: 0,
                checkpoint: None,
                tenants: None,
                not_after: NOW.0 + 3600,
            },
        };
        enclave.rebind();
        enclave
    }

    pub(crate) fn snp() -> Self {
        Self::new(Machine::snp())
    }

    /// Makes the epoch statement name the boot statement as it is now.
    pub(crate) fn rebind(&mut self) {
        self.epoch.boot_statement = Hex(Ring.sha256(&self.boot.to_bytes()));
    }

    pub(crate) fn attested_boot(&self) -> AttestedStatement {
        let statement = self.boot.to_bytes();
        let evidence = self.machine.evidence(report_data::boot(&statement, &Ring));
        AttestedStatement { statement: Base64(statement), evidence }
    }

    pub(crate) fn attested_epoch(&self) -> AttestedStatement {
        let statement = self.epoch.to_bytes();
        let evidence = self.machine.evidence(report_data::epoch(&statement, &Ring));
        AttestedStatement { statement: Base64(statement), evidence }
    }

    pub(crate) fn sign(&self, payload_type: PayloadType, payload: &[u8]) -> Envelope {
        let made = self.pair.sign(&SystemRandom::new(), &pae(payload_type.as_str(), payload)).unwrap();
        let signature = to_low_s(made.as_ref().try_into().unwrap());
        Envelope::new(payload_type, payload.to_vec(), self.key.id(), signature)
    }

    pub(crate) fn opening(&self, content_type: &str, status: u16) -> Opening {
        let record = ExecutionRecord {
            version: 1,
            operation: "chat.completions".into(),
            model: "demo".into(),
            parameters: [("temperature".into(), 0.0.into()), ("top_k".into(), 40.into())].into(),
            seed: Some("1".into()),
            usage: Some(Usage { prompt_tokens: 3, completion_tokens: 2 }),
            finish_reasons: vec!["stop".into()],
            error: None,
        };
        Opening {
            version: 1,
            request: Some(RequestOpening {
                salt: Hex([4; 32]),
                method: "POST".into(),
                path: "/v1/chat/completions".into(),
                content_type: "application/json".into(),
                nonce: String::new(),
                assurance: String::new(),
            }),
            response: Some(ResponseOpening { salt: Hex([5; 32]), status, content_type: content_type.into() }),
            execution: Some(ExecutionOpening {
                salt: Hex([6; 32]),
                record: serde_json::to_string(&record).unwrap(),
            }),
        }
    }

    /// A receipt's payload for an opening and what its response commitment covers.
    pub(crate) fn payload(&self, opening: &Opening, response: &[u8]) -> ReceiptPayload {
        ReceiptPayload {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: self.epoch.epoch,
            seq: 0,
            previous: None,
            model: Some(Hex(self.boot.models[0].digest(&Ring))),
            engine: Hex(self.boot.engine.digest(&Ring)),
            request: Hex(opening.request.as_ref().unwrap().commit(REQUEST, &Ring)),
            response: Hex(opening.response.as_ref().unwrap().commit(response, &Ring)),
            execution: Hex(opening.execution.as_ref().unwrap().commit(&Ring)),
            assurance: Assurance::Attested,
            checkpoint: None,
            settle_by: None,
            unattested_time: NOW.0,
        }
    }

    pub(crate) fn receipt(&self, payload: &ReceiptPayload) -> Envelope {
        self.sign(PayloadType::Receipt, &payload.to_bytes())
    }

    /// The bundle of a plain answer.
    pub(crate) fn plain(&self) -> BundleParts {
        let opening = self.opening("application/json", 200);
        let receipt = self.receipt(&self.payload(&opening, RESPONSE));
        self.parts(Some(receipt), Some(opening), None)
    }

    /// The bundle of a streamed answer, and the stream's text.
    pub(crate) fn streamed(&self) -> (BundleParts, String) {
        let opening = self.opening("text/event-stream", 200);
        let request = opening.request.as_ref().unwrap().commit(REQUEST, &Ring);
        let start = StreamStart {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: self.epoch.epoch,
            stream: Hex([8; 32]),
            model: Hex(self.boot.models[0].digest(&Ring)),
            engine: Hex(self.boot.engine.digest(&Ring)),
            request: Hex(request),
            assurance: Assurance::Attested,
            checkpoint: None,
            unattested_time: NOW.0,
        };
        let start = self.sign(PayloadType::StreamStart, &start.to_bytes());
        let chain = |events: &[&str]| {
            events.iter().fold(Head::begin(&start, &Ring), |head, event| head.extend(event.as_bytes(), &Ring))
        };
        let signed_head = chain(&EVENTS[..2]);
        let head = StreamHead {
            version: 1,
            boot: Hex(self.key.id()),
            stream: Hex([8; 32]),
            events: signed_head.events,
            head: Hex(signed_head.value),
        };
        let head = self.sign(PayloadType::StreamHead, &head.to_bytes());
        let receipt = self.receipt(&self.payload(&opening, &chain(&EVENTS).committed()));
        let text: String = EVENTS.iter().map(|event| format!("data: {event}\n\n: padding\n\n")).collect();
        (self.parts(Some(receipt), Some(opening), Some(StreamRecords { start, head: Some(head) })), text)
    }

    pub(crate) fn parts(
        &self,
        receipt: Option<Envelope>,
        opening: Option<Opening>,
        stream: Option<StreamRecords>,
    ) -> BundleParts {
        BundleParts {
            receipt,
            opening,
            stream,
            boot: self.attested_boot(),
            epoch: self.attested_epoch(),
            endorsements: Some(self.machine.endorsements()),
            proof: None,
            image: None,
        }
    }

    /// What the enclave presents of itself, answering `nonce` as the second of three.
    pub(crate) fn document(&self, nonce: Option<[u8; 32]>) -> AttestationDocument {
        let challenge = nonce.map(|nonce| {
            let leaves = [[1; 32], nonce, [2; 32]].map(|nonce| merkle::leaf_hash(&nonce, &Ring));
            let root = merkle::root(&leaves, &Ring);
            let path = merkle::inclusion_path(&leaves, 1, &Ring).unwrap();
            let data = report_data::challenge(&self.epoch.to_bytes(), &root, &Ring);
            ChallengeAnswer {
                nonce: Hex(nonce),
                leaf_index: 1,
                tree_size: 3,
                path: path.into_iter().map(Hex).collect(),
                evidence: self.machine.evidence(data),
            }
        });
        AttestationDocument {
            version: 1,
            boot: self.attested_boot(),
            epoch: self.attested_epoch(),
            challenge,
            endorsements: Some(self.machine.endorsements()),
        }
    }
}

/// The shipped policy for simulation, pinned to the test's roots, guest and model.
pub(crate) fn policy() -> Policy {
    let roots = [amd().ark_der(), intel().root_der()].map(|root| Ring.sha256(root));
    let digests = ReferenceDigests::SevSnp { measurement: Hex(MEASUREMENT) };
    let model = ModelReference { name: "demo".into(), manifest: None, weights: Some(Hex([1; 32])) };
    let policy = Policy::parse(&shipped("simulated")).unwrap();
    let policy = policy.with_simulated_root(roots[0]).unwrap().with_simulated_root(roots[1]).unwrap();
    let policy = policy.with_measurement(ReferenceValue::new("guest", "by hand", digests)).unwrap();
    let policy = policy.with_measurement(ReferenceValue::new("td", "by hand", tdx_digests())).unwrap();
    policy.with_model(model).unwrap()
}

pub(crate) fn tdx_digests() -> ReferenceDigests {
    ReferenceDigests::Tdx {
        mrtd: Rule::Require(vec![Hex([0; 48]), Hex(MEASUREMENT)]),
        rtmr0: ignore(),
        rtmr1: ignore(),
        rtmr2: ignore(),
        rtmr3: ignore(),
    }
}

/// The policy of the tests with some decisions changed.
pub(crate) fn policy_with(change: impl FnOnce(&mut PolicyDocument)) -> Policy {
    let mut document = policy().into_document();
    change(&mut document);
    Policy::new(document).unwrap()
}

pub(crate) fn ignore<T>() -> Rule<T> {
    Rule::Ignore(Reason::new("for the test").unwrap())
}

pub(crate) fn shipped(name: &str) -> Vec<u8> {
    let path = policies_dir().join(format!("{name}.json"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn policies_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

pub(crate) fn inputs<'a>(request: Option<&'a [u8]>, response: Option<&'a [u8]>) -> Inputs<'a> {
    Inputs { request, response, ..Inputs::new(NOW) }
}

pub(crate) fn judge(parts: &BundleParts, policy: &Policy, inputs: &Inputs<'_>) -> Verdict {
    verify_bundle(&Bundle::new(parts.clone()).unwrap(), policy, inputs, &Ring)
}

/// The words of what a verdict proves.
pub(crate) fn proved(verdict: &Verdict) -> Vec<&str> {
    verdict.proved().iter().map(|statement| statement.code.as_str()).collect()
}

/// The words of what it does not.
pub(crate) fn not_proved(verdict: &Verdict) -> Vec<&str> {
    verdict.not_proved().iter().map(|statement| statement.code.as_str()).collect()
}

/// Demands acceptance, showing the verdict where it is refused.
#[track_caller]
pub(crate) fn assert_accepted(verdict: &Verdict) {
    assert!(verdict.is_accepted(), "{}", verdict.to_json());
}

/// Demands rejection with this word.
#[track_caller]
pub(crate) fn assert_rejected(verdict: &Verdict, code: &str) {
    let found = (verdict.decision().as_str(), verdict.code());
    assert_eq!(found, ("rejected", Some(code)), "{:?}", verdict.detail());
}

/// Demands that the verdict is incomplete with this word.
#[track_caller]
pub(crate) fn assert_incomplete(verdict: &Verdict, code: &str) {
    let found = (verdict.decision().as_str(), verdict.code());
    assert_eq!(found, ("incomplete", Some(code)), "{:?}", verdict.detail());
}
