//! A boot that signs what enclaves sign.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use vouchsafe_receipt::{
    Assurance, AttestedStatement, BootKeys, BootRecord, BootStatement, CheckpointRef, Close,
    EndorsementsRecord, EngineIdentity, Envelope, EpochRecord, EpochStatement, Heartbeat, LogSettlement,
    PayloadType, ReceiptKey, ReceiptPayload, Settlement, endorsements_leaf, envelope_leaf, pae,
    receipt_leaf_hash, records, to_low_s,
};
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};

pub(crate) const BOUND: u64 = 60;
pub(crate) const GOOD: &[u8] = b"evidence that the test's policy accepts";
/// Evidence of the image that is released as `wanted`.
pub(crate) const WANTED: &[u8] = b"evidence of a released image";
/// Evidence that it accepts until a day after the test's beginning.
pub(crate) const EXPIRES: &[u8] = b"evidence whose certificates expire";

pub(crate) struct Enclave {
    pair: EcdsaKeyPair,
    pub(crate) id: [u8; 32],
    spki: Vec<u8>,
    seq: u64,
    head: Option<Hex<32>>,
}

/// A leaf and the blobs it names.
pub(crate) struct Logged {
    pub(crate) leaf: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Enclave {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        let id = ReceiptKey::from_spki(&spki, &Ring).unwrap().id();
        Self { pair, id, spki, seq: 0, head: None }
    }

    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn boot(&self, evidence: &[u8]) -> Logged {
        let statement = BootStatement {
            version: 1,
            boot: Hex(self.id),
            keys: BootKeys { receipt: Base64(self.spki.clone()), tls: Base64(self.spki.clone()) },
            models: Vec::new(),
            engine: EngineIdentity { name: "test".into(), version: "1".into(), kernel: "none".into() },
            configuration: Hex([1; 32]),
            operator: Some("Operator & Sons".into()),
            settlement: Settlement::Log(LogSettlement {
                key: crate::log::trusted().log().to_string(),
                witnesses: vec!["w".into()],
                quorum: 1,
                bound_s: BOUND,
                unsettled_max: 16,
            }),
        };
        let attested = attested(statement.to_bytes(), evidence);
        let record = BootRecord::of(self.id, &attested, &Ring);
        self.logged(PayloadType::Boot, &record.to_bytes(), Some(&attested))
    }

    pub(crate) fn epoch(&self, boot: &Logged, epoch: u64) -> Logged {
        self.epoch_with(boot, epoch, GOOD, None)
    }

    pub(crate) fn epoch_with(
        &self,
        boot: &Logged,
        epoch: u64,
        evidence: &[u8],
        checkpoint: Option<String>,
    ) -> Logged {
        let statement = EpochStatement {
            version: 1,
            boot_statement: Hex(Ring.sha256(&boot.blobs[0])),
            epoch,
            checkpoint,
            tenants: None,
            not_after: 2_000_000_000,
        };
        let attested = attested(statement.to_bytes(), evidence);
        let record = EpochRecord::of(self.id, epoch, &attested, &Ring);
        self.logged(PayloadType::Epoch, &record.to_bytes(), Some(&attested))
    }

    /// The next receipt, which names this tree.
    pub(crate) fn receipt(&mut self, checkpoint: CheckpointRef) -> Envelope {
        let envelope = self.receipt_with(checkpoint, |_| {});
        self.head = Some(Hex(receipt_leaf_hash(&envelope, &Ring)));
        self.seq += 1;
        envelope
    }

    /// A receipt in the next one's place, changed, after which the next one is still the next.
    pub(crate) fn receipt_with(
        &self,
        checkpoint: CheckpointRef,
        change: impl FnOnce(&mut ReceiptPayload),
    ) -> Envelope {
        let zero = Hex([0; 32]);
        let mut payload = ReceiptPayload {
            version: 1,
            boot: Hex(self.id),
            epoch: 0,
            seq: self.seq,
            previous: self.head,
            model: None,
            engine: zero,
            request: zero,
            response: zero,
            execution: zero,
            assurance: Assurance::Attested,
            checkpoint: Some(checkpoint),
            settle_by: Some(checkpoint.time + BOUND),
            unattested_time: checkpoint.time,
        };
        change(&mut payload);
        self.sign(PayloadType::Receipt, &payload.to_bytes())
    }

    pub(crate) fn word(&self, checkpoint: CheckpointRef, closing: bool) -> Vec<u8> {
        let word = Heartbeat {
            version: 1,
            boot: Hex(self.id),
            epoch: 0,
            seq_next: self.seq,
            head: self.head,
            checkpoint,
            unattested_time: checkpoint.time,
        };
        match closing {
            true => self.logged(PayloadType::Close, &Close(word).to_bytes(), None).leaf,
            false => self.logged(PayloadType::Heartbeat, &word.to_bytes(), None).leaf,
        }
    }

    /// Endorsements of a boot, which anyone may log.
    pub(crate) fn endorsements(&self, blob: &[u8]) -> Logged {
        let (boot, endorsements) = (Hex(self.id), Hex(Ring.sha256(blob)));
        let record = EndorsementsRecord { version: 1, boot, endorsements };
        Logged { leaf: endorsements_leaf(&record), blobs: vec![blob.to_vec()] }
    }

    fn sign(&self, kind: PayloadType, payload: &[u8]) -> Envelope {
        let signed = self.pair.sign(&SystemRandom::new(), &pae(kind.as_str(), payload)).unwrap();
        Envelope::new(kind, payload.to_vec(), self.id, to_low_s(signed.as_ref().try_into().unwrap()))
    }

    fn logged(&self, kind: PayloadType, payload: &[u8], attested: Option<&AttestedStatement>) -> Logged {
        let blobs = attested.map_or_else(Vec::new, |attested| {
            vec![attested.statement.0.clone(), records::evidence_blob(&attested.evidence)]
        });
        Logged { leaf: envelope_leaf(&self.sign(kind, payload)).unwrap(), blobs }
    }
}

pub(crate) fn leaf(envelope: &Envelope) -> Vec<u8> {
    envelope_leaf(envelope).unwrap()
}

fn attested(statement: Vec<u8>, evidence: &[u8]) -> AttestedStatement {
    let evidence = Evidence::SevSnp { report: Base64(evidence.to_vec()) };
    AttestedStatement { statement: Base64(statement), evidence }
}
