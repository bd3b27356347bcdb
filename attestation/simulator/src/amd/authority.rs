//! The authority: root, intermediates, and the secrets of every chip it "made".

use hmac::{Hmac, Mac};
use rand_core::{CryptoRngCore, OsRng};
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs8::EncodePublicKey;
use rsa::{Pss, RsaPrivateKey};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use vouchsafe_verifier::UnixSeconds;
use zeroize::Zeroizing;

use super::{Product, Tcb, VekKey, certificate};
use crate::Error;
use crate::x509::{CertificateSpec, CrlSpec, Hash, PssParameters, SignatureAlgorithm, Validity};

/// How long AMD's CA certificates last, years.
const CA_YEARS: u16 = 25;
const RSA_BITS: usize = 4096;

/// Which of the authority's keys signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// The root.
    Ark,
    /// The CA of VCEKs.
    Ask,
    /// The CA of VLEKs.
    Asvk,
}

/// A throwaway AMD for one product: ARK, ASK and ASVK, and the secret from which every chip's keys
/// come. **Simulated**: its root is nobody's trust root unless a test or a development policy says
/// so.
#[derive(Clone)]
pub struct AmdAuthority {
    pub(super) product: Product,
    pub(super) not_before: UnixSeconds,
    pub(super) ark: CertifiedKey,
    pub(super) ask: CertifiedKey,
    pub(super) asvk: CertifiedKey,
    /// Stands for the secrets fused into the chips, which AMD's key service knows too.
    pub(super) fuse_secret: Zeroizing<[u8; 32]>,
}

/// A CA's private key with its certificate.
#[derive(Clone)]
pub(super) struct CertifiedKey {
    pub(super) key: RsaPrivateKey,
    pub(super) certificate: Vec<u8>,
}

impl core::fmt::Debug for AmdAuthority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AmdAuthority(simulated {})", self.product.name())
    }
}

impl AmdAuthority {
    /// Makes an authority whose CA certificates start at `not_before`. Takes seconds: three
    /// RSA-4096 keys, made in parallel from the operating system's randomness.
    pub fn generate(product: Product, not_before: UnixSeconds) -> Result<Self, Error> {
        let generate = || RsaPrivateKey::new(&mut OsRng, RSA_BITS);
        let [ark, ask, asvk] = std::thread::scope(|scope| {
            let ark = scope.spawn(generate);
            let ask = scope.spawn(generate);
            let asvk = generate();
            let join = |thread: std::thread::ScopedJoinHandle<'_, rsa::Result<RsaPrivateKey>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            [join(ark), join(ask), asvk]
        });
        Self::from_keys(product, not_before, [ark?, ask?, asvk?], &mut OsRng)
    }

