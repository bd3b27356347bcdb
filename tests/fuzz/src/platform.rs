//! One simulated TDX platform: evidence and collateral in good order, of which an input replaces one
//! part. Made from a fixed seed, so that an input means the same in every run.

use std::sync::LazyLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use vouchsafe_simulator::intel::{EventLog, IntelAuthority, IntelIssuer, PckCa, TdxMachine, TdxMachineSpec};
use vouchsafe_simulator::pem;
use vouchsafe_verifier::tdx::{self, VerifiedTdx};
use vouchsafe_verifier::{Endorsements, Error, TdxCollateral, TrustRoots, UnixSeconds};

use crate::Credulous;

/// When everything is judged: 2026-07-01T00:00:00Z, when the real certificates among the seeds are
/// valid too.
pub const AT: UnixSeconds = UnixSeconds(1_782_864_000);
const DAY: u64 = 86_400;

/// Evidence and collateral in good order.
pub struct Platform {
    /// A quote of version 4 with its PCK chain.
    pub quote: Vec<u8>,
    /// A quote of version 5, TD 1.5, with its PCK chain.
    pub quote_v5: Vec<u8>,
    /// The version 4 quote without its PCK chain, which is then the collateral's to bring.
    quote_without_chain: Vec<u8>,
    /// The PCK certificate, DER.
    pub pck: Vec<u8>,
    /// What both quotes verify with.
    pub collateral: TdxCollateral,
    /// What is established about the version 4 quote: the control that changed inputs differ from.
    pub control: Box<VerifiedTdx>,
    /// The log of a boot, as a CCEL area.
    pub ccel: Vec<u8>,
    /// The same log as JSON.
    pub event_log_json: String,
    ca_chain: String,
    roots: TrustRoots,
}

static PLATFORM: LazyLock<Platform> = LazyLock::new(Platform::make);

impl Platform {
    /// The platform.
    pub fn get() -> &'static Self {
        &PLATFORM
    }

    fn make() -> Self {
        let (founded, endorsed) = (UnixSeconds(AT.0 - 400 * DAY), UnixSeconds(AT.0 - DAY));
        let mut rng = ChaCha20Rng::seed_from_u64(0x766f_7563_6873_6166);
        let authority = IntelAuthority::generate_with(founded, &mut rng).expect("authority");
        let spec = TdxMachineSpec::typical(&authority, endorsed);
        let mut machine = TdxMachine::new(&authority, &spec, [0x4d; 48]).expect("machine");
        let log = EventLog::typical("console=ttyS0");
        machine.boot(log.clone());

        let mut parts = machine.quote_parts([7; 64]);
        let quote = parts.to_bytes();
        // Type 3 is an encrypted PPID: anything but a chain.
        parts.inner_certification_type = 3;
        let quote_without_chain = parts.to_bytes();
        let spec_v5 = TdxMachineSpec { quote_version: 5, is_td15: true, ..spec.clone() };
        let machine_v5 = TdxMachine::new(&authority, &spec_v5, [0x4d; 48]).expect("machine");

        let pck_spec = authority.pck_spec(spec.ca, &spec.facts, endorsed).expect("PCK");
        let pck = authority.sign_certificate(IntelIssuer::PckCa(spec.ca), &pck_spec).expect("PCK");
        let ca_chain = authority.issuer_chain(IntelIssuer::PckCa(PckCa::Platform));
        let Endorsements::Tdx(collateral) = machine.endorsements().expect("collateral") else {
            unreachable!("a TDX machine's collateral is of TDX")
        };
        let roots = TrustRoots::vendor_pinned().with_test_intel_root(authority.root_der()).expect("root");
        let (control, _) =
            tdx::verify(&quote, None, Some(&collateral), &roots, AT, &Credulous).expect("a control");
        Self {
            quote,
            control,
            quote_v5: machine_v5.attest([7; 64]),
            quote_without_chain,
            pck,
            collateral,
            ccel: log.to_ccel(),
            event_log_json: log.to_json(),
            ca_chain,
            roots,
        }
    }

    /// Judges this quote with the platform's collateral.
    pub fn verify_quote(&self, quote: &[u8]) -> Result<Box<VerifiedTdx>, Error> {
        self.verify(quote, &self.collateral)
    }

    /// Judges the platform's quote with this PCK certificate in place of its own.
    pub fn verify_pck(&self, pck: &[u8]) -> Result<Box<VerifiedTdx>, Error> {
        let chain = pem::certificates(&[pck]) + &self.ca_chain;
        let collateral = TdxCollateral { pck_certificate_chain: Some(chain), ..self.collateral.clone() };
        self.verify(&self.quote_without_chain, &collateral)
    }

    /// Judges the platform's quote with this TCB info in place of its own.
    pub fn verify_tcb_info(&self, tcb_info: &str) -> Result<Box<VerifiedTdx>, Error> {
        let collateral = TdxCollateral { tcb_info: tcb_info.to_owned(), ..self.collateral.clone() };
        self.verify(&self.quote, &collateral)
    }

    /// Judges the platform's quote with this QE identity in place of its own.
    pub fn verify_qe_identity(&self, qe_identity: &str) -> Result<Box<VerifiedTdx>, Error> {
        let collateral = TdxCollateral { qe_identity: qe_identity.to_owned(), ..self.collateral.clone() };
        self.verify(&self.quote, &collateral)
    }

    fn verify(&self, quote: &[u8], collateral: &TdxCollateral) -> Result<Box<VerifiedTdx>, Error> {
        tdx::verify(quote, None, Some(collateral), &self.roots, AT, &Credulous).map(|(verified, _)| verified)
    }
}
