//! Leaves and records: one form each, and nothing passes for another.

mod common;

use common::Signer;
use proptest::prelude::*;
use vouchsafe_receipt::records::{evidence_blob, parse_evidence_blob};
use vouchsafe_receipt::{
    AttestedStatement, BootRecord, Close, EndorsementsRecord, Envelope, EpochRecord, Heartbeat,
    LEAF_BYTES_MAX, Leaf, LeafType, PayloadType, VerifiedReceipt, endorsements_leaf, envelope_leaf,
    receipt_leaf,
};
use vouchsafe_verifier::Evidence;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Base64, Hex};

fn attested() -> AttestedStatement {
    let evidence = Evidence::SevSnp { report: Base64(vec![1, 2, 3]) };
    AttestedStatement { statement: Base64(b"{}".to_vec()), evidence }
}

fn records(signer: &Signer) -> Vec<(LeafType, Envelope)> {
    let boot = BootRecord::of(signer.key.id(), &attested(), &Ring).to_bytes();
    let epoch = EpochRecord::of(signer.key.id(), 3, &attested(), &Ring).to_bytes();
    let heartbeat = signer.heartbeat();
    vec![
        (LeafType::Receipt, signer.receipt()),
        (LeafType::Boot, signer.sign(PayloadType::Boot, &boot)),
        (LeafType::Epoch, signer.sign(PayloadType::Epoch, &epoch)),
        (LeafType::Heartbeat, signer.sign(PayloadType::Heartbeat, &heartbeat.to_bytes())),
        (LeafType::Close, signer.sign(PayloadType::Close, &Close(heartbeat).to_bytes())),
    ]
}

