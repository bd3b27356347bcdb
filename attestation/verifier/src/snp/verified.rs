//! What a verified report establishes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::vek::Vek;
use super::{Claims, Product, Report, Tcb, VekKind, VekSubject};
use crate::UnixSeconds;
use crate::x509::{Crl, Validity};

/// A report whose signature, certificates and internal consistency were verified.
#[derive(Debug, Clone)]
pub struct VerifiedSnp {
    report: Report,
    product: Product,
    reported_tcb: Tcb,
    current_tcb: Tcb,
    committed_tcb: Tcb,
    launch_tcb: Tcb,
    vek: VerifiedVek,
    crl: Option<VerifiedCrl>,
}

/// The endorsement key under which a report was verified.
#[derive(Debug, Clone)]
pub struct VerifiedVek {
    subject: VekSubject,
    product_name: String,
    struct_version: u32,
    tcb: Tcb,
    serial: Vec<u8>,
    validity: Validity,
}

/// The ARK's revocation list that was consulted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCrl {
    number: Option<Vec<u8>>,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
}

/// What verification hands over.
pub(super) struct Parts {
    pub(super) report: Report,
    pub(super) product: Product,
    pub(super) reported_tcb: Tcb,
    pub(super) current_tcb: Tcb,
    pub(super) committed_tcb: Tcb,
    pub(super) launch_tcb: Tcb,
    pub(super) crl: Option<VerifiedCrl>,
}

impl VerifiedSnp {
    pub(super) fn new(parts: Parts, vek: Vek<'_>) -> Self {
        let Parts { report, product, reported_tcb, current_tcb, committed_tcb, launch_tcb, crl } = parts;
        let vek = VerifiedVek {
            product_name: vek.product_name.to_string(),
            struct_version: vek.struct_version,
            tcb: vek.tcb,
            serial: vek.certificate.serial().to_vec(),
            validity: vek.certificate.validity(),
            subject: vek.subject,
        };
        Self { report, product, reported_tcb, current_tcb, committed_tcb, launch_tcb, vek, crl }
    }

    /// The report.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The product line, as the certificate chain has it.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Launch measurement.
    pub fn measurement(&self) -> &[u8; 48] {
        self.report.measurement()
    }

    /// TCB for which the signing key was derived: the one to hold to a minimum, since the host can
    /// present a lower one than runs but not a higher one than its chip had.
    pub fn reported_tcb(&self) -> Tcb {
        self.reported_tcb
    }

    /// TCB that ran when the report was made.
    pub fn current_tcb(&self) -> Tcb {
        self.current_tcb
    }

    /// TCB below which the platform can no longer go.
    pub fn committed_tcb(&self) -> Tcb {
        self.committed_tcb
    }

    /// TCB that ran when the guest was launched or imported.
    pub fn launch_tcb(&self) -> Tcb {
        self.launch_tcb
    }

    /// Which kind of key signed.
    pub fn vek_kind(&self) -> VekKind {
        self.vek.subject.kind()
    }

    /// The key that signed.
    pub fn vek(&self) -> &VerifiedVek {
        &self.vek
    }

    /// Whether the ARK's revocation list was consulted (and is no reason to refuse).
    pub fn crl_checked(&self) -> bool {
        self.crl.is_some()
    }

    /// The ARK's revocation list that was consulted.
    pub fn crl(&self) -> Option<&VerifiedCrl> {
        self.crl.as_ref()
    }

    /// Everything the report and its endorsement key claim.
    pub fn claims(&self) -> Claims {
        Claims::of_verified(self)
    }
}

impl VerifiedVek {
    /// Whom the key speaks for: a chip or a cloud provider.
    pub fn subject(&self) -> &VekSubject {
        &self.subject
    }

    /// The product name in the certificate, with its stepping where it has one.
    pub fn product_name(&self) -> &str {
        &self.product_name
    }

    /// Version of AMD's certificate structure.
    pub fn struct_version(&self) -> u32 {
        self.struct_version
    }

    /// TCB in the certificate; equal to REPORTED_TCB.
    pub fn tcb(&self) -> Tcb {
        self.tcb
    }

    /// Serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// When the certificate may be used.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl VerifiedCrl {
    pub(super) fn new(crl: &Crl<'_>) -> Self {
        Self {
            number: crl.number().map(<[u8]>::to_vec),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
        }
    }

    /// Its number in AMD's sequence, big-endian.
    pub fn number(&self) -> Option<&[u8]> {
        self.number.as_deref()
    }

    /// When it was issued.
    pub fn this_update(&self) -> UnixSeconds {
        self.this_update
    }

    /// When its successor is due.
    pub fn next_update(&self) -> UnixSeconds {
        self.next_update
    }
}
