//! From files to verdicts.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Serialize;
use vouchsafe_bundle::policy::POLICY_BYTES_MAX;
use vouchsafe_bundle::{
    EvidenceInputs, Inputs, Policy, Verdict, appraise_evidence, parse_tdx_collateral, refuse,
    snp_endorsements, verify_bundle_json,
};
use vouchsafe_receipt::revocation::SIGNED_REVOCATIONS_BYTES_MAX;
use vouchsafe_receipt::{SignedRevocations, VerifiedRevocations};
use vouchsafe_verifier::crypto::RustCrypto;
use vouchsafe_verifier::encoding::{Base64, from_hex};
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

/// Why there is no verdict: what the caller brought along is unusable. Evidence never is: it is refused
/// with a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Misuse {
    /// A stable word: `policy_unusable`, `moment_unusable`, `revocations_unusable` or `report_data_unusable`.
    pub code: &'static str,
    /// The same in a sentence.
    pub message: String,
}

/// Under which policy, for which moment and with which list of revocations to judge.
pub struct Terms {
    policy: Policy,
    at: UnixSeconds,
    revocations: Option<VerifiedRevocations>,
}

impl Terms {
    /// Reads a policy's JSON, a moment as `2026-11-21T12:00:00Z` and a signed list of revocations, which
    /// is verified under the keys that the policy names.
    ///
    /// # Errors
    /// `policy_unusable`, `moment_unusable` or `revocations_unusable`.
    pub fn read(policy: &[u8], at: &str, revocations: Option<&[u8]>) -> Result<Self, Misuse> {
        let unusable = |message: String| Misuse { code: "policy_unusable", message };
        if policy.len() > POLICY_BYTES_MAX {
            return Err(unusable(format!("the policy is longer than {POLICY_BYTES_MAX} bytes")));
        }
        let policy =
            Policy::parse(policy).map_err(|error| unusable(format!("{error} ({})", error.code())))?;
        let at = UnixSeconds::from_rfc3339(at).ok_or_else(|| Misuse {
            code: "moment_unusable",
            message: "expected a moment as 2026-11-21T12:00:00Z".into(),
        })?;
        let revocations = revocations.map(|json| read_revocations(json, &policy)).transpose()?;
        Ok(Self { policy, at, revocations })
    }
}

fn read_revocations(json: &[u8], policy: &Policy) -> Result<VerifiedRevocations, Misuse> {
    let unusable = |message: String| Misuse { code: "revocations_unusable", message };
    let signers = policy.revocation_signers(&RustCrypto).ok_or_else(|| {
        unusable(
            "the policy names nobody who may revoke: it ignores revocations.list, or lists no key".into(),
        )
    })?;
    if json.len() > SIGNED_REVOCATIONS_BYTES_MAX {
        return Err(unusable(format!("the list is longer than {SIGNED_REVOCATIONS_BYTES_MAX} bytes")));
    }
    SignedRevocations::parse(json)
        .and_then(|signed| signed.verify(&signers, &RustCrypto))
        .map_err(|error| unusable(format!("{error} ({})", error.code())))
}

/// Judges a bundle, with request and response if they are at hand.
pub fn bundle(json: &[u8], terms: &Terms, request: Option<&[u8]>, response: Option<&[u8]>) -> Verdict {
    let revocations = terms.revocations.as_ref();
    let inputs = Inputs { request, response, revocations, ..Inputs::new(terms.at) };
    verify_bundle_json(json, &terms.policy, &inputs, &RustCrypto)
}

/// What else a raw report or quote is judged with.
#[derive(Debug, Default)]
pub struct Expected {
    /// What REPORT_DATA must be.
    pub report_data: Option<[u8; 64]>,
    /// A test authority's root that is believed in place of the vendor's.
    pub trust_root: Option<Vec<u8>>,
}

impl Expected {
    /// Reads REPORT_DATA from 128 hexadecimal digits, and a root certificate from DER or PEM.
    ///
    /// # Errors
    /// `report_data_unusable`.
    pub fn read(report_data: Option<&str>, trust_root: Option<&[u8]>) -> Result<Self, Misuse> {
        let read = |text: &str| {
            from_hex::<64>(&text.to_ascii_lowercase()).ok_or_else(|| Misuse {
                code: "report_data_unusable",
                message: "expected 64 bytes (128 hexadecimal digits)".into(),
            })
        };
        Ok(Self { report_data: report_data.map(read).transpose()?, trust_root: trust_root.map(certificate) })
    }
}

