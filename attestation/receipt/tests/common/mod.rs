//! A boot with a throwaway key that signs as an enclave does.
#![allow(dead_code, reason = "each test program uses a part of it")]

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use vouchsafe_receipt::stream::{StreamHead, StreamStart};
use vouchsafe_receipt::{
    Assurance, CheckpointRef, Envelope, Heartbeat, PayloadType, ReceiptKey, ReceiptPayload, pae, to_low_s,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    pub(crate) key: ReceiptKey,
    pub(crate) spki: Vec<u8>,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        let key = ReceiptKey::from_spki(&spki, &Ring).unwrap();
        Self { pair, key, spki }
    }

    /// Signs any bytes as a payload of this type, sensible or not.
    pub(crate) fn sign(&self, payload_type: PayloadType, payload: &[u8]) -> Envelope {
        let signature = self.signature(payload_type.as_str(), payload);
        Envelope::new(payload_type, payload.to_vec(), self.key.id(), signature)
    }

    pub(crate) fn signature(&self, payload_type: &str, payload: &[u8]) -> [u8; 64] {
        let made = self.pair.sign(&SystemRandom::new(), &pae(payload_type, payload)).unwrap();
        to_low_s(made.as_ref().try_into().unwrap())
    }

    pub(crate) fn receipt_payload(&self) -> ReceiptPayload {
        ReceiptPayload {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: 3,
            seq: 7,
            previous: Some(Hex([1; 32])),
            model: Some(Hex([2; 32])),
            engine: Hex([3; 32]),
            request: Hex([4; 32]),
            response: Hex([5; 32]),
            execution: Hex([6; 32]),
            assurance: Assurance::Attested,
            checkpoint: None,
            settle_by: None,
            unattested_time: 1_795_262_400,
        }
    }

    pub(crate) fn receipt(&self) -> Envelope {
        self.sign(PayloadType::Receipt, &self.receipt_payload().to_bytes())
    }

    pub(crate) fn start_payload(&self) -> StreamStart {
        StreamStart {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: 3,
            stream: Hex([8; 32]),
            model: Hex([2; 32]),
            engine: Hex([3; 32]),
            request: Hex([4; 32]),
            assurance: Assurance::Attested,
            checkpoint: None,
            unattested_time: 1_795_262_400,
        }
    }

    pub(crate) fn head_payload(&self) -> StreamHead {
        StreamHead {
            version: 1,
            boot: Hex(self.key.id()),
            stream: Hex([8; 32]),
            events: 2,
            head: Hex([9; 32]),
        }
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            version: 1,
            boot: Hex(self.key.id()),
            epoch: 3,
            seq_next: 8,
            head: Some(Hex([7; 32])),
            checkpoint: CheckpointRef { size: 9, root: Hex([1; 32]), time: 1_795_262_400 },
            unattested_time: 1_795_262_400,
        }
    }
}
