//! A simulated machine's report and endorsements before they are signed, so that a row of the table
//! changes one thing and everything around it is signed again: what is refused then is that thing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use vouchsafe_simulator::amd::{
    AmdAuthority, Issuer, Product, REPORT_BYTES, ReportFields, SIGNED_BYTES, Tcb, VekKey,
};
use vouchsafe_simulator::x509::{CertificateSpec, CrlSpec, PssParameters, Validity};
use vouchsafe_simulator::{Error as SimulatorError, OsRng};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{
    Endorsements, Error, Evidence, SnpEndorsements, TrustRoots, UnixSeconds, VerifiedEvidence, verify,
};

/// 2025-01-01T00:00:00Z, when the simulated authorities begin.
pub(crate) const BEGIN: UnixSeconds = UnixSeconds(1_735_689_600);
/// 2026-01-01T00:00:00Z, when VEK certificates and revocation lists begin.
pub(crate) const ENDORSED: UnixSeconds = UnixSeconds(1_767_225_600);
/// 2026-02-01T00:00:00Z, when everything here is judged unless a row says otherwise.
pub(crate) const AT: UnixSeconds = UnixSeconds(1_769_904_000);
pub(crate) const DAY: u64 = 86_400;

pub(crate) const CSP_ID: &str = "CN=simulated.invalid";

/// Changes bytes once everything is signed.
type Afterwards = fn(&mut Vec<u8>);

/// A report and its endorsements, unsigned and changeable.
pub(crate) struct Draft {
    pub(crate) authority: &'static AmdAuthority,
    pub(crate) fields: ReportFields,
    /// Bytes of the report that no field could make, by offset; set before signing.
    pub(crate) raw: Vec<(usize, u8)>,
    /// Applied to the signed report.
    pub(crate) report_afterwards: Option<Afterwards>,
    pub(crate) vek_key: VekKey,
    pub(crate) vek: Option<Signed<CertificateSpec>>,
    pub(crate) intermediate: Signed<CertificateSpec>,
    pub(crate) root: Signed<CertificateSpec>,
    /// Whether the intermediate travels with the endorsements.
    pub(crate) offers_intermediate: bool,
    /// Whether the root travels with the endorsements.
    pub(crate) offers_root: bool,
    /// The root that the verifier believes, where it is not `root`.
    pub(crate) believes: Option<Vec<u8>>,
    pub(crate) crl: Option<Signed<CrlSpec>>,
    /// Applied to the signed list.
    pub(crate) crl_afterwards: Option<Afterwards>,
    pub(crate) at: UnixSeconds,
}

/// What is to be signed, by whom, and how when it is not as the parameters in it say.
pub(crate) struct Signed<T> {
    pub(crate) spec: T,
    pub(crate) by: Issuer,
    pub(crate) how: Option<PssParameters>,
}

impl<T> Signed<T> {
    fn new(spec: T, by: Issuer) -> Self {
        Self { spec, by, how: None }
    }
}

impl Signed<CertificateSpec> {
    fn der(&self, authority: &AmdAuthority) -> Vec<u8> {
        let what = format!("{:?} {:?} {:?} {:?}", authority.product(), self.by, self.how, self.spec);
        signed_once(what, || match self.how {
            None => authority.sign_certificate(self.by, &self.spec, &mut OsRng).unwrap(),
            Some(how) => {
                let to_be_signed = self.spec.to_be_signed().unwrap();
                let signature = authority.sign(self.by, &to_be_signed, how, &mut OsRng).unwrap();
                self.spec.with_signature(&signature).unwrap()
            }
        })
    }
}

impl Draft {
    /// A machine with a VCEK and a revocation list, everything in order.
    pub(crate) fn vcek(product: Product) -> Self {
        let authority = authority(product);
        let (chip_id, tcb) = (authority.chip_id(0), product.typical_tcb());
        let mut fields = ReportFields::typical(product, tcb);
        fields.chip_id = chip_id;
        let vek = authority.vcek_spec(&chip_id, tcb, Validity::years(ENDORSED, 7).unwrap());
        Self::new(authority, fields, authority.vcek_key(&chip_id, tcb), vek, Issuer::Ask)
    }

    /// As [`Self::vcek`], with a VLEK, and CHIP_ID hidden.
    pub(crate) fn vlek(product: Product) -> Self {
        let authority = authority(product);
        let tcb = product.typical_tcb();
        let mut fields = ReportFields::typical(product, tcb);
        fields.key_info = 1 << 2;
        let vek = authority.vlek_spec(CSP_ID, tcb, Validity::years(ENDORSED, 1).unwrap());
        Self::new(authority, fields, authority.vlek_key(CSP_ID, tcb), vek, Issuer::Asvk)
    }

    fn new(
        authority: &'static AmdAuthority,
        mut fields: ReportFields,
        vek_key: VekKey,
        vek: CertificateSpec,
        intermediate: Issuer,
    ) -> Self {
        fields.report_data = [0x5a; 64];
        fields.measurement = [0x4d; 48];
        let ca_validity = authority.ca_validity().unwrap();
        let ca = |which| Signed::new(authority.ca_spec(which, ca_validity).unwrap(), Issuer::Ark);
        let crl = authority.crl_spec(7, ENDORSED, UnixSeconds(ENDORSED.0 + 365 * DAY)).unwrap();
        Self {
            authority,
            fields,
            raw: Vec::new(),
            report_afterwards: None,
            vek_key,
            vek: Some(Signed::new(vek, intermediate)),
            intermediate: ca(intermediate),
            root: ca(Issuer::Ark),
            offers_intermediate: true,
            offers_root: true,
            believes: None,
            crl: Some(Signed::new(crl, Issuer::Ark)),
            crl_afterwards: None,
            at: AT,
        }
    }

