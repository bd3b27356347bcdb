//! Appraisal: verified facts against a policy, in a fixed order of steps.

use vouchsafe_receipt::{AttestationDocument, Envelope, Opening};
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use crate::verdict::{Conclusion, PolicyName};
use crate::{Bundle, Finding, Outcome, Policy, Step, StreamRecords, Verdict, VerifiedBoot};

/// What a relying party brings along to judge a bundle or a live enclave.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The moment for which to judge: certificates, revocation lists, reference values.
    pub at: UnixSeconds,
    /// The request's body, to match with the receipt.
    pub request: Option<&'a [u8]>,
    /// The response's body, or the raw text of the event stream, to match with the receipt.
    pub response: Option<&'a [u8]>,
    /// Root certificates in DER of test authorities that are believed as well, whatever the policy
    /// names. Policies for production refuse what these vouch for.
    pub extra_roots: &'a [Vec<u8>],
}

impl<'a> Inputs<'a> {
    /// Judge for this moment, with nothing else brought along.
    pub fn new(at: UnixSeconds) -> Self {
        Self { at, request: None, response: None, extra_roots: &[] }
    }
}

/// What a relying party brings along to judge a raw report or quote.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceInputs<'a> {
    /// The moment for which to judge.
    pub at: UnixSeconds,
    /// What REPORT_DATA must be.
    pub report_data: Option<&'a [u8; 64]>,
    /// As in [`Inputs::extra_roots`].
    pub extra_roots: &'a [Vec<u8>],
}

/// One answer as a client holds it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The receipt; absent where a stream was cut off.
    pub receipt: Option<&'a Envelope>,
    /// The opening.
    pub opening: Option<&'a Opening>,
    /// The signed records of a streamed answer.
    pub stream: Option<&'a StreamRecords>,
    /// The request's body.
    pub request: Option<&'a [u8]>,
    /// The response's body, or the raw text of the event stream.
    pub response: Option<&'a [u8]>,
}

/// Judges a bundle, given as its JSON text.
pub fn verify_bundle_json(json: &[u8], policy: &Policy, inputs: &Inputs<'_>, crypto: &dyn Crypto) -> Verdict {
    match Bundle::parse(json) {
        Ok(bundle) => verify_bundle(&bundle, policy, inputs, crypto),
        Err(error) => {
            let finding = Finding {
                step: Step::Format,
                rule: "bundle",
                expected: "a well-formed bundle of a known version".into(),
                seen: error.to_string(),
                outcome: Outcome::Failed,
                code: Some(error.code()),
            };
            conclude(policy, inputs.at, vec![finding])
        }
    }
}

/// Judges a bundle.
pub fn verify_bundle(bundle: &Bundle, policy: &Policy, inputs: &Inputs<'_>, crypto: &dyn Crypto) -> Verdict {
    let _ = (bundle, crypto);
    unsupported(policy, inputs.at)
}

/// Judges what a live enclave presents of itself, for a client that sent `nonce`.
///
/// # Errors
/// The verdict, where it is not accepted.
pub fn appraise_document(
    document: &AttestationDocument,
    policy: &Policy,
    nonce: Option<&[u8; 32]>,
    inputs: &Inputs<'_>,
    crypto: &dyn Crypto,
) -> Result<VerifiedBoot, Box<Verdict>> {
    let _ = (document, nonce, crypto);
    Err(Box::new(unsupported(policy, inputs.at)))
}

/// Judges a raw report or quote.
pub fn appraise_evidence(
    evidence: &Evidence,
    endorsements: Option<&Endorsements>,
    policy: &Policy,
    inputs: &EvidenceInputs<'_>,
    crypto: &dyn Crypto,
) -> Verdict {
    let _ = (evidence, endorsements, crypto);
    unsupported(policy, inputs.at)
}

pub(crate) fn check_answer(
    boot: &VerifiedBoot,
    answer: &Answer<'_>,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Verdict {
    let _ = (answer, crypto);
    unsupported(&boot.policy, at)
}

fn unsupported(policy: &Policy, at: UnixSeconds) -> Verdict {
    let finding = Finding {
        step: Step::BootEvidence,
        rule: "evidence",
        expected: "verified evidence".into(),
        seen: "no verifier for this evidence in this version".into(),
        outcome: Outcome::Skipped,
        code: Some("evidence_unsupported"),
    };
    conclude(policy, at, vec![finding])
}

fn conclude(policy: &Policy, at: UnixSeconds, findings: Vec<Finding>) -> Verdict {
    Verdict::conclude(Conclusion {
        policy: PolicyName {
            name: policy.document().name.clone(),
            purpose: policy.document().purpose.as_str(),
        },
        at,
        simulated: false,
        claims: None,
        receipt: None,
        proved: Vec::new(),
        not_proved: Vec::new(),
        findings,
    })
}
