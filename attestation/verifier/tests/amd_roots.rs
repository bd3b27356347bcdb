//! The pinned AMD certificates are the ones their README lists, and the ones the crate `sev` ships.

use std::path::Path;

use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::x509::Certificate;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("roots/amd")
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

#[test]
fn the_readme_lists_every_file_with_its_digest_name_and_serial() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let mut listed = Vec::new();
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let [digest, name, subject, serial, until] = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect::<Vec<_>>()[..]
        else {
            panic!("a row with other than five cells: {line}");
        };
        let der = file(name);
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(digest, to_hex(&Ring.sha256(&der)), "{name}");
        assert_eq!(certificate.subject().common_name(), Some(subject), "{name}");
        assert_eq!(serial, format!("0x{}", to_hex(certificate.serial())), "{name}");
        assert_eq!(until, &certificate.validity().not_after.to_string()[..10], "{name}");
        listed.push(name.to_owned());
    }
    listed.sort();
    let mut present: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".der"))
        .collect();
    present.sort();
    assert_eq!(listed, present);
    assert_eq!(present.len(), 9);
}

#[test]
fn each_intermediate_stands_under_its_root() {
    for product in ["milan", "genoa", "turin"] {
        let root = file(&format!("{product}-ark.der"));
        let root = Certificate::parse(&root).unwrap();
        root.check_issued_by(&root, 2, &Ring).unwrap();
        for intermediate in ["ask", "asvk"] {
            let der = file(&format!("{product}-{intermediate}.der"));
            let certificate = Certificate::parse(&der).unwrap();
            certificate.check_issued_by(&root, 1, &Ring).unwrap();
            certificate.check_critical_extensions(&[]).unwrap();
            assert!(certificate.is_ca());
        }
    }
}

#[test]
fn sev_ships_the_same_arks_and_asks() {
    use sev::certs::snp::builtin::{genoa, milan, turin};

    let pem = |text: &[u8]| vouchsafe_verifier::x509::pem_certificates(text, 1).unwrap().remove(0);
    for (name, theirs) in [
        ("milan-ark.der", pem(milan::ARK)),
        ("milan-ask.der", pem(milan::ASK)),
        ("genoa-ark.der", pem(genoa::ARK)),
        ("genoa-ask.der", pem(genoa::ASK)),
        ("turin-ark.der", pem(turin::ARK)),
        ("turin-ask.der", pem(turin::ASK)),
    ] {
        assert_eq!(file(name), theirs, "{name}");
    }
}
