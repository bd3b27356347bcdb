//! A stand-in for AMD's and Intel's services, with what the simulator makes, that misbehaves on demand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use data_encoding::HEXLOWER;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use vouchsafe_collateral::Sources;
use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};
use vouchsafe_simulator::intel::{IntelAuthority, TdxMachine, TdxMachineSpec};
use vouchsafe_verifier::{Endorsements, Evidence, TrustRoots, UnixSeconds};

/// How the service behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Connections are closed at once.
    Down,
    Status(u16),
    TooMany {
        wait_seconds: u64,
    },
    /// Status 200 and a page for people.
    Garbage,
    /// The right answer, ended half-way.
    CutOff,
}

/// One path's right answer.
struct Page {
    /// What the request's path and query begin with.
    path: String,
    header: Option<(&'static str, String)>,
    body: Vec<u8>,
}

/// A service on this machine, and the machine whose endorsements it has.
pub(crate) struct Service {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    requests: Arc<AtomicUsize>,
    pub(crate) evidence: Evidence,
    pub(crate) roots: TrustRoots,
}

impl Service {
    fn start(pages: Vec<Page>, evidence: Evidence, roots: TrustRoots) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, requests) = (Arc::new(Mutex::new(Mood::Good)), Arc::new(AtomicUsize::new(0)));
        let (now, count) = (Arc::clone(&mood), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mood = *now.lock().unwrap();
                // A client that goes away in the middle is its own business.
                let _ = answer(stream, mood, &pages);
            }
        });
        Self { address, mood, requests, evidence, roots }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn sources(&self) -> Sources {
        let base = format!("http://{}", self.address);
        Sources { amd_kds: base.clone(), intel_pcs: base.clone(), intel_root_crl: format!("{base}/root.der") }
    }
}

fn answer(stream: TcpStream, mood: Mood, pages: &[Page]) -> std::io::Result<()> {
    if mood == Mood::Down {
        return Ok(());
    }
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let page = pages.iter().find(|page| path.starts_with(&page.path));
    let mut stream = stream;
    let mut send = |status: &str, header: &str, body: &[u8], length: usize| {
        write!(stream, "HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n")?;
        stream.write_all(body)
    };
    match (mood, page) {
        (Mood::Status(status), _) => send(&format!("{status} Broken"), "", b"", 0),
        (Mood::TooMany { wait_seconds }, _) => {
            send("429 Too Many Requests", &format!("retry-after: {wait_seconds}\r\n"), b"", 0)
        }
        (Mood::Garbage, _) => send("200 OK", "", b"<html>maintenance</html>", 24),
        (_, None) => send("404 Not Found", "", b"", 0),
        (mood, Some(page)) => {
            let header = page.header.as_ref().map(|(name, value)| format!("{name}: {value}\r\n"));
            let sent = if mood == Mood::CutOff { &page.body[..page.body.len() / 2] } else { &page.body };
            send("200 OK", &header.unwrap_or_default(), sent, page.body.len())
        }
    }
}

/// A TDX platform, and Intel's service for it.
pub(crate) fn intel(endorsed: UnixSeconds) -> Service {
    let authority = IntelAuthority::generate(endorsed).unwrap();
    let machine =
        TdxMachine::new(&authority, &TdxMachineSpec::typical(&authority, endorsed), [0x4d; 48]).unwrap();
    let Endorsements::Tdx(collateral) = machine.endorsements().unwrap() else { panic!("collateral") };
    let header = |name, chain: &str| Some((name, utf8_percent_encode(chain, NON_ALPHANUMERIC).to_string()));
    let signed = |name: &str, text: &str, signature: &str| {
        format!("{{\"{name}\":{text},\"signature\":\"{signature}\"}}").into_bytes()
    };
    let pages = vec![
        Page {
            path: "/tdx/certification/v4/tcb?fmspc=90c06f000000".into(),
            header: header("TCB-Info-Issuer-Chain", &collateral.tcb_info_issuer_chain),
            body: signed("tcbInfo", &collateral.tcb_info, &collateral.tcb_info_signature),
        },
        Page {
            path: "/tdx/certification/v4/qe/identity".into(),
            header: header("SGX-Enclave-Identity-Issuer-Chain", &collateral.qe_identity_issuer_chain),
            body: signed("enclaveIdentity", &collateral.qe_identity, &collateral.qe_identity_signature),
        },
        Page {
            path: "/sgx/certification/v4/pckcrl?ca=platform&encoding=der".into(),
            header: header("SGX-PCK-CRL-Issuer-Chain", &collateral.pck_crl_issuer_chain),
            body: HEXLOWER.decode(collateral.pck_crl.as_bytes()).unwrap(),
        },
        Page {
            path: "/root.der".into(),
            header: None,
            body: HEXLOWER.decode(collateral.root_ca_crl.as_bytes()).unwrap(),
        },
    ];
    let roots = TrustRoots::none().with_test_intel_root(authority.root_der()).unwrap();
    Service::start(pages, machine.evidence([7; 64]), roots)
}

/// An SNP chip, and AMD's service for it.
pub(crate) fn amd(endorsed: UnixSeconds) -> Service {
    // Its RSA keys take seconds to make.
    static AUTHORITY: OnceLock<AmdAuthority> = OnceLock::new();
    let authority = AUTHORITY.get_or_init(|| AmdAuthority::generate(Product::Genoa, endorsed).unwrap());
    let spec = SnpMachineSpec::typical(authority, endorsed);
    let machine = SnpMachine::new(authority, &spec, [0x4d; 48], &mut OsRng).unwrap();
    let found = machine.snp_endorsements();
    let pem = |der: &[u8]| {
        let text = vouchsafe_verifier::encoding::to_base64(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let der = |field: &Option<vouchsafe_verifier::encoding::Base64>| field.as_ref().unwrap().0.clone();
    let chain = pem(&der(&found.intermediate)) + &pem(&der(&found.root));
    let pages = vec![
        Page { path: "/vcek/v1/Genoa/cert_chain".into(), header: None, body: chain.into_bytes() },
        Page { path: "/vcek/v1/Genoa/crl".into(), header: None, body: der(&found.crl) },
        Page { path: "/vcek/v1/Genoa/".into(), header: None, body: der(&found.vek) },
    ];
    let roots = TrustRoots::none().with_test_amd_root(authority.ark_der()).unwrap();
    Service::start(pages, machine.evidence([7; 64]), roots)
}