#[test]
fn every_signed_leaf_reads_back_and_verifies_as_what_it_is() {
    let signer = Signer::new();
    for (kind, envelope) in records(&signer) {
        let bytes = envelope_leaf(&envelope).unwrap();
        assert_eq!(bytes[0], kind.byte());
        let leaf = Leaf::parse(&bytes).unwrap();
        assert_eq!((leaf.leaf_type(), leaf.boot(), leaf.to_bytes()), (kind, Some(signer.key.id()), bytes));
        let key = &signer.key;
        let read = match &leaf {
            Leaf::Receipt(signed) => {
                VerifiedReceipt::verify(signed.envelope(), key, &Ring).unwrap();
                signed
            }
            Leaf::Boot(signed) => {
                let record = BootRecord::verify(signed.envelope(), key, &Ring).unwrap();
                assert_eq!(record.statement.0, Ring.sha256(b"{}"));
                assert_eq!(record.evidence.0, Ring.sha256(br#"{"platform":"sev-snp","report":"AQID"}"#));
                signed
            }
            Leaf::Epoch(signed) => {
                assert_eq!(EpochRecord::verify(signed.envelope(), key, &Ring).unwrap().epoch, 3);
                signed
            }
            Leaf::Heartbeat(signed) => {
                let record = Heartbeat::verify(signed.envelope(), key, &Ring).unwrap();
                assert_eq!(record, signer.heartbeat());
                assert!(Close::verify(signed.envelope(), key, &Ring).is_err());
                signed
            }
            Leaf::Close(signed) => {
                Close::verify(signed.envelope(), key, &Ring).unwrap();
                assert!(Heartbeat::verify(signed.envelope(), key, &Ring).is_err());
                signed
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(read.envelope(), &envelope);
    }
    let receipt = signer.receipt();
    assert_eq!(envelope_leaf(&receipt).unwrap(), receipt_leaf(&receipt));
    let start = signer.sign(PayloadType::StreamStart, &signer.start_payload().to_bytes());
    assert_eq!(envelope_leaf(&start), None);
}

#[test]
fn a_leaf_of_one_type_does_not_pass_for_another() {
    let signer = Signer::new();
    for (kind, envelope) in records(&signer) {
        for other in LeafType::ALL.into_iter().filter(|other| *other != kind) {
            let mut bytes = envelope_leaf(&envelope).unwrap();
            bytes[0] = other.byte();
            let code = Leaf::parse(&bytes).unwrap_err().code();
            let expected = match other {
                LeafType::Endorsements => "payload_malformed",
                _ => "leaf_signed_type_wrong",
            };
            assert_eq!(code, expected, "{kind:?} as {other:?}");
        }
    }
}

/// Whatever is changed in a leaf is refused, or is found by the signature: no two byte strings are the
/// same leaf.
#[test]
fn every_changed_byte_of_a_leaf_is_refused_at_the_latest_by_its_signature() {
    let signer = Signer::new();
    for (_, envelope) in records(&signer) {
        let good = envelope_leaf(&envelope).unwrap();
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 0x01;
            let Ok(leaf) = Leaf::parse(&bent) else { continue };
            assert_eq!(leaf.to_bytes(), bent);
            let (Leaf::Receipt(signed)
            | Leaf::Boot(signed)
            | Leaf::Epoch(signed)
            | Leaf::Heartbeat(signed)
            | Leaf::Close(signed)) = &leaf
            else {
                panic!("byte {at}: {leaf:?}")
            };
            let kind = leaf.leaf_type();
            let (envelope, key) = (signed.envelope(), &signer.key);
            let verified = match kind {
                LeafType::Receipt => VerifiedReceipt::verify(envelope, key, &Ring).is_ok(),
                LeafType::Boot => BootRecord::verify(envelope, key, &Ring).is_ok(),
                LeafType::Epoch => EpochRecord::verify(envelope, key, &Ring).is_ok(),
                LeafType::Heartbeat => Heartbeat::verify(envelope, key, &Ring).is_ok(),
                _ => Close::verify(envelope, key, &Ring).is_ok(),
            };
            assert!(!verified, "{kind:?}, byte {at}");
        }
        for length in 0..good.len() {
            assert!(Leaf::parse(&good[..length]).is_err());
        }
        assert_eq!(Leaf::parse(&[good.as_slice(), &[0]].concat()).unwrap_err().code(), "leaf_malformed");
    }
}

#[test]
fn endorsements_are_named_by_digest_in_one_form() {
    let record = EndorsementsRecord { version: 1, boot: Hex([1; 32]), endorsements: Hex([2; 32]) };
    let bytes = endorsements_leaf(&record);
    assert_eq!(Leaf::parse(&bytes).unwrap(), Leaf::Endorsements(record.clone()));
    assert_eq!(Leaf::parse(&bytes).unwrap().to_bytes(), bytes);
    let spaced = [bytes.as_slice(), b" "].concat();
    assert_eq!(Leaf::parse(&spaced).unwrap_err().code(), "payload_not_canonical");
    let newer = endorsements_leaf(&EndorsementsRecord { version: 2, ..record });
    assert_eq!(Leaf::parse(&newer).unwrap_err().code(), "version_unknown");
}

#[test]
fn what_is_no_leaf_is_refused_by_name() {
    let long = [vec![1], vec![0; LEAF_BYTES_MAX]].concat();
    for (bytes, code) in [
        (vec![], "leaf_malformed"),
        (vec![0], "leaf_type_unknown"),
        (vec![7], "leaf_malformed"),
        (vec![9], "leaf_type_unknown"),
        (vec![1], "leaf_malformed"),
        (vec![1, 0xff, 0xff, 0xff, 0xff], "leaf_malformed"),
        (long, "leaf_malformed"),
    ] {
        assert_eq!(Leaf::parse(&bytes).unwrap_err().code(), code, "{:?}", bytes.first());
    }
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    let signer = Signer::new();
    let mut no_head = signer.heartbeat();
    no_head.head = None;
    let mut head_of_nothing = signer.heartbeat();
    head_of_nothing.seq_next = 0;
    let mut huge = signer.heartbeat();
    huge.checkpoint.size = 1 << 53;
    for record in [no_head, head_of_nothing, huge] {
        let heartbeat = signer.sign(PayloadType::Heartbeat, &record.to_bytes());
        let error = Heartbeat::verify(&heartbeat, &signer.key, &Ring).unwrap_err();
        assert_eq!(error.code(), "payload_malformed", "{error}");
        let close = signer.sign(PayloadType::Close, &Close(record).to_bytes());
        assert_eq!(Close::verify(&close, &signer.key, &Ring).unwrap_err().code(), "payload_malformed");
    }
    let mut first = signer.heartbeat();
    (first.seq_next, first.head) = (0, None);
    let first = signer.sign(PayloadType::Heartbeat, &first.to_bytes());
    assert!(Heartbeat::verify(&first, &signer.key, &Ring).is_ok());
    let mut stranger = signer.heartbeat();
    stranger.boot.0[0] ^= 1;
    let stranger = signer.sign(PayloadType::Heartbeat, &stranger.to_bytes());
    assert_eq!(Heartbeat::verify(&stranger, &signer.key, &Ring).unwrap_err().code(), "boot_mismatch");
}

#[test]
fn evidence_has_one_text() {
    let blob = evidence_blob(&attested().evidence);
    assert_eq!(parse_evidence_blob(&blob).unwrap(), attested().evidence);
    let spaced = [blob.as_slice(), b"\n"].concat();
    assert_eq!(parse_evidence_blob(&spaced).unwrap_err().code(), "payload_not_canonical");
}

proptest! {
    #[test]
    fn parsing_is_total_and_what_parses_is_canonical(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..10) {
        let bytes = [&[kind], bytes.as_slice()].concat();
        if let Ok(leaf) = Leaf::parse(&bytes) {
            prop_assert_eq!(leaf.to_bytes(), bytes);
        }
    }
}
