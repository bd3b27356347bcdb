//! Keeping an authority: what comes back, what is refused, and two programs at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vouchsafe_simulator::OsRng;
use vouchsafe_simulator::amd::{AmdAuthority, Product, SnpMachine, SnpMachineSpec};

use crate::common::{BEGIN, NOW, authority};

#[test]
fn a_loaded_authority_is_the_saved_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("deep/authority");
    let saved = authority(Product::Milan);
    saved.save(&dir).unwrap();
    let loaded = AmdAuthority::load(&dir).unwrap();
    assert_eq!(loaded.product(), Product::Milan);
    assert_eq!(loaded.ark_der(), saved.ark_der());
    assert_eq!(loaded.ask_der(), saved.ask_der());
    assert_eq!(loaded.asvk_der(), saved.asvk_der());
    assert_eq!(loaded.chip_id(0), saved.chip_id(0));
    // The same chip signs the same bytes with the same key.
    let attest = |authority: &AmdAuthority| {
        let spec = SnpMachineSpec::typical(authority, NOW);
        let mut machine = SnpMachine::new(authority, &spec, [1; 48], &mut OsRng).unwrap();
        machine.fields_mut().report_id = [9; 32];
        machine.attest([2; 64])
    };
    assert_eq!(attest(&loaded), attest(saved));
    // Nothing is left beside it.
    assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn private_parts_are_their_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("authority");
    authority(Product::Milan).save(&dir).unwrap();
    assert_eq!(mode(&dir), 0o700);
    for private in ["ark.key.pem", "ask.key.pem", "asvk.key.pem", "fuse-secret.bin"] {
        assert_eq!(mode(&dir.join(private)), 0o600, "{private}");
        fs::set_permissions(dir.join(private), fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(AmdAuthority::load(&dir).unwrap_err().code(), "permissions", "{private}");
        fs::set_permissions(dir.join(private), fs::Permissions::from_mode(0o600)).unwrap();
    }
    AmdAuthority::load(&dir).unwrap();
}

#[test]
fn an_authority_is_never_overwritten_nor_mistaken_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("authority");
    authority(Product::Milan).save(&dir).unwrap();
    assert_eq!(authority(Product::Genoa).save(&dir).unwrap_err().code(), "already-exists");
    let refused = AmdAuthority::load_or_generate(&dir, Product::Genoa, BEGIN).unwrap_err();
    assert_eq!(refused.code(), "product");
    assert_eq!(AmdAuthority::load(&dir).unwrap().product(), Product::Milan);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    assert_eq!(authority(Product::Milan).save(&file).unwrap_err().code(), "already-exists");
}

#[test]
fn a_damaged_authority_is_refused_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (milan, genoa) = (folder.path().join("milan"), folder.path().join("genoa"));
    authority(Product::Milan).save(&milan).unwrap();
    authority(Product::Genoa).save(&genoa).unwrap();
    let take = |file: &str| fs::read(genoa.join(file)).unwrap();
    let cut = |file: &str| {
        let mut content = fs::read(milan.join(file)).unwrap();
        content.pop();
        content
    };
    let flipped = |file: &str| {
        let mut content = fs::read(milan.join(file)).unwrap();
        *content.last_mut().unwrap() ^= 1;
        content
    };
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("authority", cut("authority"), "stored"),
        ("authority", b"vouchsafe-simulated-amd 1 Rome 0\n".to_vec(), "stored"),
        ("authority", b"vouchsafe-simulated-amd 1 Milan 0\n".to_vec(), "stored"),
        ("authority", b"vouchsafe-simulated-amd 2 Milan 1735689600\n".to_vec(), "stored"),
        ("authority", take("authority"), "stored"),
        ("fuse-secret.bin", cut("fuse-secret.bin"), "stored"),
        ("ark.der", take("ark.der"), "stored"),
        ("ask.der", flipped("ask.der"), "stored"),
        ("asvk.der", Vec::new(), "stored"),
        ("ask.key.pem", take("ask.key.pem"), "stored"),
        ("ark.key.pem", b"-----BEGIN PRIVATE KEY-----\n".to_vec(), "pkcs8"),
        ("ark.der", vec![0; 1 << 20], "stored"),
    ];
    for (file, damage, code) in cases {
        let path = milan.join(file);
        let intact = fs::read(&path).unwrap();
        fs::write(&path, &damage).unwrap();
        let refused = AmdAuthority::load_or_generate(&milan, Product::Milan, BEGIN).unwrap_err();
        assert_eq!(refused.code(), code, "{file}: {refused}");
        assert_eq!(fs::read(&path).unwrap(), damage, "{file}");
        fs::write(&path, intact).unwrap();
    }
    for file in ["authority", "fuse-secret.bin", "ark.key.pem", "ark.der", "asvk.der"] {
        let (path, aside) = (milan.join(file), folder.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        assert_eq!(AmdAuthority::load(&milan).unwrap_err().code(), "io", "{file}");
        fs::rename(&aside, &path).unwrap();
    }
    AmdAuthority::load(&milan).unwrap();
}

#[test]
fn of_two_that_save_at_once_one_wins_whole() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("authority");
    let (milan, genoa) = (authority(Product::Milan), authority(Product::Genoa));
    let start = std::sync::Barrier::new(2);
    let saved: Vec<bool> = std::thread::scope(|scope| {
        let both = [milan, genoa].map(|authority| {
            scope.spawn(|| {
                start.wait();
                authority.save(&dir).is_ok()
            })
        });
        both.map(|thread| thread.join().unwrap()).to_vec()
    });
    assert_eq!(saved.iter().filter(|&&won| won).count(), 1);
    let expected = if saved[0] { milan } else { genoa };
    assert_eq!(AmdAuthority::load(&dir).unwrap().ark_der(), expected.ark_der());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
