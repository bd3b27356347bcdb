//! Appraisal: verified facts against a policy, in a fixed order of steps.
//!
//! Every step that can run does run, so that a verdict lists everything that is wrong; the first
//! failing step in the order of [`Step`] gives it its code. A step whose foundation did not verify is
//! recorded as skipped, never as passed.

mod challenge;
mod checks;
mod evidence;
mod logged;
mod model;
mod openings;
mod platform;
mod receipt;
#[cfg(feature = "images")]
pub(crate) mod released;
pub(crate) mod revoked;
mod settlement;
mod snp;
mod statements;
mod tdx;
mod unproved;
#[cfg(not(feature = "images"))]
pub(crate) mod unreleased;

use vouchsafe_receipt::{AttestationDocument, Envelope, Opening, VerifiedRevocations};
use vouchsafe_translog::TlogProof;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds, VerifiedEvidence};

#[cfg(not(feature = "images"))]
pub(crate) use unreleased as released;

pub use logged::{AcceptedBoot, LoggedEpoch, appraise_boot, appraise_epoch};

use checks::{Checks, check};
use evidence::{Basis, OtherRoots};
use released::Released;
use settlement::Occasion;
use statements::Attested;
use unproved::Subject;

use crate::policy::{Purpose, Rule};
use crate::{Bundle, Error, LoggedImage, Policy, Step, StreamRecords, Verdict, VerifiedBoot, codes};

const DOCUMENT_VERSION: u64 = 1;

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
    /// The newest list of revocations at hand.
    pub revocations: Option<&'a VerifiedRevocations>,
    /// The released image that the enclave runs, with the proof that its release is logged; in place of the one in
    /// a bundle.
    pub image: Option<&'a LoggedImage>,
}

impl Inputs<'_> {
    /// Judge for this moment, with nothing else brought along.
    pub fn new(at: UnixSeconds) -> Self {
        Self { at, request: None, response: None, extra_roots: &[], revocations: None, image: None }
    }
}

/// What a relying party brings along to judge a raw report or quote.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceInputs<'a> {
    /// The moment for which to judge.
    pub at: UnixSeconds,
    /// What REPORT_DATA must be.
    pub report_data: Option<&'a [u8; 64]>,
    /// The root certificate in DER of a test authority that is believed in place of the vendor's.
    /// Policies for production refuse what it vouches for.
    pub test_root: Option<&'a [u8]>,
    /// The newest list of revocations at hand.
    pub revocations: Option<&'a VerifiedRevocations>,
    /// The released image that the enclave runs, with the proof that its release is logged; in place of the one in
    /// a bundle.
    pub image: Option<&'a LoggedImage>,
}

impl EvidenceInputs<'_> {
    /// Judge for this moment, with nothing else brought along.
    pub fn new(at: UnixSeconds) -> Self {
        Self { at, report_data: None, test_root: None, revocations: None, image: None }
    }
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
    /// The proof that the receipt is in its log.
    pub proof: Option<&'a TlogProof>,
}

/// Judges a bundle, given as its JSON text.
pub fn verify_bundle_json(json: &[u8], policy: &Policy, inputs: &Inputs<'_>, crypto: &dyn Crypto) -> Verdict {
    match Bundle::parse(json) {
        Ok(bundle) => verify_bundle(&bundle, policy, inputs, crypto),
        Err(error) => refuse(policy, inputs.at, &error),
    }
}

/// The verdict on something that could not be read: rejected, for hostile bytes are the normal case.
pub fn refuse(policy: &Policy, at: UnixSeconds, error: &Error) -> Verdict {
    let mut checks = Checks::new(policy, at);
    let check = check(Step::Format, "format", error.code());
    checks.fail(check, "a well-formed document of a known version", error.to_string());
    checks.conclude()
}

/// Judges a bundle: for the moment given and, where its receipt is shown in its log, for the moment by
/// which witnesses had seen it there.
pub fn verify_bundle(bundle: &Bundle, policy: &Policy, inputs: &Inputs<'_>, crypto: &dyn Crypto) -> Verdict {
    let (verdict, _) = judge_bundle(bundle, policy, inputs, inputs.at, crypto);
    // The moment is taken from the bundle before anything of it is verified, since what is expired
    // now can't vouch for anything now; it counts if everything it rests on verifies for that moment.
    let Some(at) = settlement::claimed_time(bundle, policy, crypto) else { return verdict };
    let (then, logged) = judge_bundle(bundle, policy, &Inputs { at, ..*inputs }, inputs.at, crypto);
    match logged == Some(at) {
        true => verdict.with_as_logged(&then),
        false => verdict,
    }
}