    /// Makes the machine run, and report, another TCB than its VEK certificate says.
    pub(crate) fn report_tcb(&mut self, change: impl Fn(&mut Tcb)) {
        let mut tcb = self.authority.product().typical_tcb();
        change(&mut tcb);
        let bytes = tcb.to_bytes(self.authority.product());
        for field in [
            &mut self.fields.reported_tcb,
            &mut self.fields.current_tcb,
            &mut self.fields.committed_tcb,
            &mut self.fields.launch_tcb,
        ] {
            *field = bytes;
        }
    }

    /// Makes the VEK's certificate one for this TCB, whatever the report says.
    pub(crate) fn certify_tcb(&mut self, tcb: Tcb) {
        let validity = Validity::years(ENDORSED, 1).unwrap();
        let chip_id = self.fields.chip_id;
        let vek = self.vek.as_mut().unwrap();
        vek.spec = match vek.by {
            Issuer::Asvk => self.authority.vlek_spec(CSP_ID, tcb, validity),
            _ => self.authority.vcek_spec(&chip_id, tcb, validity),
        };
    }

    pub(crate) fn vek_mut(&mut self) -> &mut CertificateSpec {
        &mut self.vek.as_mut().unwrap().spec
    }

    pub(crate) fn crl_mut(&mut self) -> &mut CrlSpec {
        &mut self.crl.as_mut().unwrap().spec
    }

    /// What another verifier is given: report, VEK, ASK or ASVK, and ARK; `None` without a VEK.
    pub(crate) fn signed(&self) -> Option<[Vec<u8>; 4]> {
        let vek = self.vek.as_ref()?.der(self.authority);
        let root = self.believes.clone().unwrap_or_else(|| self.root.der(self.authority));
        Some([self.report(), vek, self.intermediate.der(self.authority), root])
    }

    /// Signs everything and lets the verifier judge.
    pub(crate) fn judge(&self) -> Result<VerifiedEvidence, Error> {
        let evidence = Evidence::SevSnp { report: Base64(self.report()) };
        let root = self.root.der(self.authority);
        let believed = self.believes.as_ref().unwrap_or(&root);
        let roots = TrustRoots::none().with_test_amd_root(believed)?;
        let endorsements = SnpEndorsements {
            vek: self.vek.as_ref().map(|vek| Base64(vek.der(self.authority))),
            intermediate: self.offers_intermediate.then(|| Base64(self.intermediate.der(self.authority))),
            root: self.offers_root.then_some(Base64(root)),
            crl: self.crl.as_ref().map(|crl| Base64(self.crl(crl))),
        };
        verify(&evidence, Some(&Endorsements::SevSnp(endorsements)), &roots, self.at, &Ring)
    }

    fn report(&self) -> Vec<u8> {
        let mut signed: [u8; SIGNED_BYTES] = self.fields.to_bytes();
        for (offset, value) in &self.raw {
            signed[*offset] = *value;
        }
        let report: [u8; REPORT_BYTES] = self.vek_key.sign_report(&signed);
        let mut report = report.to_vec();
        if let Some(afterwards) = self.report_afterwards {
            afterwards(&mut report);
        }
        report
    }

    fn crl(&self, crl: &Signed<CrlSpec>) -> Vec<u8> {
        let what = format!("{:?} {:?} {:?}", self.authority.product(), crl.by, crl.spec);
        let sign = || self.authority.sign_crl(crl.by, &crl.spec, &mut OsRng).unwrap();
        let mut der = signed_once(what, sign);
        if let Some(afterwards) = self.crl_afterwards {
            afterwards(&mut der);
        }
        der
    }
}

/// Signs each thing once: RSA-4096 signatures take tens of milliseconds, and rows share all but one.
fn signed_once(what: String, sign: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    static SIGNED: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    if let Some(der) = SIGNED.lock().unwrap().get(&what) {
        return der.clone();
    }
    let der = sign();
    SIGNED.lock().unwrap().insert(what, der.clone());
    der
}

/// The authority for a product: made once per target directory, since RSA-4096 keys take seconds.
pub(crate) fn authority(product: Product) -> &'static AmdAuthority {
    static AUTHORITIES: [OnceLock<AmdAuthority>; 3] = [const { OnceLock::new() }; 3];
    let slot = Product::ALL.iter().position(|known| *known == product).unwrap();
    AUTHORITIES[slot].get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("amd-{}", product.name()));
        match AmdAuthority::load_or_generate(&folder, product, BEGIN) {
            // What an earlier form of the simulator left behind is made anew.
            Err(SimulatorError::Stored { .. }) => {
                std::fs::remove_dir_all(&folder).unwrap();
                AmdAuthority::load_or_generate(&folder, product, BEGIN).unwrap()
            }
            other => other.unwrap(),
        }
    })
}
