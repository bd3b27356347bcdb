//! Finding the certificates above a VEK among those at hand.
//!
//! Nothing here decides what is believed: the verifier checks whatever is found, and believes a root
//! only if it is pinned or named.

use vouchsafe_verifier::SnpEndorsements;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::x509::Certificate;

/// Endorsements of an SNP report from loose files in DER: the VEK, its issuer and that issuer's issuer
/// among `certificates`, and the root's revocation list. AMD's own authorities are built into the
/// verifier and need not be among them.
pub fn snp_endorsements(
    vek: Option<Vec<u8>>,
    certificates: &[Vec<u8>],
    crl: Option<Vec<u8>>,
    crypto: &dyn Crypto,
) -> SnpEndorsements {
    let intermediate = vek.as_ref().and_then(|vek| issuer(vek, 0, certificates, crypto));
    let root = intermediate.as_ref().and_then(|below| issuer(below, 1, certificates, crypto));
    SnpEndorsements {
        vek: vek.map(Base64),
        intermediate: intermediate.map(Base64),
        root: root.map(Base64),
        crl: crl.map(Base64),
    }
}

/// The certificate that issued `subject`: by signature if one did, else by name, so that the verifier
/// can say what is wrong with it.
fn issuer(
    subject: &[u8],
    authorities_below: u32,
    candidates: &[Vec<u8>],
    crypto: &dyn Crypto,
) -> Option<Vec<u8>> {
    let subject = Certificate::parse(subject).ok()?;
    let named: Vec<(&Vec<u8>, Certificate<'_>)> = candidates
        .iter()
        .filter_map(|der| Some((der, Certificate::parse(der).ok()?)))
        .filter(|(_, candidate)| candidate.subject().raw() == subject.issuer().raw())
        .collect();
    let signer = named
        .iter()
        .find(|(_, candidate)| subject.check_issued_by(candidate, authorities_below, crypto).is_ok());
    signer.or_else(|| named.first()).map(|(der, _)| (*der).clone())
}