/// Judges a bundle for one moment, with what is known `now`, and gives the moment by which its receipt was
/// logged.
fn judge_bundle(
    bundle: &Bundle,
    policy: &Policy,
    inputs: &Inputs<'_>,
    now: UnixSeconds,
    crypto: &dyn Crypto,
) -> (Verdict, Option<UnixSeconds>) {
    let mut checks = Checks::new(policy, inputs.at).with_revocations(inputs.revocations, now);
    purpose_fits(&mut checks);
    revoked::current(&mut checks);
    let parts = bundle.parts();
    checks.released = released::shown(&mut checks, inputs.image.or(parts.image.as_ref()), crypto);
    let endorsements = parts.endorsements.as_ref();
    let verified = statements::appraise(
        &mut checks,
        &parts.boot,
        &parts.epoch,
        endorsements,
        inputs.extra_roots,
        crypto,
    );
    if let Some(boot) = &verified.boot {
        statements::prove_hardware(&mut checks, boot);
    }
    match &verified.attested {
        Some(attested) => statements::boot(&mut checks, &attested.boot),
        None => checks.blocked(Step::Boot, "boot", "an attested boot statement"),
    }
    let answer = Answer {
        receipt: parts.receipt.as_ref(),
        opening: parts.opening.as_ref(),
        stream: parts.stream.as_ref(),
        request: inputs.request,
        response: inputs.response,
        proof: parts.proof.as_ref(),
    };
    appraise_answer(&mut checks, &answer, verified.attested.as_ref(), Occasion::Later, crypto);
    let platform = verified.boot.as_ref().map(VerifiedEvidence::platform);
    unproved::record(&mut checks, Subject::Answer, platform);
    let logged = checks.settled_by;
    (checks.conclude(), logged)
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
    let mut checks = Checks::new(policy, inputs.at).with_revocations(inputs.revocations, inputs.at);
    purpose_fits(&mut checks);
    revoked::current(&mut checks);
    checks.released = released::shown(&mut checks, inputs.image, crypto);
    checks.demand(
        check(Step::Format, "document_version", codes::DOCUMENT_VERSION),
        document.version == DOCUMENT_VERSION,
        DOCUMENT_VERSION.to_string(),
        document.version.to_string(),
    );
    let endorsements = document.endorsements.as_ref();
    let verified = statements::appraise(
        &mut checks,
        &document.boot,
        &document.epoch,
        endorsements,
        inputs.extra_roots,
        crypto,
    );
    if let Some(boot) = &verified.boot {
        statements::prove_hardware(&mut checks, boot);
    }
    if let Some(basis) = &verified.basis {
        challenge::appraise(&mut checks, document, nonce, basis, verified.boot.as_ref());
    }
    match &verified.attested {
        Some(attested) => {
            statements::epoch_freshness(&mut checks, &attested.epoch, inputs.at);
            statements::boot(&mut checks, &attested.boot);
            model::of_boot(&mut checks, &attested.boot, crypto);
        }
        None => checks.blocked(Step::Boot, "boot", "an attested boot statement"),
    }
    let platform = verified.boot.as_ref().map(VerifiedEvidence::platform);
    unproved::record(&mut checks, Subject::Document, platform);
    let released = match &checks.released {
        Released::Shown(shown) => Some(shown.clone()),
        _ => None,
    };
    let verdict = checks.conclude();
    match verified.attested {
        Some(Attested { boot, epoch, receipt_key }) if verdict.is_accepted() => Ok(VerifiedBoot {
            policy: policy.clone(),
            revocations: inputs.revocations.cloned(),
            image: inputs.image.cloned(),
            released,
            verdict,
            platform,
            receipt_key,
            boot,
            epoch,
            attested_boot: document.boot.clone(),
            attested_epoch: document.epoch.clone(),
            endorsements: document.endorsements.clone(),
        }),
        _ => Err(Box::new(verdict)),
    }
}

/// Judges a raw report or quote.
pub fn appraise_evidence(
    evidence: &Evidence,
    endorsements: Option<&Endorsements>,
    policy: &Policy,
    inputs: &EvidenceInputs<'_>,
    crypto: &dyn Crypto,
) -> Verdict {
    let mut checks = Checks::new(policy, inputs.at).with_revocations(inputs.revocations, inputs.at);
    revoked::current(&mut checks);
    checks.released = released::shown(&mut checks, inputs.image, crypto);
    let Some(platform) = evidence::platform_of(evidence) else {
        evidence::unsupported(&mut checks, Step::BootEvidence);
        return checks.conclude();
    };
    let others = inputs.test_root.map_or(OtherRoots::Added(&[]), OtherRoots::Only);
    let basis = Basis::new(&mut checks, platform, endorsements, others, crypto);
    if let Some(verified) = basis.verify(&mut checks, Step::BootEvidence, evidence) {
        platform::appraise(&mut checks, Step::BootPlatform, &verified);
        statements::prove_hardware(&mut checks, &verified);
        report_data(&mut checks, &verified, inputs.report_data);
    }
    unproved::record(&mut checks, Subject::Evidence, Some(platform));
    checks.conclude()
}

