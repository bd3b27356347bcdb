//! The receipt, or the start record and head of a stream that was cut off.

use vouchsafe_receipt::stream::{StreamHead, StreamStart};
use vouchsafe_receipt::{Assurance, CheckpointRef, Envelope, ReceiptKey, ReceiptPayload, VerifiedReceipt};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;

use super::checks::{Checks, check};
use super::evidence::seconds_since;
use super::statements::Attested;
use crate::verdict::Step;
use crate::{Answer, codes};

/// What is signed of one answer.
pub(super) struct Signed {
    pub(super) epoch: u64,
    pub(super) model: Option<[u8; 32]>,
    pub(super) engine: [u8; 32],
    pub(super) request: [u8; 32],
    /// The commitments that only a receipt holds.
    pub(super) finished: Option<Finished>,
    pub(super) unattested_time: UnixSeconds,
    pub(super) checkpoint: Option<CheckpointRef>,
    pub(super) settle_by: Option<UnixSeconds>,
    /// The level that was asked for.
    pub(super) assurance: Assurance,
}

impl Signed {
    /// A moment that the signing did not precede: the enclave's own, or the witness time of the
    /// checkpoint that it names where the host has set its clock back behind that.
    pub(super) fn signed_after(&self) -> UnixSeconds {
        let witnessed = self.checkpoint.map(|checkpoint| UnixSeconds(checkpoint.time));
        witnessed.map_or(self.unattested_time, |witnessed| witnessed.max(self.unattested_time))
    }
}

/// What is signed once an answer is complete.
pub(super) struct Finished {
    pub(super) response: [u8; 32],
    pub(super) execution: [u8; 32],
}

/// The verified records of a stream.
pub(super) struct Records {
    pub(super) start: Envelope,
    pub(super) head: Option<StreamHead>,
}

/// What was verified of an answer.
pub(super) struct VerifiedAnswer {
    pub(super) signed: Option<Signed>,
    pub(super) stream: Option<Records>,
}

/// Verifies the receipt and the stream's records under the boot's key.
pub(super) fn appraise(
    checks: &mut Checks<'_>,
    answer: &Answer<'_>,
    key: Option<&ReceiptKey>,
    crypto: &dyn Crypto,
) -> VerifiedAnswer {
    let nothing = VerifiedAnswer { signed: None, stream: None };
    let Some(key) = key else {
        checks.blocked(Step::Receipt, "receipt_signature", "an attested receipt key");
        return nothing;
    };
    let receipt = answer.receipt.map(|envelope| verify_receipt(checks, envelope, key, crypto));
    let stream = answer.stream.and_then(|records| {
        let start = verify_start(checks, &records.start, key, crypto)?;
        let head = match &records.head {
            Some(envelope) => Some(verify_head(checks, envelope, &start, key, crypto)?),
            None => None,
        };
        Some((start, Records { start: records.start.clone(), head }))
    });
    match (receipt, stream) {
        (Some(receipt), stream) => {
            if let (Some(receipt), Some((start, _))) = (&receipt, &stream) {
                start_fits_receipt(checks, start, receipt);
            }
            VerifiedAnswer {
                signed: receipt.map(|payload| of_receipt(&payload)),
                stream: stream.map(|(_, records)| records),
            }
        }
        (None, Some((start, records))) => {
            VerifiedAnswer { signed: Some(of_start(&start)), stream: Some(records) }
        }
        (None, None) => {
            // Where there was a stream, its failing signature is on record already.
            if answer.stream.is_none() {
                let check = check(Step::Receipt, "receipt_signature", codes::ANSWER_EMPTY);
                checks.fail(check, "a receipt, or a stream's start record", "neither");
            }
            nothing
        }
    }
}

/// Holds the answer against the attested boot and epoch, and the policy on its age.
pub(super) fn fits_epoch(checks: &mut Checks<'_>, signed: &Signed, attested: &Attested) {
    checks.demand(
        check(Step::Receipt, "receipt_epoch", codes::EPOCH_MISMATCH),
        signed.epoch == attested.epoch.epoch,
        format!("epoch {}, whose statement is attested", attested.epoch.epoch),
        format!("epoch {}", signed.epoch),
    );
}

/// How far apart honest clocks may be.
const CLOCK_SKEW_SECONDS_MAX: u64 = 300;