/// Judges an SEV-SNP report. Certificates and list are DER or PEM.
pub fn snp(
    report: &[u8],
    vek: Option<&[u8]>,
    certificates: &[Vec<u8>],
    crl: Option<&[u8]>,
    terms: &Terms,
    expected: &Expected,
) -> Verdict {
    let certificates: Vec<_> = certificates.iter().map(|bytes| certificate(bytes)).collect();
    let endorsements =
        snp_endorsements(vek.map(certificate), &certificates, crl.map(revocation_list), &RustCrypto);
    let evidence = Evidence::SevSnp { report: Base64(report.to_vec()) };
    evidence_verdict(&evidence, Some(&Endorsements::SevSnp(endorsements)), terms, expected)
}

/// Judges a TDX quote. Collateral is JSON in the shape of the DCAP library's QuoteCollateralV3.
pub fn tdx(
    quote: &[u8],
    collateral: Option<&[u8]>,
    event_log: Option<&[u8]>,
    terms: &Terms,
    expected: &Expected,
) -> Verdict {
    let endorsements = match collateral.map(parse_tdx_collateral).transpose() {
        Ok(collateral) => collateral.map(Endorsements::Tdx),
        Err(error) => return refuse(&terms.policy, terms.at, &error),
    };
    let event_log = event_log.map(|bytes| Base64(bytes.to_vec()));
    let evidence = Evidence::Tdx { quote: Base64(quote.to_vec()), event_log };
    evidence_verdict(&evidence, endorsements.as_ref(), terms, expected)
}

fn evidence_verdict(
    evidence: &Evidence,
    endorsements: Option<&Endorsements>,
    terms: &Terms,
    expected: &Expected,
) -> Verdict {
    let inputs = EvidenceInputs {
        at: terms.at,
        report_data: expected.report_data.as_ref(),
        test_root: expected.trust_root.as_deref(),
        revocations: terms.revocations.as_ref(),
        image: None,
    };
    appraise_evidence(evidence, endorsements, &terms.policy, &inputs, &RustCrypto)
}

/// A certificate's DER from DER or PEM. What is neither is handed on: the verifier says what is wrong.
fn certificate(bytes: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(bytes).map_or_else(|_| bytes.to_vec(), |der| der.to_vec())
}

fn revocation_list(bytes: &[u8]) -> Vec<u8> {
    CertificateRevocationListDer::from_pem_slice(bytes).map_or_else(|_| bytes.to_vec(), |der| der.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &[u8] = include_bytes!("../../../policies/evidence-strict.json");
    const AT: &str = "2026-11-21T12:00:00Z";

    #[test]
    fn what_the_caller_brings_is_refused_by_name() {
        let code = |policy: &[u8], at| Terms::read(policy, at, None).map(drop).unwrap_err().code;
        assert_eq!(code(b"{}", AT), "policy_unusable");
        assert_eq!(code(&vec![b' '; POLICY_BYTES_MAX + 1], AT), "policy_unusable");
        assert_eq!(code(POLICY, "yesterday"), "moment_unusable");
        assert!(Terms::read(POLICY, AT, None).is_ok());
        // That policy names nobody who may revoke.
        let unusable = Terms::read(POLICY, AT, Some(b"{}")).map(drop).unwrap_err();
        assert_eq!(unusable.code, "revocations_unusable");
        assert_eq!(Expected::read(Some("00"), None).unwrap_err().code, "report_data_unusable");
        let expected = Expected::read(Some(&"aB".repeat(64)), None).unwrap();
        assert_eq!(expected.report_data, Some([0xab; 64]));
    }

    #[test]
    fn evidence_that_is_none_gets_a_verdict() {
        let terms = Terms::read(POLICY, AT, None).unwrap();
        let verdicts = [
            bundle(b"{", &terms, None, None),
            snp(b"no report", None, &[], None, &terms, &Expected::default()),
            tdx(b"no quote", None, None, &terms, &Expected::default()),
            tdx(b"no quote", Some(b"no collateral"), None, &terms, &Expected::default()),
        ];
        for verdict in verdicts {
            assert!(!verdict.is_accepted());
            assert!(verdict.code().is_some());
        }
    }
}
