//! Keeping an Intel authority.

use std::fs;

use vouchsafe_simulator::intel::{IntelAuthority, IntelIssuer, TdxMachine, TdxMachineSpec};

use crate::common::{BEGIN, NOW};

#[test]
fn a_loaded_authority_is_the_saved_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("authority");
    let saved = IntelAuthority::load_or_generate(&dir, BEGIN).unwrap();
    let loaded = IntelAuthority::load_or_generate(&dir, NOW).unwrap();
    for whose in IntelIssuer::ALL {
        assert_eq!(loaded.certificate_der(whose), saved.certificate_der(whose), "{whose:?}");
    }
    let attest = |authority: &IntelAuthority| {
        let spec = TdxMachineSpec::typical(authority, NOW);
        TdxMachine::new(authority, &spec, [1; 48]).unwrap().attest([2; 64])
    };
    assert_eq!(attest(&loaded), attest(&saved));
    assert_eq!(saved.save(&dir).unwrap_err().code(), "already-exists");
}

#[test]
fn a_damaged_authority_is_refused_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, other) = (folder.path().join("one"), folder.path().join("other"));
    IntelAuthority::load_or_generate(&dir, BEGIN).unwrap();
    IntelAuthority::load_or_generate(&other, BEGIN).unwrap();
    for (file, code) in [
        ("root.key.pem", "stored"),
        ("pck-platform.key.pem", "stored"),
        ("pck-processor.der", "stored"),
        ("tcb-signing.der", "stored"),
    ] {
        let intact = fs::read(dir.join(file)).unwrap();
        fs::write(dir.join(file), fs::read(other.join(file)).unwrap()).unwrap();
        let refused = IntelAuthority::load_or_generate(&dir, BEGIN).unwrap_err();
        assert_eq!(refused.code(), code, "{file}: {refused}");
        fs::write(dir.join(file), intact).unwrap();
    }
    for (file, content, code) in [
        ("authority", "vouchsafe-simulated-intel 1 0\n", "stored"),
        ("authority", "vouchsafe-simulated-amd 1 Milan 1735689600\n", "stored"),
        ("fuse-secret.bin", "short", "stored"),
        ("root.key.pem", "no key", "pkcs8"),
    ] {
        let intact = fs::read(dir.join(file)).unwrap();
        fs::write(dir.join(file), content).unwrap();
        let refused = IntelAuthority::load(&dir).unwrap_err();
        assert_eq!(refused.code(), code, "{file}: {refused}");
        fs::write(dir.join(file), intact).unwrap();
    }
    IntelAuthority::load(&dir).unwrap();
}
