//! An authority, a platform and a TD, minted anew for each row with one thing changed.

use vouchsafe_simulator::intel::{
    EventLog, IntelAuthority, IntelIssuer, QuoteParts, TdxMachine, TdxMachineSpec,
};
use vouchsafe_simulator::pem;
use vouchsafe_simulator::x509::{CertificateSpec, Validity};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::tdx::{self, VerifiedTdx};
use vouchsafe_verifier::{Endorsements, Error, Evidence, TdxCollateral, TrustRoots, UnixSeconds};

/// When the authority was founded.
const FOUNDED: UnixSeconds = UnixSeconds(1_735_689_600);
/// When the platform was endorsed.
pub(crate) const ENDORSED: UnixSeconds = UnixSeconds(1_767_225_600);
/// When evidence is judged: a day later.
pub(crate) const AT: UnixSeconds = UnixSeconds(ENDORSED.0 + 86_400);
/// What the TD's initial memory measures to.
pub(crate) const MRTD: [u8; 48] = [0x4d; 48];
/// The serial number of the certificate in [`World::qe_signer_chain`].
pub(crate) const QE_SIGNER_SERIAL: [u8; 4] = [0x51, 0x45, 0x49, 0x44];
/// What the TD wants signed.
pub(crate) const REPORT_DATA: [u8; 64] = [7; 64];

/// Which quote a row starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// Version 4, TD 1.0.
    V4,
    /// Version 5, TD 1.5.
    V5,
}

/// Changes the platform before anything is minted for it.
type InPlatform = Box<dyn Fn(&mut TdxMachineSpec)>;
/// Changes what platform, TD, lists and documents say before they are signed.
type InMachine = Box<dyn Fn(&World, &mut TdxMachine)>;
/// Changes the quote's parts after they were signed.
type InQuote = Box<dyn Fn(&World, &TdxMachine, &mut QuoteParts)>;
/// Changes the quote's bytes.
type InBytes = Box<dyn Fn(&mut Vec<u8>)>;
/// Changes the collateral after it was signed.
type InCollateral = Box<dyn Fn(&World, &mut TdxCollateral)>;
/// Changes the event log after its registers were quoted.
type InEventLog = Box<dyn Fn(&mut EventLog)>;

/// The one thing that a row changes, and when: before signing or after.
pub(crate) enum Change {
    /// Nothing: another control.
    Nothing,
    /// The platform; everything is minted for the changed one.
    Platform(InPlatform),
    /// What platform, TD, lists and documents say; everything is signed by the right keys.
    Machine(InMachine),
    /// The quote's parts.
    Quote(InQuote),
    /// The quote's bytes.
    Bytes(InBytes),
    /// The collateral as it travels.
    Collateral(InCollateral),
    /// The event log as it travels.
    EventLog(InEventLog),
    /// The moment of judgement.
    At(UnixSeconds),
    /// The roots that are believed.
    Roots(TrustRoots),
    /// The quote's parts, and the root that is believed.
    Rooted(InQuote, fn(&World) -> Vec<u8>),
    /// What is judged, once all of it is there.
    Minted(fn(&mut Minted)),
}

/// What must come of a row.
pub(crate) enum Expected {
    /// An error with this code.
    Code(&'static str),
    /// A verified quote of this status.
    Status(&'static str),
    /// A verified quote of which this holds; of the control it does not.
    Fact(fn(&VerifiedTdx) -> bool),
}

impl Expected {
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => f.write_str(code),
            Self::Status("UpToDate") => f.write_str("accepted"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Fact(_) => f.write_str("a fact for policies"),
        }
    }
}

/// One row of a table.
pub(crate) struct Row {
    pub(crate) clause: u8,
    pub(crate) what: String,
    pub(crate) base: Base,
    pub(crate) change: Change,
    pub(crate) expected: Expected,
}

/// Evidence ready to be judged.
pub(crate) struct Minted {
    pub(crate) quote: Vec<u8>,
    pub(crate) event_log: Vec<u8>,
    pub(crate) collateral: Option<TdxCollateral>,
    pub(crate) at: UnixSeconds,
    pub(crate) roots: TrustRoots,
}

/// The authority that is believed, another one that bears the same names, and a platform of each.
pub(crate) struct World {
    pub(crate) authority: IntelAuthority,
    pub(crate) stranger: IntelAuthority,
    pub(crate) strangers_machine: TdxMachine,
}

impl World {
    pub(crate) fn new() -> Self {
        let authority = IntelAuthority::generate(FOUNDED).unwrap();
        let stranger = IntelAuthority::generate(FOUNDED).unwrap();
        let spec = TdxMachineSpec::typical(&stranger, ENDORSED);
        let strangers_machine = TdxMachine::new(&stranger, &spec, MRTD).unwrap();
        Self { authority, stranger, strangers_machine }
    }

