//! From raw evidence to verified evidence: which roots are believed, and what failed.

use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::x509::pem_certificates;
use vouchsafe_verifier::{
    Endorsements, Evidence, Platform, RootKind, TrustRoots, UnixSeconds, VerifiedEvidence, strict_json,
    verify,
};

use super::checks::{Checks, check};
use crate::codes;
use crate::policy::{Purpose, Rule, Vendor};
use crate::verdict::Step;

/// Most certificates in Intel's issuer chains.
const CHAIN_LEN_MAX: usize = 4;

/// What evidence is verified against.
pub(super) struct Basis<'a> {
    pub(super) endorsements: Option<&'a Endorsements>,
    pub(super) roots: TrustRoots,
    pub(super) crypto: &'a dyn Crypto,
}

/// Which roots besides the policy's count.
#[derive(Clone, Copy)]
pub(super) enum OtherRoots<'a> {
    /// These are believed as well.
    Added(&'a [Vec<u8>]),
    /// This one is believed alone.
    Only(&'a [u8]),
}

impl<'a> Basis<'a> {
    /// Chooses the trust roots for evidence of `platform`: the vendor's where the policy names the
    /// vendor, the endorsements' own root where the policy names its digest, and `others`.
    pub(super) fn new(
        checks: &mut Checks<'_>,
        platform: Platform,
        endorsements: Option<&'a Endorsements>,
        others: OtherRoots<'_>,
        crypto: &'a dyn Crypto,
    ) -> Self {
        let (mut roots, others) = match others {
            OtherRoots::Only(root) => (TrustRoots::none(), vec![root.to_vec()]),
            OtherRoots::Added(others) => {
                let mut others = others.to_vec();
                others.extend(named_root(checks, endorsements, crypto));
                (vendor_roots(checks, platform), others)
            }
        };
        for root in others {
            let with_root = match platform {
                Platform::SevSnp => roots.clone().with_test_amd_root(&root),
                _ => roots.clone().with_test_intel_root(&root),
            };
            match with_root {
                Ok(with_root) => roots = with_root,
                Err(error) => {
                    let check = check(Step::BootEvidence, "trust.simulated_roots", codes::ROOT_UNUSABLE);
                    checks.fail(check, "a root certificate of the platform's form", error.to_string());
                }
            }
        }
        Self { endorsements, roots, crypto }
    }

    /// Verifies evidence and records what came of it.
    pub(super) fn verify(
        &self,
        checks: &mut Checks<'_>,
        step: Step,
        evidence: &Evidence,
    ) -> Option<VerifiedEvidence> {
        const RULE: &str = "evidence";
        let expected = "evidence that verifies with its endorsements";
        match verify(evidence, self.endorsements, &self.roots, checks.at, self.crypto) {
            Ok(verified) => {
                let seen = format!("{} evidence under {}", verified.platform(), root_text(verified.root()));
                checks.demand(check(step, RULE, ""), true, expected, seen);
                checks.simulated |= matches!(verified.root(), RootKind::Test { .. });
                if step == Step::BootEvidence {
                    checks.claims = strict_json::to_value(&verified.claims());
                }
                Some(verified)
            }
            Err(error) => {
                checks.fail(check(step, RULE, error.code()), expected, error.to_string());
                None
            }
        }
    }
}

/// The platform of raw evidence; `None` for one that this version does not know.
pub(super) fn platform_of(evidence: &Evidence) -> Option<Platform> {
    match evidence {
        Evidence::SevSnp { .. } => Some(Platform::SevSnp),
        Evidence::Tdx { .. } => Some(Platform::Tdx),
        _ => None,
    }
}

/// Records that no verifier exists for evidence.
pub(super) fn unsupported(checks: &mut Checks<'_>, step: Step) {
    let check = check(step, "evidence", codes::EVIDENCE_UNSUPPORTED);
    checks.skip(check, "evidence of a platform that this version verifies", "another platform");
}

fn vendor_roots(checks: &Checks<'_>, platform: Platform) -> TrustRoots {
    let vendor = match platform {
        Platform::SevSnp => Vendor::Amd,
        _ => Vendor::Intel,
    };
    match &checks.document().trust.vendors {
        Rule::Require(vendors) if vendors.contains(&vendor) => TrustRoots::vendor_pinned(),
        _ => TrustRoots::none(),
    }
}

/// The root that the endorsements bring along, if the policy names its digest.
fn named_root(
    checks: &Checks<'_>,
    endorsements: Option<&Endorsements>,
    crypto: &dyn Crypto,
) -> Option<Vec<u8>> {
    let document = checks.document();
    let (Purpose::Simulation, Rule::Require(named)) = (document.purpose, &document.trust.simulated_roots)
    else {
        return None;
    };
    let root = match endorsements? {
        Endorsements::SevSnp(amd) => amd.root.as_ref()?.0.clone(),
        Endorsements::Tdx(intel) => {
            pem_certificates(intel.tcb_info_issuer_chain.as_bytes(), CHAIN_LEN_MAX).ok()?.pop()?
        }
        _ => return None,
    };
    let digest = crypto.sha256(&root);
    named.iter().any(|named| named.0 == digest).then_some(root)
}

pub(super) fn root_text(root: RootKind) -> String {
    match root {
        RootKind::Vendor => "the vendor's root".into(),
        RootKind::Test { sha256 } => format!("the simulated root {}", to_hex(&sha256)),
    }
}

/// How old a moment is, in whole seconds; zero for the future.
pub(super) fn seconds_since(earlier: UnixSeconds, now: UnixSeconds) -> u64 {
    now.0.saturating_sub(earlier.0)
}
