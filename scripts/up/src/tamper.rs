//! Tampered variants of what was just accepted, each with exactly one change.

use anyhow::{Context as _, Result};
use vouchsafe_bundle::policy::{ReferenceDigests, Rule};
use vouchsafe_bundle::{Bundle, Inputs, Policy, Verdict, verify_bundle_json};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

/// What was accepted: everything a verifier was given.
pub(crate) struct Accepted<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) policy: &'a Policy,
    pub(crate) request: &'a [u8],
    pub(crate) response: &'a [u8],
    pub(crate) at: UnixSeconds,
}

/// A tampered variant and what the verifier said of it.
pub(crate) struct Tampered {
    pub(crate) what: &'static str,
    pub(crate) verdict: Verdict,
}

impl Accepted<'_> {
    pub(crate) fn verdict(&self) -> Verdict {
        self.judge(&self.bundle.to_json(), self.policy, self.response)
    }

    fn judge(&self, bundle: &[u8], policy: &Policy, response: &[u8]) -> Verdict {
        let inputs = Inputs { request: Some(self.request), response: Some(response), ..Inputs::new(self.at) };
        verify_bundle_json(bundle, policy, &inputs, &Ring)
    }

    /// Every variant, judged by the same verifier with everything else unchanged.
    pub(crate) fn tampered(&self) -> Result<Vec<Tampered>> {
        let bundle = self.bundle.to_json();
        let mut variants = vec![
            Tampered {
                what: "one byte of the answer",
                verdict: self.judge(&bundle, self.policy, &alter_answer(self.response)?),
            },
            Tampered {
                what: "one byte of the receipt",
                verdict: self.judge(&alter_receipt(&bundle)?, self.policy, self.response),
            },
            Tampered {
                what: "one byte of the report",
                verdict: self.judge(&alter_report(&bundle)?, self.policy, self.response),
            },
            Tampered {
                what: "one byte of the policy's measurement",
                verdict: self.judge(&bundle, &alter_measurement(self.policy)?, self.response),
            },
        ];
        if self.bundle.parts().proof.is_some() {
            variants.push(Tampered {
                what: "one byte of the log's proof",
                verdict: self.judge(&alter_proof(&bundle)?, self.policy, self.response),
            });
        }
        Ok(variants)
    }
}

/// Changes one letter of the streamed text, inside the first event that carries content.
fn alter_answer(response: &[u8]) -> Result<Vec<u8>> {
    let mut altered = response.to_vec();
    let key = b"\"content\":\"";
    let letter = altered
        .windows(key.len())
        .enumerate()
        .filter(|(_, window)| window == key)
        .map(|(at, _)| at + key.len())
        .find(|at| altered.get(*at).is_some_and(u8::is_ascii_alphabetic))
        .context("the answer holds no text")?;
    let byte = altered.get_mut(letter).context("the answer holds no text")?;
    // Another letter of the same case: the altered answer reads as well as the honest one.
    *byte = if byte.eq_ignore_ascii_case(&b'a') { *byte + 1 } else { *byte - 1 };
    Ok(altered)
}

/// Changes one byte of the signed payload: the receipt's `seq`.
fn alter_receipt(bundle: &[u8]) -> Result<Vec<u8>> {
    use vouchsafe_verifier::encoding::{from_base64, to_base64};
    edit(bundle, "/receipt/payload", |text| {
        let mut payload = from_base64(text)?;
        let field = b"\"seq\":";
        let at = payload.windows(field.len()).position(|window| window == field)? + field.len();
        let digit = payload.get_mut(at)?;
        *digit = if *digit == b'9' { b'8' } else { *digit + 1 };
        Some(to_base64(&payload))
    })
}

/// Changes one byte of the report: the first of its measurement.
fn alter_report(bundle: &[u8]) -> Result<Vec<u8>> {
    use vouchsafe_verifier::encoding::{from_base64, to_base64};
    /// Offset of MEASUREMENT in the report (AMD 56860, table "ATTESTATION_REPORT").
    const MEASUREMENT: usize = 0x90;
    edit(bundle, "/boot/evidence/report", |text| {
        let mut report = from_base64(text)?;
        *report.get_mut(MEASUREMENT)? ^= 1;
        Some(to_base64(&report))
    })
}

/// Changes one byte of the measurement that the policy demands.
fn alter_measurement(policy: &Policy) -> Result<Policy> {
    let mut document = policy.document().clone();
    let Rule::Require(values) = &mut document.measurements else {
        anyhow::bail!("the policy demands no measurement");
    };
    for value in values {
        if let ReferenceDigests::SevSnp { measurement } = &mut value.digests {
            measurement.0[0] ^= 1;
        }
    }
    Ok(Policy::new(document)?)
}

/// Changes one character of the first hash on the path from the receipt to the checkpoint's root.
fn alter_proof(bundle: &[u8]) -> Result<Vec<u8>> {
    edit(bundle, "/proof", |text| {
        let line = text.lines().position(|line| line.starts_with("index "))? + 1;
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let hash = lines.get_mut(line)?;
        let changed = if hash.starts_with('A') { "B" } else { "A" };
        hash.replace_range(..1, changed);
        Some(lines.join("\n"))
    })
}

fn edit(bundle: &[u8], pointer: &str, change: impl FnOnce(&str) -> Option<String>) -> Result<Vec<u8>> {
    let mut json: serde_json::Value = serde_json::from_slice(bundle)?;
    let place = json.pointer_mut(pointer).with_context(|| format!("the bundle has no {pointer}"))?;
    let changed = place.as_str().and_then(change).with_context(|| format!("cannot alter {pointer}"))?;
    *place = changed.into();
    Ok(serde_json::to_vec(&json)?)
}