    pub(crate) fn spec(&self, base: Base) -> TdxMachineSpec {
        let mut spec = TdxMachineSpec::typical(&self.authority, ENDORSED);
        if base == Base::V5 {
            spec.quote_version = 5;
            spec.is_td15 = true;
        }
        spec
    }

    /// Evidence with nothing wrong.
    pub(crate) fn mint(&self, base: Base) -> Minted {
        self.mint_changed(base, &Change::Nothing)
    }

    /// Evidence with one thing changed.
    pub(crate) fn mint_changed(&self, base: Base, change: &Change) -> Minted {
        let mut spec = self.spec(base);
        if let Change::Platform(change) = change {
            change(&mut spec);
        }
        let mut machine = TdxMachine::new(&self.authority, &spec, MRTD).unwrap();
        let log = EventLog::typical("console=ttyS0");
        machine.boot(log.clone());
        if let Change::Machine(change) = change {
            change(self, &mut machine);
        }
        let mut parts = machine.quote_parts(REPORT_DATA);
        if let Change::Quote(change) | Change::Rooted(change, _) = change {
            change(self, &machine, &mut parts);
        }
        let mut quote = parts.to_bytes();
        if let Change::Bytes(change) = change {
            change(&mut quote);
        }
        let mut collateral = match machine.endorsements().unwrap() {
            Endorsements::Tdx(collateral) => collateral,
            other => panic!("{other:?}"),
        };
        if let Change::Collateral(change) = change {
            change(self, &mut collateral);
        }
        let roots = match change {
            Change::Roots(roots) => roots.clone(),
            Change::Rooted(_, root) => TrustRoots::none().with_test_intel_root(&root(self)).unwrap(),
            _ => TrustRoots::none().with_test_intel_root(self.authority.root_der()).unwrap(),
        };
        let at = if let Change::At(at) = change { *at } else { AT };
        let event_log = match (change, machine.evidence(REPORT_DATA)) {
            (Change::EventLog(change), _) => {
                let mut changed = log;
                change(&mut changed);
                changed.to_ccel()
            }
            (_, Evidence::Tdx { event_log: Some(log), .. }) => log.0,
            (_, other) => panic!("{other:?}"),
        };
        let mut minted = Minted { quote, event_log, collateral: Some(collateral), at, roots };
        if let Change::Minted(change) = change {
            change(&mut minted);
        }
        minted
    }

    /// Judges a row; says how it came out if not as expected.
    pub(crate) fn judge(&self, row: &Row) -> Result<(), String> {
        let result = self.mint_changed(row.base, &row.change).verify();
        let outcome = match &result {
            Ok(verified) => format!("verified, {}", verified.tcb().status()),
            Err(error) => format!("{}: {error}", error.code()),
        };
        let is_expected = match (&row.expected, &result) {
            (Expected::Code(code), Err(error)) => error.code() == *code,
            (Expected::Status(status), Ok(verified)) => verified.tcb().status().as_str() == *status,
            (Expected::Fact(holds), Ok(verified)) => {
                let control = self.mint(row.base).verify().unwrap();
                holds(verified) && !holds(&control)
            }
            _ => false,
        };
        if is_expected { Ok(()) } else { Err(format!("({}) {}: {outcome}", row.clause, row.what)) }
    }

