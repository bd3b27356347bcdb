//! An enclave that says whatever an attack needs, under a simulated processor.
//!
//! It stands for what the real program never does: a clock set by the host, a sequence signed twice.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_bundle::BundleParts;
use vouchsafe_receipt::{
    Assurance, AttestationDocument, AttestedStatement, BootKeys, BootStatement, ChallengeAnswer,
    EngineIdentity, Envelope, EpochStatement, ExecutionOpening, ExecutionRecord, Opening, PayloadType,
    ReceiptKey, ReceiptPayload, RequestOpening, ResponseOpening, Settlement, pae, report_data, to_low_s,
};
use vouchsafe_translog::merkle;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};
use vouchsafe_verifier::{Endorsements, Evidence};

use crate::machine::{MODEL, manifest, now, snp};

type Attest = Box<dyn Fn([u8; 64]) -> Evidence + Send + Sync>;

/// A boot whose word is the attack's.
pub(crate) struct Forger {
    key: EcdsaKeyPair,
    attest: Attest,
    endorsements: Endorsements,
    pub(crate) boot: BootStatement,
    pub(crate) epoch: EpochStatement,
}

impl Forger {
    /// On an honest SNP machine, with an epoch that ends in an hour.
    pub(crate) fn new() -> Self {
        let machine = snp();
        let endorsements = machine.endorsements();
        Self::on(Box::new(move |report_data| machine.evidence(report_data)), endorsements)
    }

    pub(crate) fn on(attest: Attest, endorsements: Endorsements) -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(key.public_key().as_ref().try_into().unwrap());
        let boot = BootStatement {
            version: 1,
            boot: Hex(Ring.sha256(&spki)),
            keys: BootKeys { receipt: Base64(spki.clone()), tls: Base64(spki) },
            models: vec![manifest(MODEL)],
            engine: EngineIdentity { name: "forged".into(), version: "1".into(), kernel: "none".into() },
            configuration: Hex([2; 32]),
            operator: None,
            settlement: Settlement::None,
        };
        let epoch = EpochStatement {
            version: 1,
            boot_statement: Hex(Ring.sha256(&boot.to_bytes())),
            epoch: 0,
            checkpoint: None,
            tenants: None,
            not_after: now().0 + 3600,
        };
        Self { key, attest, endorsements, boot, epoch }
    }

    fn attested(&self, statement: Vec<u8>, report_data: [u8; 64]) -> AttestedStatement {
        AttestedStatement { statement: Base64(statement), evidence: (self.attest)(report_data) }
    }

    /// What it presents to a client that sent `nonce`.
    pub(crate) fn document(&self, nonce: [u8; 32]) -> AttestationDocument {
        let (boot, epoch) = (self.boot.to_bytes(), self.epoch.to_bytes());
        let root = merkle::leaf_hash(&nonce, &Ring);
        let evidence = (self.attest)(report_data::challenge(&epoch, &root, &Ring));
        let (boot_data, epoch_data) = (report_data::boot(&boot, &Ring), report_data::epoch(&epoch, &Ring));
        AttestationDocument {
            version: 1,
            boot: self.attested(boot, boot_data),
            epoch: self.attested(epoch, epoch_data),
            challenge: Some(ChallengeAnswer {
                nonce: Hex(nonce),
                leaf_index: 0,
                tree_size: 1,
                path: Vec::new(),
                evidence,
            }),
            endorsements: Some(self.endorsements.clone()),
        }
    }

    /// The bundle of an answer with this body, its receipt changed by `change`.
    pub(crate) fn bundle(&self, response: &[u8], change: impl FnOnce(&mut ReceiptPayload)) -> BundleParts {
        let opening = opening();
        let mut payload = ReceiptPayload {
            version: 1,
            boot: self.boot.boot,
            epoch: self.epoch.epoch,
            seq: 0,
            previous: None,
            model: Some(Hex(manifest(MODEL).digest(&Ring))),
            engine: Hex(self.boot.engine.digest(&Ring)),
            request: Hex(opening.request.as_ref().unwrap().commit(b"{}", &Ring)),
            response: Hex(opening.response.as_ref().unwrap().commit(response, &Ring)),
            execution: Hex(opening.execution.as_ref().unwrap().commit(&Ring)),
            assurance: Assurance::Attested,
            checkpoint: None,
            settle_by: None,
            unattested_time: now().0,
        };
        change(&mut payload);
        let document = self.document([0; 32]);
        BundleParts {
            receipt: Some(self.sign(&payload)),
            opening: Some(opening),
            stream: None,
            boot: document.boot,
            epoch: document.epoch,
            endorsements: document.endorsements,
            proof: None,
            image: None,
        }
    }

    fn sign(&self, payload: &ReceiptPayload) -> Envelope {
        self.sign_as(PayloadType::Receipt, &payload.to_bytes())
    }

    /// Signs any payload as one of this type.
    pub(crate) fn sign_as(&self, kind: PayloadType, payload: &[u8]) -> Envelope {
        let signed = pae(kind.as_str(), payload);
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        Envelope::new(kind, payload.to_vec(), self.boot.boot.0, signature)
    }
}

fn opening() -> Opening {
    let record = ExecutionRecord {
        version: 1,
        operation: "chat.completions".into(),
        model: MODEL.into(),
        parameters: Default::default(),
        seed: None,
        usage: None,
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
        response: Some(ResponseOpening {
            salt: Hex([5; 32]),
            status: 200,
            content_type: "application/json".into(),
        }),
        execution: Some(ExecutionOpening {
            salt: Hex([6; 32]),
            record: serde_json::to_string(&record).unwrap(),
        }),
    }
}
