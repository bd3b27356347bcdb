//! What a bundle claims: which weights and kernels gave this response to this request, and how.

use vouchsafe_bundle::{Bundle, BundleParts};
use vouchsafe_engine::{EngineVersion, ModelIdentity};
use vouchsafe_receipt::stream::{Head, data_payloads, is_plain};
use vouchsafe_receipt::{BootStatement, ExecutionRecord, ModelManifest, ResponseOpening, VerifiedReceipt};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::failure::Failure;

/// A claim whose parts belong together: the receipt's signature is by the boot statement's key, and its
/// commitments are to the request, the response and the record that were given.
pub(crate) struct Claim {
    pub(crate) record: ExecutionRecord,
    pub(crate) is_stream: bool,
    /// When it was signed, by a clock that nobody attests: for templates that print the date.
    pub(crate) unattested_time: u64,
    manifest: ModelManifest,
    kernels: String,
}

impl Claim {
    pub(crate) fn read(bundle: &[u8], request: &[u8], response: &[u8]) -> Result<Self, Failure> {
        let bundle = Bundle::parse(bundle)?;
        let parts = bundle.parts();
        let Some(receipt) = &parts.receipt else {
            return Err(Failure::Undecided("the stream was cut off, so there is no record of its execution"));
        };
        let boot = BootStatement::parse(&parts.boot.statement.0, &Ring)?;
        let receipt = VerifiedReceipt::verify(receipt, &boot.receipt_key(&Ring)?, &Ring)?;
        let receipt = receipt.payload();

        let opening = parts.opening.as_ref();
        let hidden = |what| Failure::Undecided(what);
        let request_opening = opening
            .and_then(|opening| opening.request.as_ref())
            .ok_or_else(|| hidden("the bundle does not open the request"))?;
        let response_opening = opening
            .and_then(|opening| opening.response.as_ref())
            .ok_or_else(|| hidden("the bundle does not open the response"))?;
        let execution = opening
            .and_then(|opening| opening.execution.as_ref())
            .ok_or_else(|| hidden("the bundle does not open the execution record"))?;
        let committed = [
            ("request", request_opening.commit(request, &Ring), receipt.request),
            ("response", commit_response(response_opening, response, parts)?, receipt.response),
            ("execution record", execution.commit(&Ring), receipt.execution),
        ];
        for (what, given, stated) in committed {
            if given != stated.0 {
                return Err(Failure::Mismatch { what });
            }
        }
        let record: ExecutionRecord = strict_json::parse(execution.record.as_bytes(), RECORD_LIMITS)
            .map_err(|error| malformed("execution record", error))?;
        if record.error.is_some() {
            return Err(Failure::Undecided("the request failed, and errors are not computed"));
        }
        let engine = boot.engine.digest(&Ring);
        let model = receipt.model.ok_or(Failure::Undecided("the receipt names no model"))?;
        let manifest = boot.models.into_iter().find(|manifest| manifest.digest(&Ring) == model.0);
        match manifest {
            Some(manifest) if engine == receipt.engine.0 => Ok(Self {
                record,
                is_stream: response_opening.is_stream(),
                unattested_time: receipt.unattested_time,
                manifest,
                kernels: boot.engine.kernel,
            }),
            Some(_) => Err(Failure::Mismatch { what: "engine than the boot statement" }),
            None => Err(Failure::Mismatch { what: "model than the boot statement's" }),
        }
    }

    /// Whether these are the weights, and this program's kernels the ones.
    pub(crate) fn is_about(&self, model: &ModelIdentity) -> Result<(), Failure> {
        let stated: Vec<_> = self.manifest.files.iter().map(|file| file.sha256.0).collect();
        let found: Vec<_> = model.files().iter().map(|file| file.sha256).collect();
        if stated.len() != found.len() {
            return Err(Failure::Undecided("the receipt's model has another number of files"));
        }
        if let Some((stated, found)) = stated.iter().zip(&found).find(|(stated, found)| stated != found) {
            return Err(Failure::OtherWeights { stated: to_hex(stated), found: to_hex(found) });
        }
        let ours = EngineVersion::CURRENT.kernels;
        if self.kernels != ours {
            return Err(Failure::OtherKernels { stated: self.kernels.clone(), ours });
        }
        Ok(())
    }
}

/// The commitment to a body, or to the events of a stream.
fn commit_response(
    opening: &ResponseOpening,
    response: &[u8],
    parts: &BundleParts,
) -> Result<[u8; 32], Failure> {
    if !opening.is_stream() {
        return Ok(opening.commit(response, &Ring));
    }
    let Some(records) = &parts.stream else {
        return Err(Failure::Undecided("the bundle lacks the stream's start record"));
    };
    if !is_plain(response) {
        return Err(malformed("response", "fields that no event of ours has"));
    }
    let begin = Head::begin(&records.start, &Ring);
    let head = data_payloads(response).fold(begin, |head, data| head.extend(data, &Ring));
    Ok(opening.commit(&head.committed(), &Ring))
}

pub(crate) fn malformed(what: &'static str, problem: impl ToString) -> Failure {
    Failure::Malformed { what, problem: problem.to_string() }
}

const RECORD_LIMITS: Limits = Limits { bytes_max: 1 << 20, depth_max: 32 };