/// Judges an answer of an enclave that was judged before.
pub(crate) fn check_answer(
    boot: &VerifiedBoot,
    answer: &Answer<'_>,
    at: UnixSeconds,
    crypto: &dyn Crypto,
) -> Verdict {
    let mut checks = Checks::new(&boot.policy, at).with_revocations(boot.revocations.as_ref(), at);
    revoked::current(&mut checks);
    revoked::boot(&mut checks, &boot.boot.boot.0);
    if let Some(shown) = &boot.released {
        checks.released = Released::Shown(shown.clone());
    }
    checks.simulated = boot.verdict.simulated();
    checks.claims = boot.verdict.claims().cloned();
    // That nothing is revoked was said anew.
    for statement in boot.verdict.proved().iter().filter(|statement| statement.code != revoked::NOT_REVOKED) {
        checks.prove(Step::Format, &statement.code, statement.text.clone());
    }
    let attested = Attested {
        boot: boot.boot.clone(),
        epoch: boot.epoch.clone(),
        receipt_key: boot.receipt_key.clone(),
    };
    appraise_answer(&mut checks, answer, Some(&attested), Occasion::Live, crypto);
    unproved::record(&mut checks, Subject::Answer, boot.platform);
    checks.conclude()
}

/// The steps from the receipt on.
fn appraise_answer(
    checks: &mut Checks<'_>,
    answer: &Answer<'_>,
    attested: Option<&Attested>,
    occasion: Occasion,
    crypto: &dyn Crypto,
) {
    let key = attested.map(|attested| &attested.receipt_key);
    let verified = receipt::appraise(checks, answer, key, crypto);
    let (Some(signed), Some(attested)) = (&verified.signed, attested) else {
        for step in
            [Step::Model, Step::Engine, Step::Request, Step::Response, Step::Execution, Step::Settlement]
        {
            checks.blocked(step, step.as_str(), "a verified receipt");
        }
        return;
    };
    receipt::fits_epoch(checks, signed, attested);
    receipt::age(checks, signed);
    statements::epoch_freshness(checks, &attested.epoch, signed.signed_after());
    openings::request(checks, answer, signed, crypto);
    let status = openings::response(checks, answer, signed, verified.stream.as_ref(), crypto);
    let refused = status.is_some_and(|status| status >= 400);
    model::of_answer(checks, signed, &attested.boot, refused, crypto);
    openings::execution(checks, answer.opening, signed.finished.as_ref(), crypto);
    settlement::appraise(checks, answer, signed, &attested.boot, occasion, crypto);
    if signed.finished.is_none() {
        checks.leave_unproved(
            "stream_cut_off",
            "How the answer ended: the stream was cut off, and nothing after the last signed head is proved.",
        );
    }
}

/// A policy for raw evidence decides nothing about statements, receipts and models.
fn purpose_fits(checks: &mut Checks<'_>) {
    let purpose = checks.document().purpose;
    checks.demand(
        check(Step::Format, "purpose", codes::POLICY_PURPOSE),
        purpose != Purpose::Evidence,
        "a policy for enclaves and their answers",
        format!("a policy of purpose {}", purpose.as_str()),
    );
}

/// REPORT_DATA of raw evidence, against what the caller expects.
fn report_data(checks: &mut Checks<'_>, evidence: &VerifiedEvidence, expected: Option<&[u8; 64]>) {
    const RULE: &str = "platform.report_data";
    let seen = evidence.report_data();
    if let Some(expected) = expected {
        let mismatch = check(Step::Binding, RULE, codes::REPORT_DATA_MISMATCH);
        if checks.demand(mismatch, seen == expected, to_hex(expected), to_hex(seen)) {
            checks.prove(Step::Binding, "report_data", "The evidence was made over the given REPORT_DATA.");
        }
        return;
    }
    let not_given = check(Step::Binding, RULE, codes::REPORT_DATA_NOT_GIVEN);
    match &checks.document().platform.report_data {
        Rule::Require(_) => checks.skip(not_given, "the expected REPORT_DATA", "not given"),
        Rule::Ignore(reason) => checks.ignore(not_given, reason.as_str(), to_hex(seen)),
    }
    checks.leave_unproved(
        codes::REPORT_DATA_NOT_GIVEN,
        "For whom and when the evidence was made: its REPORT_DATA was not compared with anything, so that it may be old or another's.",
    );
}
