//! Finding the certificates above a VEK among those at hand.
//!
//! Nothing here decides what is believed: the verifier checks whatever is found, and believes a root
//! only if it is pinned or named. What was given is what is checked: where nothing fits, something that does
//! not is handed on, so that the verifier says what is wrong with it and its own copies do not stand in.

use vouchsafe_verifier::SnpEndorsements;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::x509::Certificate;

/// Endorsements of an SNP report from loose files in DER: the VEK, its issuer and that issuer's issuer
/// among `certificates`, and the root's revocation list. AMD's own authorities are built into the
/// verifier and need not be given at all.
pub fn snp_endorsements(
    vek: Option<Vec<u8>>,
    certificates: &[Vec<u8>],
    crl: Option<Vec<u8>>,
    crypto: &dyn Crypto,
) -> SnpEndorsements {
    let is_root = |certificate: &Certificate<'_>| certificate.subject().raw() == certificate.issuer().raw();
    let below_root = |certificate: &Certificate<'_>| !is_root(certificate);
    let intermediate = vek.as_ref().and_then(|vek| {
        let found = issuer(vek, 0, certificates, below_root, crypto);
        found.or_else(|| certificates.first().cloned())
    });
    let root = intermediate.as_ref().and_then(|below| issuer(below, 1, certificates, is_root, crypto));
    SnpEndorsements {
        vek: vek.map(Base64),
        intermediate: intermediate.map(Base64),
        root: root.map(Base64),
        crl: crl.map(Base64),
    }
}

/// The certificate that issued `subject`: by signature if one did, else by name. Else one that cannot be read, or
/// could have by its kind, so that the verifier can say what is wrong with it.
fn issuer(
    subject: &[u8],
    authorities_below: u32,
    candidates: &[Vec<u8>],
    is_of_kind: impl Fn(&Certificate<'_>) -> bool,
    crypto: &dyn Crypto,
) -> Option<Vec<u8>> {
    let subject = Certificate::parse(subject).ok()?;
    let read: Vec<(&Vec<u8>, Certificate<'_>)> =
        candidates.iter().filter_map(|der| Some((der, Certificate::parse(der).ok()?))).collect();
    let is_named = |candidate: &Certificate<'_>| candidate.subject().raw() == subject.issuer().raw();
    let signed = |candidate: &Certificate<'_>| {
        is_named(candidate) && subject.check_issued_by(candidate, authorities_below, crypto).is_ok()
    };
    let first = |fits: &dyn Fn(&Certificate<'_>) -> bool| read.iter().find(|(_, candidate)| fits(candidate));
    if let Some((der, _)) = first(&signed).or_else(|| first(&is_named)) {
        return Some((*der).clone());
    }
    let unread = candidates.iter().find(|der| Certificate::parse(der).is_err());
    unread.or_else(|| first(&is_of_kind).map(|(der, _)| *der)).cloned()
}

#[cfg(test)]
mod tests {
    use vouchsafe_verifier::crypto::Ring;

    use super::*;

    fn verifier(file: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../verifier");
        std::fs::read(format!("{folder}/{file}")).unwrap()
    }

    fn found(certificates: &[&[u8]]) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let given: Vec<_> = certificates.iter().map(|der| der.to_vec()).collect();
        let found = snp_endorsements(Some(verifier("examples/data/turin-vcek.der")), &given, None, &Ring);
        (found.intermediate.map(|der| der.0), found.root.map(|der| der.0))
    }

    #[test]
    fn what_is_given_is_what_is_checked() {
        let root = |name: &str| verifier(&format!("roots/amd/{name}.der"));
        let [ark, ask, asvk] = ["turin-ark", "turin-ask", "turin-asvk"].map(root);
        let [milan_ark, milan_ask] = ["milan-ark", "milan-ask"].map(root);
        let chain = |below: &[u8], root: &[u8]| (Some(below.to_vec()), Some(root.to_vec()));
        assert_eq!(found(&[]), (None, None), "the verifier's own serve");
        assert_eq!(
            found(&[&milan_ark, &milan_ask, &ark, &ask]),
            chain(&ask, &ark),
            "in any order, among others"
        );
        // What does not fit is not left out.
        assert_eq!(found(&[&ark, &asvk]), chain(&asvk, &ark));
        assert_eq!(found(&[&milan_ark, &milan_ask]), chain(&milan_ask, &milan_ark));
        assert_eq!(found(&[&ask, &milan_ark]), chain(&ask, &milan_ark));
        assert_eq!(found(&[&ark]).0, Some(ark.clone()));
        assert_eq!(found(&[b"hello"]), (Some(b"hello".to_vec()), None));
        assert_eq!(found(&[&ark, &ask[..700]]), (Some(ask[..700].to_vec()), None));
        assert_eq!(found(&[&ask, &ark[..700]]), chain(&ask, &ark[..700]));
        assert_eq!(found(&[&ark, &ask, b"hello"]), chain(&ask, &ark), "what fits is there");
    }
}
