//! The authority: root, PCK CAs, TCB signer, and the secrets of every platform it "made".

use hmac::{Hmac, Mac};
use p256_x509::ecdsa::SigningKey;
use rand_core::{CryptoRngCore, OsRng};
use sha2::Sha256;
use vouchsafe_verifier::{TdxCollateral, UnixSeconds, encoding};
use zeroize::Zeroizing;

use super::{CollateralSpec, P256Key, PckFacts, certificate};
use crate::x509::{CertificateSpec, CrlSpec, Validity};
use crate::{Error, pem};

/// How long a PCK certificate lasts, years.
const PCK_YEARS: u16 = 7;

/// Which CA signs a platform's PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PckCa {
    /// For multi-package server platforms: every TDX platform.
    Platform,
    /// For single-package platforms.
    Processor,
}

impl PckCa {
    /// The name in Intel's URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }
}

/// Which of the authority's keys signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntelIssuer {
    /// The root.
    Root,
    /// A CA of PCK certificates.
    PckCa(PckCa),
    /// The signer of TCB info and QE identity.
    TcbSigning,
}

impl IntelIssuer {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::Root, Self::PckCa(PckCa::Platform), Self::PckCa(PckCa::Processor), Self::TcbSigning];

    pub(super) fn index(self) -> usize {
        match self {
            Self::Root => 0,
            Self::PckCa(PckCa::Platform) => 1,
            Self::PckCa(PckCa::Processor) => 2,
            Self::TcbSigning => 3,
        }
    }
}

/// A throwaway Intel: root CA, both PCK CAs, the TCB signer, and the secret from which platforms'
/// keys come. **Simulated**: its root is nobody's trust root unless a test or a development policy
/// says so.
#[derive(Clone)]
pub struct IntelAuthority {
    pub(super) not_before: UnixSeconds,
    /// In the order of [`IntelIssuer::ALL`].
    pub(super) keys: [P256Key; 4],
    pub(super) certificates: [Vec<u8>; 4],
    /// Stands for the secrets fused into the processors.
    pub(super) fuse_secret: Zeroizing<[u8; 32]>,
}

impl core::fmt::Debug for IntelAuthority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("IntelAuthority(simulated)")
    }
}

impl IntelAuthority {
    /// Makes an authority whose certificates start at `not_before`, from the operating system's
    /// randomness.
    pub fn generate(not_before: UnixSeconds) -> Result<Self, Error> {
        Self::generate_with(not_before, &mut OsRng)
    }