    /// As [`Self::generate`], one key after the other and with all randomness from `rng`.
    pub fn generate_with(
        product: Product,
        not_before: UnixSeconds,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, Error> {
        let ark = RsaPrivateKey::new(rng, RSA_BITS)?;
        let ask = RsaPrivateKey::new(rng, RSA_BITS)?;
        let asvk = RsaPrivateKey::new(rng, RSA_BITS)?;
        Self::from_keys(product, not_before, [ark, ask, asvk], rng)
    }

    fn from_keys(
        product: Product,
        not_before: UnixSeconds,
        [ark, ask, asvk]: [RsaPrivateKey; 3],
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, Error> {
        let mut fuse_secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *fuse_secret);
        let uncertified = |key| CertifiedKey { key, certificate: Vec::new() };
        let mut authority = Self {
            product,
            not_before,
            ark: uncertified(ark),
            ask: uncertified(ask),
            asvk: uncertified(asvk),
            fuse_secret,
        };
        for subject in [Issuer::Ark, Issuer::Ask, Issuer::Asvk] {
            let spec = authority.ca_spec(subject, authority.ca_validity()?)?;
            let certificate = authority.sign_certificate(Issuer::Ark, &spec, rng)?;
            authority.certified_mut(subject).certificate = certificate;
        }
        Ok(authority)
    }

    /// The product whose names and encodings this authority uses.
    pub fn product(&self) -> Product {
        self.product
    }

    /// The root certificate, DER: what a test's trust roots hold instead of AMD's.
    pub fn ark_der(&self) -> &[u8] {
        &self.ark.certificate
    }

    /// The certificate of the CA of VCEKs, DER.
    pub fn ask_der(&self) -> &[u8] {
        &self.ask.certificate
    }

    /// The certificate of the CA of VLEKs, DER.
    pub fn asvk_der(&self) -> &[u8] {
        &self.asvk.certificate
    }

    /// The CHIP_ID of the simulated chip of that number. Always the same for one authority.
    pub fn chip_id(&self, number: u32) -> [u8; 64] {
        let [low, high] = [0, 1].map(|part| self.derive(b"chip-id", &[&number.to_be_bytes(), &[part]]));
        let mut chip_id = [0; 64];
        chip_id[..48].copy_from_slice(&low);
        chip_id[48..].copy_from_slice(&high[..16]);
        chip_id[self.product.hwid_bytes()..].fill(0);
        chip_id
    }

    /// The key that the chip with this CHIP_ID signs with at this TCB. As in hardware, each TCB has
    /// a key of its own.
    pub fn vcek_key(&self, chip_id: &[u8; 64], tcb: Tcb) -> VekKey {
        self.derive_key(b"vcek", chip_id, tcb)
    }

    /// The key loaded into a provider's chips at this TCB.
    pub fn vlek_key(&self, csp_id: &str, tcb: Tcb) -> VekKey {
        self.derive_key(b"vlek", csp_id.as_bytes(), tcb)
    }

    /// What a CA certificate of this authority says, for a test to change and
    /// [`Self::sign_certificate`] to sign again.
    pub fn ca_spec(&self, subject: Issuer, validity: Validity) -> Result<CertificateSpec, Error> {
        let (spki, key_id) = public_key(&self.certified(subject).key)?;
        let (_, ark_key_id) = public_key(&self.ark.key)?;
        Ok(match subject {
            Issuer::Ark => certificate::ark(self.product, validity, &spki, &key_id),
            Issuer::Ask => certificate::ask(self.product, validity, &spki, &key_id, &ark_key_id),
            Issuer::Asvk => certificate::asvk(self.product, validity, &spki, &key_id, &ark_key_id),
        })
    }

    /// What the VCEK certificate for a chip at a TCB says; [`Issuer::Ask`] signs it.
    pub fn vcek_spec(&self, chip_id: &[u8; 64], tcb: Tcb, validity: Validity) -> CertificateSpec {
        let spki = self.vcek_key(chip_id, tcb).subject_public_key_info();
        let hwid = &chip_id[..self.product.hwid_bytes()];
        certificate::vcek(self.product, tcb, hwid, validity, &spki)
    }

    /// What the VLEK certificate for a provider at a TCB says; [`Issuer::Asvk`] signs it.
    pub fn vlek_spec(&self, csp_id: &str, tcb: Tcb, validity: Validity) -> CertificateSpec {
        let spki = self.vlek_key(csp_id, tcb).subject_public_key_info();
        certificate::vlek(self.product, tcb, csp_id, validity, &spki)
    }

    /// What a revocation list with nothing revoked says; [`Issuer::Ark`] signs it.
    pub fn crl_spec(
        &self,
        number: u64,
        this_update: UnixSeconds,
        next_update: UnixSeconds,
    ) -> Result<CrlSpec, Error> {
        let (_, ark_key_id) = public_key(&self.ark.key)?;
        Ok(certificate::crl(self.product, number, this_update, next_update, &ark_key_id))
    }

    /// Signs a certificate as its `algorithm` says (as AMD does where it says something that is not
    /// RSASSA-PSS). Nothing is checked: what is wrong in `spec` stays wrong.
    pub fn sign_certificate(
        &self,
        issuer: Issuer,
        spec: &CertificateSpec,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Vec<u8>, Error> {
        let how = pss_parameters(&spec.algorithm);
        spec.with_signature(&self.sign(issuer, &spec.to_be_signed()?, how, rng)?)
    }

    /// Signs a revocation list, as [`Self::sign_certificate`] signs a certificate.
    pub fn sign_crl(
        &self,
        issuer: Issuer,
        spec: &CrlSpec,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Vec<u8>, Error> {
        let how = pss_parameters(&spec.algorithm);
        spec.with_signature(&self.sign(issuer, &spec.to_be_signed()?, how, rng)?)
    }

    /// A bare RSASSA-PSS signature, for a certificate that names other parameters than it was
    /// signed with. MGF1 always uses the message's hash: `mgf1_hash` and `explicit_trailer` only
    /// change how parameters are written.
    pub fn sign(
        &self,
        issuer: Issuer,
        message: &[u8],
        how: PssParameters,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Vec<u8>, Error> {
        let salt_bytes = how.salt_bytes.into();
        let (padding, digest) = match how.hash {
            Hash::Sha256 => (Pss::new_with_salt::<Sha256>(salt_bytes), Sha256::digest(message).to_vec()),
            Hash::Sha384 => (Pss::new_with_salt::<Sha384>(salt_bytes), Sha384::digest(message).to_vec()),
            Hash::Sha512 => (Pss::new_with_salt::<Sha512>(salt_bytes), Sha512::digest(message).to_vec()),
        };
        Ok(self.certified(issuer).key.sign_with_rng(rng, padding, &digest)?)
    }

    /// From when until when this authority's own CA certificates are valid.
    pub fn ca_validity(&self) -> Result<Validity, Error> {
        Validity::years(self.not_before, CA_YEARS)
    }

    pub(super) fn certified(&self, which: Issuer) -> &CertifiedKey {
        match which {
            Issuer::Ark => &self.ark,
            Issuer::Ask => &self.ask,
            Issuer::Asvk => &self.asvk,
        }
    }

    fn certified_mut(&mut self, which: Issuer) -> &mut CertifiedKey {
        match which {
            Issuer::Ark => &mut self.ark,
            Issuer::Ask => &mut self.ask,
            Issuer::Asvk => &mut self.asvk,
        }
    }

    fn derive_key(&self, purpose: &[u8], whose: &[u8], tcb: Tcb) -> VekKey {
        let tcb = tcb.to_bytes(self.product);
        // A 384-bit string is not a scalar of P-384 once in 2^190: the loop is for form's sake.
        (0u32..)
            .find_map(|attempt| {
                VekKey::from_scalar(&self.derive(purpose, &[&tcb, &attempt.to_be_bytes(), whose]))
            })
            .unwrap_or_else(|| unreachable!("one of 2^32 strings is a scalar"))
    }

    fn derive(&self, purpose: &[u8], context: &[&[u8]]) -> [u8; 48] {
        // The only variable-length part of any context comes last, so that no two inputs collide.
        let mut mac = <Hmac<Sha384> as Mac>::new_from_slice(&*self.fuse_secret)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(b"vouchsafe-simulator/");
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(self.product.name().as_bytes());
        for part in context {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// `SubjectPublicKeyInfo` and the key identifier AMD uses: SHA-1 of the `RSAPublicKey` (RFC 5280,
/// 4.2.1.2, method 1).
pub(super) fn public_key(key: &RsaPrivateKey) -> Result<(Vec<u8>, [u8; 20]), Error> {
    let public = key.to_public_key();
    let failed = |detail: String| Error::Pkcs8 { what: "public key".to_owned(), detail };
    let spki = public.to_public_key_der().map_err(|e| failed(e.to_string()))?;
    let pkcs1 = public.to_pkcs1_der().map_err(|e| failed(e.to_string()))?;
    Ok((spki.into_vec(), Sha1::digest(pkcs1.as_bytes()).into()))
}

fn pss_parameters(algorithm: &SignatureAlgorithm) -> PssParameters {
    match algorithm {
        SignatureAlgorithm::RsaPss(parameters) => *parameters,
        SignatureAlgorithm::EcdsaSha256 | SignatureAlgorithm::Raw(_) => PssParameters::AMD,
    }
}
