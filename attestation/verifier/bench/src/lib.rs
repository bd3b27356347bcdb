//! The same real evidence, verified by this repository and by the crates `dcap-qvl` and `sev`.
//!
//! Each side starts from raw bytes and ends with a verdict on the evidence and its whole chain, with
//! nothing kept from one verification to the next. What a side is handed in advance is what its callers
//! would have at hand: `dcap-qvl` gets its collateral decoded, the verifier gets the hexadecimal and
//! PEM that travel.

use std::path::{Path, PathBuf};
use std::{env, fs};

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::configs::RingConfig;
use dcap_qvl::verify::QuoteVerifier;
use serde_json::Value;
use sev::certs::snp::{Chain, Verifiable as _};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser as _;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{
    Endorsements, Evidence, SnpEndorsements, TdxCollateral, TrustRoots, UnixSeconds, verify,
};

/// A verification, ready to be run: true when the evidence was accepted.
pub type Verification = Box<dyn Fn() -> bool>;

/// One piece of evidence and both ways to verify it.
pub struct Case {
    /// The vector's folder.
    pub name: &'static str,
    /// This repository's verifier.
    pub ours: Verification,
    /// Whose the other one is.
    pub peer: &'static str,
    /// The other one.
    pub theirs: Verification,
}

/// The cases; `None` where the fixtures folder is absent.
pub fn cases() -> Option<Vec<Case>> {
    let vectors = fixtures()?.join("vectors");
    Some(vec![
        tdx(&vectors, "v4-phala-uptodate", "collateral-2025-06-19.json"),
        tdx(&vectors, "v5-google-uptodate", "collateral-2026-02-18.json"),
        snp(&vectors, "milan-v3-dstack", "milan"),
        snp(&vectors, "turin-v5-aci", "turin"),
    ])
}

/// The folder that `VOUCHSAFE_FIXTURES` names, or `../shared` beside the checkout.
fn fixtures() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared");
    let folder = env::var_os("VOUCHSAFE_FIXTURES").map_or_else(beside, PathBuf::from);
    folder.join("vectors").is_dir().then_some(folder)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tdx(vectors: &Path, name: &'static str, collateral: &str) -> Case {
    let folder = vectors.join("tdx").join(name);
    let quote = read(&folder.join("quote.bin"));
    let collateral: TdxCollateral =
        serde_json::from_slice(&read(&folder.join(collateral))).expect("collateral");
    let expect: Value = serde_json::from_slice(&read(&folder.join("expect.json"))).expect("expect.json");
    let at = UnixSeconds(expect["appraisals"][0]["verify_at_unix"].as_u64().expect("a moment"));

    let peer = peer_collateral(&collateral);
    let peer_quote = quote.clone();
    let evidence = Evidence::Tdx { quote: Base64(quote), event_log: None };
    let endorsements = Endorsements::Tdx(collateral);
    let roots = TrustRoots::vendor_pinned();
    Case {
        name,
        ours: Box::new(move || verify(&evidence, Some(&endorsements), &roots, at, &Ring).is_ok()),
        peer: "dcap-qvl",
        theirs: Box::new(move || {
            let verifier = QuoteVerifier::new_prod().with_config::<RingConfig>();
            verifier.verify(&peer_quote, &peer, at.0).is_ok()
        }),
    }
}

fn peer_collateral(collateral: &TdxCollateral) -> QuoteCollateralV3 {
    QuoteCollateralV3 {
        pck_crl_issuer_chain: collateral.pck_crl_issuer_chain.clone(),
        root_ca_crl: from_hex(&collateral.root_ca_crl),
        pck_crl: from_hex(&collateral.pck_crl),
        tcb_info_issuer_chain: collateral.tcb_info_issuer_chain.clone(),
        tcb_info: collateral.tcb_info.clone(),
        tcb_info_signature: from_hex(&collateral.tcb_info_signature),
        qe_identity_issuer_chain: collateral.qe_identity_issuer_chain.clone(),
        qe_identity: collateral.qe_identity.clone(),
        qe_identity_signature: from_hex(&collateral.qe_identity_signature),
        pck_certificate_chain: collateral.pck_certificate_chain.clone(),
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
    digits.expect("hexadecimal").chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn snp(vectors: &Path, name: &'static str, product: &str) -> Case {
    let snp = vectors.join("snp");
    let (report, vek) = (read(&snp.join(name).join("report.bin")), read(&snp.join(name).join("vek.der")));
    let ark = read(&snp.join(format!("chains/{product}-ark.der")));
    let ask = read(&snp.join(format!("chains/{product}-ask.der")));
    let expect: Value =
        serde_json::from_slice(&read(&snp.join(name).join("expect.json"))).expect("expect.json");
    let at = expect["verdict"]["verify_at"].as_str().and_then(UnixSeconds::from_rfc3339).expect("a moment");

    let evidence = Evidence::SevSnp { report: Base64(report.clone()) };
    let endorsements = Endorsements::SevSnp(SnpEndorsements {
        vek: Some(Base64(vek.clone())),
        intermediate: Some(Base64(ask.clone())),
        root: Some(Base64(ark.clone())),
        crl: None,
    });
    let roots = TrustRoots::vendor_pinned();
    let report: [u8; 1184] = report.try_into().expect("1184 bytes");
    Case {
        name,
        ours: Box::new(move || verify(&evidence, Some(&endorsements), &roots, at, &Ring).is_ok()),
        peer: "sev with OpenSSL",
        theirs: Box::new(move || {
            let Ok(chain) = Chain::from_der(&ark, &ask, &vek) else { return false };
            let Ok(report) = AttestationReport::from_bytes(&report) else { return false };
            let (ark, ask) = (&chain.ca.ark, &chain.ca.ask);
            // Not `chain.verify()`, which verifies the ARK's signature on itself too: here the ARK is believed
            // because its bytes are those pinned, and a signature by it would say nothing more.
            (ark, ask).verify().is_ok()
                && (ask, &chain.vek).verify().is_ok()
                && (&chain.vek, &report).verify().is_ok()
        }),
    }
}