/// Holds the receipt's own time against the policy.
pub(super) fn age(checks: &mut Checks<'_>, signed: &Signed) {
    let (signed_after, at) = (signed.signed_after(), checks.at);
    if checks.document().freshness.receipt_age_seconds_max.is_required() {
        // Otherwise a host could make receipts look new for years by setting the enclave's clock ahead.
        checks.demand(
            check(Step::Freshness, "freshness.receipt_age_seconds_max", codes::RECEIPT_FROM_FUTURE),
            signed_after.0 <= at.0.saturating_add(CLOCK_SKEW_SECONDS_MAX),
            format!("a time before {at}"),
            signed_after.to_string(),
        );
    }
    let age = seconds_since(signed_after, at);
    checks.rule(
        check(Step::Freshness, "freshness.receipt_age_seconds_max", codes::RECEIPT_TOO_OLD),
        &checks.document().freshness.receipt_age_seconds_max,
        format!("{age} s (signed at {} by the enclave's unattested clock)", signed.unattested_time),
        |max| format!("at most {max} s"),
        |max| age <= *max,
    );
}

fn of_receipt(payload: &ReceiptPayload) -> Signed {
    Signed {
        epoch: payload.epoch,
        model: payload.model.map(|model| model.0),
        engine: payload.engine.0,
        request: payload.request.0,
        finished: Some(Finished { response: payload.response.0, execution: payload.execution.0 }),
        unattested_time: UnixSeconds(payload.unattested_time),
        checkpoint: payload.checkpoint,
        settle_by: payload.settle_by.map(UnixSeconds),
        assurance: payload.assurance,
    }
}

fn of_start(start: &StreamStart) -> Signed {
    Signed {
        epoch: start.epoch,
        model: Some(start.model.0),
        engine: start.engine.0,
        request: start.request.0,
        finished: None,
        unattested_time: UnixSeconds(start.unattested_time),
        checkpoint: start.checkpoint,
        settle_by: None,
        assurance: start.assurance,
    }
}

fn verify_receipt(
    checks: &mut Checks<'_>,
    envelope: &Envelope,
    key: &ReceiptKey,
    crypto: &dyn Crypto,
) -> Option<ReceiptPayload> {
    let verified = VerifiedReceipt::verify(envelope, key, crypto);
    let payload = record(checks, Step::Receipt, "receipt_signature", verified, key)?.payload().clone();
    let text = format!("Receipt {} of boot {} is signed by that boot's key.", payload.seq, payload.boot);
    checks.prove(Step::Receipt, "receipt", text);
    checks.receipt = Some(payload.clone());
    Some(payload)
}

fn verify_start(
    checks: &mut Checks<'_>,
    envelope: &Envelope,
    key: &ReceiptKey,
    crypto: &dyn Crypto,
) -> Option<StreamStart> {
    let verified = StreamStart::verify(envelope, key, crypto);
    record(checks, Step::Stream, "stream_start_signature", verified, key)
}

fn verify_head(
    checks: &mut Checks<'_>,
    envelope: &Envelope,
    start: &StreamStart,
    key: &ReceiptKey,
    crypto: &dyn Crypto,
) -> Option<StreamHead> {
    let verified = StreamHead::verify(envelope, key, crypto);
    let head = record(checks, Step::Stream, "stream_head_signature", verified, key)?;
    let check = check(Step::Stream, "stream_head", codes::STREAM_MISMATCH);
    let (expected, seen) = (format!("stream {}", start.stream), format!("stream {}", head.stream));
    checks.demand(check, head.stream == start.stream, expected, seen).then_some(head)
}

/// Records a signature's verification.
fn record<T>(
    checks: &mut Checks<'_>,
    step: Step,
    rule: &'static str,
    verified: Result<T, vouchsafe_receipt::Error>,
    key: &ReceiptKey,
) -> Option<T> {
    let expected = format!("signed by the attested key {}", to_hex(&key.id()));
    match verified {
        Ok(value) => {
            checks.demand(check(step, rule, ""), true, expected, "its signature");
            Some(value)
        }
        Err(error) => {
            checks.fail(check(step, rule, error.code()), expected, error.to_string());
            None
        }
    }
}

/// A start record belongs to a receipt if it names the same request, model and engine and is not of
/// a later epoch; an epoch may end while an answer streams.
fn start_fits_receipt(checks: &mut Checks<'_>, start: &StreamStart, receipt: &ReceiptPayload) {
    let text = |request, model: Option<_>, engine| {
        let model = model.map_or_else(
            || String::from("none"),
            |model: vouchsafe_verifier::encoding::Hex<32>| model.to_string(),
        );
        format!("request {request}, model {model}, engine {engine}")
    };
    let expected = text(receipt.request, receipt.model, receipt.engine);
    let seen = text(start.request, Some(start.model), start.engine);
    let holds = expected == seen && start.epoch <= receipt.epoch;
    let check = check(Step::Stream, "stream_of_receipt", codes::STREAM_MISMATCH);
    checks.demand(
        check,
        holds,
        format!("{expected}, epoch at most {}", receipt.epoch),
        format!("{seen}, epoch {}", start.epoch),
    );
}
