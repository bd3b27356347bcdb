//! A chip with one guest on it, and the evidence they make.

use rand_core::CryptoRngCore;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, UnixSeconds};

use super::{AmdAuthority, Issuer, REPORT_BYTES, ReportFields, SIGNED_BYTES, Tcb, VekKey};
use crate::Error;
use crate::x509::Validity;

/// How long a VCEK certificate lasts, years.
const VCEK_YEARS: u16 = 7;
/// How long a VLEK certificate lasts, years.
const VLEK_YEARS: u16 = 1;
/// How long a revocation list lasts, days.
const CRL_DAYS: u64 = 365;
/// KEY_INFO's SIGNING_KEY for a VLEK: 1, in bits 4:2.
const SIGNED_BY_VLEK: u32 = 1 << 2;

/// Which key signs a machine's reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VekKind {
    /// The chip's own.
    Vcek,
    /// One that a cloud provider loaded; reports then hide the chip.
    Vlek {
        /// The provider, as in the certificate's cspID.
        csp_id: String,
    },
}

/// What a machine is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpMachineSpec {
    /// The chip.
    pub chip_id: [u8; 64],
    /// The TCB it reports, and whose key signs.
    pub tcb: Tcb,
    /// Which key signs.
    pub vek: VekKind,
    /// First second of the VEK certificate and of the CRL.
    pub endorsed_at: UnixSeconds,
}

impl SnpMachineSpec {
    /// The authority's first chip, at a current TCB, with its VCEK.
    pub fn typical(authority: &AmdAuthority, endorsed_at: UnixSeconds) -> Self {
        Self {
            chip_id: authority.chip_id(0),
            tcb: authority.product().typical_tcb(),
            vek: VekKind::Vcek,
            endorsed_at,
        }
    }
}

/// A simulated chip with one guest. Its reports are what hardware would make, under another root.
#[derive(Debug, Clone)]
pub struct SnpMachine {
    fields: ReportFields,
    key: VekKey,
    endorsements: SnpEndorsements,
}

impl SnpMachine {
    /// Starts a guest with this launch measurement, and has its chip endorsed. `rng` is for the
    /// certificates' signatures.
    pub fn new(
        authority: &AmdAuthority,
        spec: &SnpMachineSpec,
        measurement: [u8; 48],
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, Error> {
        let mut fields = ReportFields::typical(authority.product(), spec.tcb);
        fields.measurement = measurement;
        rng.fill_bytes(&mut fields.report_id);
        let (key, vek, intermediate) = match &spec.vek {
            VekKind::Vcek => {
                fields.chip_id = spec.chip_id;
                let validity = Validity::years(spec.endorsed_at, VCEK_YEARS)?;
                let certificate = authority.vcek_spec(&spec.chip_id, spec.tcb, validity);
                (
                    authority.vcek_key(&spec.chip_id, spec.tcb),
                    authority.sign_certificate(Issuer::Ask, &certificate, rng)?,
                    authority.ask_der(),
                )
            }
            VekKind::Vlek { csp_id } => {
                fields.key_info |= SIGNED_BY_VLEK;
                let validity = Validity::years(spec.endorsed_at, VLEK_YEARS)?;
                let certificate = authority.vlek_spec(csp_id, spec.tcb, validity);
                (
                    authority.vlek_key(csp_id, spec.tcb),
                    authority.sign_certificate(Issuer::Asvk, &certificate, rng)?,
                    authority.asvk_der(),
                )
            }
        };
        let crl_validity = Validity::days(spec.endorsed_at, CRL_DAYS);
        let crl = authority.crl_spec(1, crl_validity.not_before, crl_validity.not_after)?;
        let crl = authority.sign_crl(Issuer::Ark, &crl, rng)?;
        let endorsements = SnpEndorsements {
            vek: Some(Base64(vek)),
            intermediate: Some(Base64(intermediate.to_vec())),
            root: Some(Base64(authority.ark_der().to_vec())),
            crl: Some(Base64(crl)),
        };
        Ok(Self { fields, key, endorsements })
    }

    /// What every report of this machine says, REPORT_DATA aside.
    pub fn fields(&self) -> &ReportFields {
        &self.fields
    }

    /// Changes what every report of this machine says. The key stays the one the machine was made
    /// with, even when REPORTED_TCB or CHIP_ID then contradict it.
    pub fn fields_mut(&mut self) -> &mut ReportFields {
        &mut self.fields
    }

    /// The report on `report_data`, signed.
    pub fn attest(&self, report_data: [u8; 64]) -> [u8; REPORT_BYTES] {
        self.key.sign_report(&ReportFields { report_data, ..self.fields.clone() }.to_bytes())
    }

    /// Signs any bytes as a report, for one that no fields could make: reserved bytes set, say.
    pub fn sign_raw(&self, signed: &[u8; SIGNED_BYTES]) -> [u8; REPORT_BYTES] {
        self.key.sign_report(signed)
    }

    /// The report on `report_data`, as evidence travels.
    pub fn evidence(&self, report_data: [u8; 64]) -> Evidence {
        Evidence::SevSnp { report: Base64(self.attest(report_data).to_vec()) }
    }

    /// The certificates and the CRL for this machine's reports.
    pub fn snp_endorsements(&self) -> &SnpEndorsements {
        &self.endorsements
    }

    /// Replaces certificates or the CRL, by wrong ones say.
    pub fn snp_endorsements_mut(&mut self) -> &mut SnpEndorsements {
        &mut self.endorsements
    }

    /// The certificates and the CRL for this machine's reports, as endorsements travel.
    pub fn endorsements(&self) -> Endorsements {
        Endorsements::SevSnp(self.endorsements.clone())
    }
}
