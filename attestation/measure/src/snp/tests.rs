//! Launch digests: what changes them, what is refused, and a second opinion.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use vouchsafe_verifier::encoding::to_hex;

use super::*;
use crate::firmware::synthetic::Image;
use crate::prepared;

fn guest(vcpus: u32, features: u64, command_line: &str) -> Guest {
    let bytes = Image::default().build();
    let firmware = Firmware::parse(&bytes).unwrap();
    let line = CommandLine::new(command_line).unwrap();
    Guest::new(&firmware, b"kernel", Some(b"initrd"), line, vcpus, features).unwrap()
}

#[test]
fn each_input_changes_the_digest_and_each_model_has_its_own() {
    let base = guest(2, 1, "quiet");
    let digests: Vec<_> = VcpuType::models().map(|model| base.launch_digest(model).unwrap()).collect();
    for (index, digest) in digests.iter().enumerate() {
        assert!(!digests[..index].contains(digest));
    }
    let milan = VcpuType::named("EPYC-Milan").unwrap();
    let reference = base.launch_digest(milan).unwrap();
    for other in [guest(3, 1, "quiet"), guest(2, 0x21, "quiet"), guest(2, 1, "quie")] {
        assert_ne!(other.launch_digest(milan).unwrap(), reference);
    }
    assert_eq!(guest(2, 1, "quiet").launch_digest(milan).unwrap(), reference);
}

#[test]
fn versions_have_their_models_digest() {
    let base = guest(1, 1, "");
    for (version, model) in [("EPYC-v4", "EPYC"), ("epyc-turin-v2", "EPYC-Turin")] {
        let digest = |name| base.launch_digest(VcpuType::named(name).unwrap()).unwrap();
        assert_eq!(digest(version), digest(model));
    }
    assert_eq!(VcpuType::named("host").unwrap_err().code(), "vcpu_type");
}

#[test]
fn what_could_not_be_launched_is_refused() {
    let bytes = Image::default().build();
    let firmware = Firmware::parse(&bytes).unwrap();
    let line = || CommandLine::new("").unwrap();
    let code = |initrd: Option<&[u8]>, vcpus| {
        Guest::new(&firmware, b"kernel", initrd, line(), vcpus, 1).unwrap_err().code()
    };
    assert_eq!(code(Some(&[]), 1), "initrd_empty");
    assert_eq!(code(None, 0), "vcpu_count");
    assert_eq!(code(None, VCPUS_MAX + 1), "vcpu_count");
}

/// PyPI's sev-snp-measure computes the same digests. It and the `sev` crate follow each other, so this
/// is no independent proof; it holds our use of the crate, and our checks, to a second reading.
#[test]
fn sev_snp_measure_agrees() {
    let Some(python) = prepared("VOUCHSAFE_PYTHON", "sev_snp_measure_agrees") else { return };
    let firmware = match prepared("VOUCHSAFE_OVMF", "sev_snp_measure_agrees with Debian's firmware") {
        Some(folder) => std::fs::read(PathBuf::from(folder).join("OVMF.amdsev.fd")).unwrap(),
        None => Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (kernel, initrd) = (b"kernel".as_slice(), vec![0x5a; 5000]);
    let files = [file("kernel", kernel), file("initrd", &initrd)];
    let mut lines = Vec::new();
    let mut ours = Vec::new();
    for (name, image) in [("synthetic.fd", Image::default().build()), ("debian.fd", firmware)] {
        if image.is_empty() {
            continue;
        }
        let path = file(name, &image);
        let parsed = Firmware::parse(&image).unwrap();
        for (model, vcpus, features, append) in [
            ("EPYC-Milan", 1, 0x1, "console=ttyS0 quiet"),
            ("EPYC-v4", 4, 0x1, ""),
            ("EPYC-Rome", 2, 0x21, "x"),
            ("EPYC-Genoa", 64, 0x1, "root=/dev/vda ro"),
            ("EPYC-Turin", 3, 0x0, "a  b"),
        ] {
            let line = CommandLine::new(append).unwrap();
            let guest = Guest::new(&parsed, kernel, Some(&initrd), line, vcpus, features).unwrap();
            ours.push(to_hex(&guest.launch_digest(VcpuType::named(model).unwrap()).unwrap()));
            lines.push(
                [&path, &files[0], &files[1], append, &vcpus.to_string(), model, &format!("{features:x}")]
                    .join("\t"),
            );
        }
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snp_second_opinion.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the environment's Python starts");
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let theirs: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(ours, theirs);
}

/// Known answers for Debian's build, computed once with sev-snp-measure 0.0.13.
#[test]
fn debians_firmware_has_the_known_launch_digests() {
    let Some(folder) = prepared("VOUCHSAFE_OVMF", "debians_firmware_has_the_known_launch_digests") else {
        return;
    };
    let image = std::fs::read(PathBuf::from(folder).join("OVMF.amdsev.fd")).unwrap();
    let firmware = Firmware::parse(&image).unwrap();
    let line = CommandLine::new("console=ttyS0").unwrap();
    let guest = Guest::new(&firmware, b"kernel", Some(b"initrd"), line, 2, 1).unwrap();
    for (model, begin) in [
        ("EPYC", "6000683b27d29041"),
        ("EPYC-Rome", "a304ecb571047daf"),
        ("EPYC-Milan", "7d1e3a4fe4fd8257"),
        ("EPYC-Genoa", "9411057b6b1e8dd4"),
        ("EPYC-Turin", "ff88c018da5354b0"),
    ] {
        let digest = guest.launch_digest(VcpuType::named(model).unwrap()).unwrap();
        assert!(to_hex(&digest).starts_with(begin), "{model}");
    }
}

proptest! {
    /// The crate indexes the image by what the image says: whatever our checks let through must not
    /// make it panic, nor fail.
    #[test]
    fn what_passes_our_checks_is_measured_without_a_panic(
        sections in prop::collection::vec((0_u32..0x900, 0_u32..6, prop::sample::select(vec![1_u32, 2, 3, 4, 5, 0x10])), 0..6),
        changes in prop::collection::vec((32..0x180_usize, any::<u8>()), 0..3),
        hashes in prop::sample::select(vec![0x81_0c00_u32, 0x81_0000, 0x81_0f50, 0x81_0f51, 0, u32::MAX]),
    ) {
        let mut image = Image { hashes, ..Image::default() };
        image.sev.extend(sections.into_iter().map(|(page, pages, kind)| (page << 12, pages << 12, kind)));
        let mut bytes = image.build();
        for (distance, value) in changes {
            let at = bytes.len() - distance;
            bytes[at] = value;
        }
        let Ok(firmware) = Firmware::parse(&bytes) else { return Ok(()) };
        let line = CommandLine::new("quiet").unwrap();
        if let Ok(guest) = Guest::new(&firmware, b"kernel", None, line, 1, 1) {
            let digest = guest.launch_digest(VcpuType::named("EPYC").unwrap());
            prop_assert!(digest.is_ok(), "{:?}", digest);
        }
    }
}