    /// As [`Self::generate`], with all randomness from `rng`.
    pub fn generate_with(not_before: UnixSeconds, rng: &mut impl CryptoRngCore) -> Result<Self, Error> {
        let keys = [(); 4].map(|()| P256Key(SigningKey::random(rng)));
        let mut fuse_secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *fuse_secret);
        Self::from_keys(not_before, keys, fuse_secret)
    }

    /// Signatures are deterministic: keys and dates determine every certificate.
    pub(super) fn from_keys(
        not_before: UnixSeconds,
        keys: [P256Key; 4],
        fuse_secret: Zeroizing<[u8; 32]>,
    ) -> Result<Self, Error> {
        let certificates = [const { Vec::new() }; 4];
        let mut authority = Self { not_before, keys, certificates, fuse_secret };
        for subject in IntelIssuer::ALL {
            let validity = certificate::validity(subject, not_before)?;
            let spec = authority.ca_spec(subject, validity);
            authority.certificates[subject.index()] = authority.sign_certificate(IntelIssuer::Root, &spec)?;
        }
        Ok(authority)
    }

    /// The root certificate, DER: what a test's trust roots hold instead of Intel's.
    pub fn root_der(&self) -> &[u8] {
        self.certificate_der(IntelIssuer::Root)
    }

    /// One of the authority's certificates, DER.
    pub fn certificate_der(&self, whose: IntelIssuer) -> &[u8] {
        &self.certificates[whose.index()]
    }

    /// A certificate and the root, PEM, as Intel's service sends issuer chains.
    pub fn issuer_chain(&self, issuer: IntelIssuer) -> String {
        pem::certificates(&[self.certificate_der(issuer), self.root_der()])
    }

    /// What a certificate that the root signs says, for a test to change and sign again.
    pub fn ca_spec(&self, subject: IntelIssuer, validity: Validity) -> CertificateSpec {
        let key = self.key(subject);
        let root_key_id = self.key(IntelIssuer::Root).key_id();
        certificate::ca(subject, validity, &key.subject_public_key_info(), &key.key_id(), &root_key_id)
    }

    /// The PPID of the simulated platform of that number. Always the same for one authority.
    pub fn ppid(&self, number: u32) -> [u8; 16] {
        let mut ppid = [0; 16];
        ppid.copy_from_slice(&self.derive(b"ppid", &[&number.to_be_bytes()])[..16]);
        ppid
    }

    /// The PCK of a platform. As in hardware, each platform and each TCB has a key of its own.
    pub fn pck_key(&self, facts: &PckFacts) -> P256Key {
        self.derive_key(b"pck", facts)
    }

    /// The attestation key that the platform's quoting enclave made.
    pub fn attestation_key(&self, facts: &PckFacts) -> P256Key {
        self.derive_key(b"attestation", facts)
    }

    /// What the PCK certificate of a platform says; [`IntelIssuer::PckCa`] signs it.
    pub fn pck_spec(
        &self,
        ca: PckCa,
        facts: &PckFacts,
        not_before: UnixSeconds,
    ) -> Result<CertificateSpec, Error> {
        let key = self.pck_key(facts);
        let mut serial = self.derive(b"serial", &[&key.public_point()])[..20].to_vec();
        serial[0] = serial[0] & 0x7f | 0x40;
        Ok(certificate::pck(
            ca,
            facts,
            &serial,
            Validity::years(not_before, PCK_YEARS)?,
            &key.subject_public_key_info(),
            &key.key_id(),
            &self.key(IntelIssuer::PckCa(ca)).key_id(),
        ))
    }

    /// What a revocation list with nothing revoked says.
    pub fn crl_spec(
        &self,
        issuer: IntelIssuer,
        this_update: UnixSeconds,
        next_update: UnixSeconds,
    ) -> CrlSpec {
        certificate::crl(issuer, this_update, next_update, &self.key(issuer).key_id())
    }

    /// Signs a certificate. Nothing is checked: what is wrong in `spec` stays wrong.
    pub fn sign_certificate(&self, issuer: IntelIssuer, spec: &CertificateSpec) -> Result<Vec<u8>, Error> {
        spec.with_signature(&self.key(issuer).sign_der(&spec.to_be_signed()?))
    }

    /// Signs a revocation list.
    pub fn sign_crl(&self, issuer: IntelIssuer, spec: &CrlSpec) -> Result<Vec<u8>, Error> {
        spec.with_signature(&self.key(issuer).sign_der(&spec.to_be_signed()?))
    }

    /// Signs a collateral text exactly as it stands; r‖s in hexadecimal, as Intel's service sends it.
    pub fn sign_text(&self, text: &str) -> String {
        encoding::to_hex(&self.key(IntelIssuer::TcbSigning).sign_raw(text.as_bytes()))
    }

    /// Signs all parts of the collateral. Every field of the result is a text that a test may change,
    /// and sign again with [`Self::sign_text`].
    pub fn collateral(&self, spec: &CollateralSpec) -> Result<TdxCollateral, Error> {
        let pck_ca = IntelIssuer::PckCa(spec.ca);
        let tcb_info = spec.tcb_info.to_json();
        let qe_identity = spec.qe_identity.to_json();
        let signer_chain = self.issuer_chain(IntelIssuer::TcbSigning);
        Ok(TdxCollateral {
            pck_crl_issuer_chain: self.issuer_chain(pck_ca),
            root_ca_crl: encoding::to_hex(&self.sign_crl(IntelIssuer::Root, &spec.root_crl)?),
            pck_crl: encoding::to_hex(&self.sign_crl(pck_ca, &spec.pck_crl)?),
            tcb_info_issuer_chain: signer_chain.clone(),
            tcb_info_signature: self.sign_text(&tcb_info),
            tcb_info,
            qe_identity_issuer_chain: signer_chain,
            qe_identity_signature: self.sign_text(&qe_identity),
            qe_identity,
            pck_certificate_chain: None,
        })
    }

    pub(super) fn key(&self, whose: IntelIssuer) -> &P256Key {
        &self.keys[whose.index()]
    }

    fn derive_key(&self, purpose: &[u8], facts: &PckFacts) -> P256Key {
        let tcb = [facts.components.as_slice(), &facts.pcesvn.to_be_bytes(), &facts.cpu_svn].concat();
        // A 256-bit string is not a scalar of P-256 once in 2^32.
        (0u32..)
            .find_map(|attempt| {
                let parts: [&[u8]; 3] = [&facts.ppid, &tcb, &attempt.to_be_bytes()];
                P256Key::from_scalar(&self.derive(purpose, &parts))
            })
            .unwrap_or_else(|| unreachable!("one of 2^32 strings is a scalar"))
    }

    /// All contexts of one purpose have the same length: no two inputs collide.
    fn derive(&self, purpose: &[u8], context: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&*self.fuse_secret)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(b"vouchsafe-simulator/intel/");
        mac.update(purpose);
        mac.update(&[0]);
        for part in context {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