    /// The PCK chain in DER, leaf first, its PCK and CA certificates changed before they were signed.
    pub(crate) fn pck_chain(
        &self,
        in_pck: impl Fn(&mut CertificateSpec),
        in_ca: impl Fn(&mut CertificateSpec),
    ) -> Vec<Vec<u8>> {
        let spec = self.spec(Base::V4);
        let ca = IntelIssuer::PckCa(spec.ca);
        let mut pck = self.authority.pck_spec(spec.ca, &spec.facts, ENDORSED).unwrap();
        in_pck(&mut pck);
        let pck = self.authority.sign_certificate(ca, &pck).unwrap();
        vec![pck, self.changed_ca(ca, in_ca), self.authority.root_der().to_vec()]
    }

    /// The stranger's PCK chain in DER, leaf first.
    pub(crate) fn strangers_chain(&self) -> Vec<Vec<u8>> {
        let spec = TdxMachineSpec::typical(&self.stranger, ENDORSED);
        let ca = IntelIssuer::PckCa(spec.ca);
        let pck = self.stranger.pck_spec(spec.ca, &spec.facts, ENDORSED).unwrap();
        let pck = self.stranger.sign_certificate(ca, &pck).unwrap();
        vec![pck, self.stranger.certificate_der(ca).to_vec(), self.stranger.root_der().to_vec()]
    }

    /// The chain of a signer of QE identities whose certificate is not that of the TCB info's signer.
    pub(crate) fn qe_signer_chain(&self, change: impl Fn(&mut CertificateSpec)) -> String {
        let signer = self.changed_ca(IntelIssuer::TcbSigning, |spec| {
            spec.serial = QE_SIGNER_SERIAL.to_vec();
            change(spec);
        });
        pem::certificates(&[&signer, self.authority.root_der()])
    }

    /// A certificate that the root signs, changed before it did.
    pub(crate) fn changed_ca(&self, subject: IntelIssuer, change: impl Fn(&mut CertificateSpec)) -> Vec<u8> {
        let validity = Validity::years(FOUNDED, 15).unwrap();
        let mut spec = self.authority.ca_spec(subject, validity);
        change(&mut spec);
        self.authority.sign_certificate(IntelIssuer::Root, &spec).unwrap()
    }
}

impl Minted {
    pub(crate) fn verify(&self) -> Result<Box<VerifiedTdx>, Error> {
        let log = Some(self.event_log.as_slice());
        tdx::verify(&self.quote, log, self.collateral.as_ref(), &self.roots, self.at, &Ring).map(|(v, _)| v)
    }
}

/// A row on a version 4 quote that changes the quote's parts.
pub(crate) fn in_quote(
    clause: u8,
    what: impl Into<String>,
    change: impl Fn(&World, &TdxMachine, &mut QuoteParts) + 'static,
    code: &'static str,
) -> Row {
    row(clause, what, Change::Quote(Box::new(change)), Expected::Code(code))
}

/// A row on a version 4 quote that changes what is signed.
pub(crate) fn in_machine(
    clause: u8,
    what: impl Into<String>,
    change: impl Fn(&World, &mut TdxMachine) + 'static,
    code: &'static str,
) -> Row {
    row(clause, what, Change::Machine(Box::new(change)), Expected::Code(code))
}

/// A row on a version 4 quote that changes the collateral after it was signed.
pub(crate) fn in_collateral(
    clause: u8,
    what: impl Into<String>,
    change: impl Fn(&World, &mut TdxCollateral) + 'static,
    code: &'static str,
) -> Row {
    row(clause, what, Change::Collateral(Box::new(change)), Expected::Code(code))
}

/// A row on a version 4 quote.
pub(crate) fn row(clause: u8, what: impl Into<String>, change: Change, expected: Expected) -> Row {
    Row { clause, what: what.into(), base: Base::V4, change, expected }
}

impl Row {
    /// The same row on a version 5 quote.
    pub(crate) fn on_v5(mut self) -> Self {
        self.base = Base::V5;
        self
    }
}
