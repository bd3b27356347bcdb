//! Registers of synthetic guests, and events of real ones.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vouchsafe_bundle::policy::Policy;
use vouchsafe_verifier::encoding::{from_hex, to_hex};
use vouchsafe_verifier::tdx::{EventLog, Quote};

use super::observed::variable_digest;
use super::pe::tests::image as kernel_image;
use super::*;
use crate::firmware::synthetic::Image;
use crate::firmware::{GLOBAL, Guid, SECURITY_DATABASE};
use crate::prepared;
use crate::reference::ReferenceValue;

/// Digest of the TD HOB in `v4-dstack-eventlog`: OVMF's usual layout in a machine of 64 GiB.
const HOB_64_GIB: &str =
    "8ae1e425351df7992c444586eff99d35af3b779aa2b0e981cb4b73bc5b279f2ade19b6a62a203fc3c3bbdaae80af596d";
/// Digest of OVMF's configuration volume without any variable, in two real logs.
const EMPTY_VOLUME: &str =
    "344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790";

const LINE: &str = "console=ttyS0 quiet";
const INITRD: &[u8] = b"initrd";
const MEMORY: u64 = 4 << 30;

fn with_guest<T>(image: &Image, check: impl FnOnce(&Guest<'_>) -> T) -> T {
    let bytes = image.build();
    let firmware = Firmware::parse(&bytes).unwrap();
    let line = CommandLine::new(LINE).unwrap();
    check(&Guest::new(&firmware, &kernel_image(b"", 0), Some(INITRD), line, Some(MEMORY)).unwrap())
}

fn digests(rule: &Digests) -> Vec<[u8; 48]> {
    match rule {
        Rule::Require(digests) => digests.iter().map(|digest| digest.0).collect(),
        Rule::Ignore(reason) => panic!("ignored: {reason}"),
    }
}

/// A boot of the guest as its log tells it: register, type, digest, content.
type LogEvent = (usize, u32, [u8; 48], Vec<u8>);

/// The log that a boot of [`with_guest`]'s guest leaves, written down independently of what is tested.
fn log_of(guest: &Guest<'_>) -> Vec<LogEvent> {
    let variable = |name: &str, vendor: Guid, value: &[u8]| {
        let mut content = vendor.0.to_vec();
        content.extend((name.len() as u64).to_le_bytes());
        content.extend((value.len() as u64).to_le_bytes());
        content.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        content.extend(value);
        (0, 0x8000_0001, sha384(&content), content)
    };
    let text = |text: &str| (1, 0x8000_0007, sha384(text.as_bytes()), text.as_bytes().to_vec());
    let options: Vec<u8> =
        format!("initrd=initrd {LINE}\0").encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        (0, 0x8000_000b, sha384(&td_hob(&guest.tdvf, MEMORY).unwrap()), vec![]),
        (0, 0x8000_000a, sha384(guest.volume), vec![]),
        (0, 0xa, sha384(b"fw_cfg: boot menu"), vec![]),
        variable("SecureBoot", GLOBAL, &[0]),
        variable("PK", GLOBAL, b""),
        variable("KEK", GLOBAL, b""),
        variable("db", SECURITY_DATABASE, b""),
        variable("dbx", SECURITY_DATABASE, b""),
        (0, 4, sha384(&[0; 4]), vec![0; 4]),
        (0, 0xa, sha384(b"table loader"), vec![]),
        (1, 0x8000_0003, guest.kernel, vec![]),
        text("Calling EFI Application from Boot Option"),
        (1, 4, sha384(&[0; 4]), vec![0; 4]),
        (2, 6, sha384(&options), vec![]),
        (2, 6, sha384(INITRD), vec![]),
        text("Exit Boot Services Invocation"),
        text("Exit Boot Services Returned with Success"),
    ]
}

fn observe(mrtd: [u8; 48], events: &[LogEvent]) -> Observed {
    let mut registers = [Rtmr::new(); 4];
    events.iter().for_each(|(rtmr, _, digest, _)| registers[*rtmr].extend(digest));
    let list: Vec<Value> = events
        .iter()
        .map(|(imr, event_type, digest, content)| {
            json!({"imr": imr, "event_type": event_type, "digest": to_hex(digest), "event": "",
                   "event_payload": to_hex(content)})
        })
        .collect();
    let log = EventLog::parse(&serde_json::to_vec(&list).unwrap()).unwrap();
    Observed::new(mrtd, registers.map(|register| register.value()), log).unwrap()
}

#[test]
fn without_an_observed_boot_rtmr0_is_ignored_and_the_rest_required() {
    with_guest(&Image::default(), |guest| {
        let registers = guest.registers(None).unwrap();
        let ReferenceDigests::Tdx { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } = registers.digests else { panic!() };
        assert_eq!(digests(&mrtd).len(), 2);
        assert_ne!(digests(&mrtd)[0], digests(&mrtd)[1]);
        assert_eq!(rtmr0, Rule::Ignore(RTMR0_UNKNOWN.to_owned()));
        assert_eq!(digests(&rtmr1), [guest.rtmr1()]);
        assert_eq!(digests(&rtmr2).len(), 2);
        assert_eq!(digests(&rtmr3), [[0; 48]]);
        assert!(registers.steps.is_empty());
    });
}

#[test]
fn an_observed_boot_gives_rtmr0_and_says_what_it_took_on_trust() {
    with_guest(&Image::default(), |guest| {
        let log = log_of(guest);
        for mrtd in guest.mrtds() {
            let observed = observe(mrtd, &log);
            let registers = guest.registers(Some(&observed)).unwrap();
            let ReferenceDigests::Tdx { rtmr0, rtmr1, rtmr2, .. } = registers.digests else { panic!() };
            let replayed =
                |rtmr| rtmr::replay(log.iter().filter(|event| event.0 == rtmr).map(|event| event.2));
            assert_eq!(digests(&rtmr0), [replayed(0)]);
            assert_eq!(digests(&rtmr1), [replayed(1)]);
            assert!(digests(&rtmr2).contains(&replayed(2)));
            assert_eq!(registers.steps.len(), log.len());
            let taken: Vec<_> = registers.steps.iter().filter(|s| s.source == Source::Observed).collect();
            assert_eq!(taken.len(), 2);
            assert!(taken.iter().all(|step| step.what.contains("ACPI")));
        }
    });
}

#[test]
fn each_event_that_differs_or_is_missing_is_named() {
    with_guest(&Image::default(), |guest| {
        let log = log_of(guest);
        let mrtd = guest.mrtds()[0];
        let refusal = |log: &[LogEvent]| guest.registers(Some(&observe(mrtd, log))).unwrap_err();
        let computed = log.iter().enumerate().filter(|(_, event)| event.1 != 0xa);
        for (index, event) in computed {
            let mut changed = log.clone();
            // Contents are bound by their digests where the type says so: those events lose both.
            changed[index].2 = sha384(b"something else");
            changed[index].3.clear();
            if !matches!(event.1, 4 | 0x8000_0007 | 0x8000_0001) {
                assert_eq!(refusal(&changed).code(), "observed_differs", "event {index}");
            }
            let mut missing = log.clone();
            missing.remove(index);
            let code = refusal(&missing).code();
            assert!(matches!(code, "observed_lacks" | "observed_differs"), "event {index}: {code}");
        }
        let mut swapped = log.clone();
        swapped.swap(13, 14);
        assert_eq!(refusal(&swapped).code(), "observed_differs");
        let mut longer = log.clone();
        longer.push((1, 0x8000_0003, sha384(b"another program"), vec![]));
        assert_eq!(refusal(&longer).code(), "observed_unexpected");
        let mut extended = log.clone();
        extended.push((3, 6, sha384(b"a program's own"), vec![]));
        assert!(refusal(&extended).to_string().contains("RTMR3"));
        let other_firmware = guest.registers(Some(&observe([7; 48], &log))).unwrap_err();
        assert!(other_firmware.to_string().contains("MRTD") && other_firmware.is_rejection());
    });
}

#[test]
fn a_log_of_another_firmware_configuration_is_refused() {
    let with_keys = Image { variables: vec![("PK", GLOBAL, b"key".to_vec(), 0x3f)], ..Image::default() };
    let log = with_guest(&Image::default(), log_of);
    with_guest(&with_keys, |guest| {
        let error = guest.registers(Some(&observe(guest.mrtds()[0], &log))).unwrap_err();
        assert!(error.to_string().contains("configuration volume"), "{error}");
    });
}

#[test]
fn each_input_changes_its_register_alone() {
    let bytes = Image::default().build();
    let firmware = Firmware::parse(&bytes).unwrap();
    let guest = |kernel: &[u8], initrd, line: &str| {
        Guest::new(&firmware, kernel, initrd, CommandLine::new(line).unwrap(), None).unwrap()
    };
    let kernel = kernel_image(b"", 0);
    let base = guest(&kernel, Some(INITRD), LINE);
    let other_line = guest(&kernel, Some(INITRD), "console=ttyS0");
    let other_initrd = guest(&kernel, Some(b"other"), LINE);
    let other_kernel = guest(&kernel_image(b"12345678", 0), Some(INITRD), LINE);
    for (other, changes) in
        [(&other_line, (false, true)), (&other_initrd, (false, true)), (&other_kernel, (true, false))]
    {
        assert_eq!((other.rtmr1() != base.rtmr1(), other.rtmr2s() != base.rtmr2s()), changes);
        assert_eq!(other.mrtds(), base.mrtds());
    }
    // Without an initrd the firmware adds nothing to the command line; without both nothing is measured.
    assert_eq!(guest(&kernel, None, "a").rtmr2s(), [rtmr::replay([sha384(b"a\0\0\0")])]);
    assert_eq!(guest(&kernel, None, "").rtmr2s(), [[0; 48]]);
}

#[test]
fn mrtd_covers_each_page_once_and_measured_content_only() {
    let section = |image: &Image| with_guest(image, |guest| guest.mrtds());
    let base = section(&Image::default());
    let mut unmeasured = Image::default();
    unmeasured.tdvf[0].5 = 0;
    assert_ne!(section(&unmeasured), base);
    // Without measured pages there is nothing whose order could differ.
    assert_eq!(section(&unmeasured)[0], section(&unmeasured)[1]);
    let mut reordered = Image::default();
    reordered.tdvf.swap(2, 3);
    assert_ne!(section(&reordered), base);
    let with_variable = Image { variables: vec![("PK", GLOBAL, vec![1], 0x3f)], ..Image::default() };
    assert_eq!(section(&with_variable), base, "the configuration volume is not in MRTD");
}

#[test]
fn memory_that_cannot_hold_the_firmware_is_refused() {
    let bytes = Image::default().build();
    let firmware = Firmware::parse(&bytes).unwrap();
    let code = |memory| {
        let line = CommandLine::new("").unwrap();
        Guest::new(&firmware, &kernel_image(b"", 0), None, line, Some(memory)).map(|_| ()).unwrap_err().code()
    };
    for memory in [0, 8 << 20, 1, u64::MAX, MEMORY_BYTES_MAX + 4096] {
        assert_eq!(code(memory), "memory", "{memory}");
    }
}

#[test]
fn what_is_written_is_read_as_a_policy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/production-tdx.json");
    let mut policy: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let registers = with_guest(&Image::default(), |guest| guest.registers(None).unwrap());
    let tdx = ReferenceValue { name: "a".into(), computed: "so".into(), digests: registers.digests };
    let snp = ReferenceValue {
        name: "b".into(),
        computed: "so".into(),
        digests: ReferenceDigests::SevSnp { measurement: Hex([1; 48]) },
    };
    policy["measurements"] = serde_json::to_value(Rule::Require(vec![tdx, snp])).unwrap();
    let read = Policy::parse(&serde_json::to_vec(&policy).unwrap()).unwrap();
    assert_eq!(read.document().measurements.required().unwrap().len(), 2);
    // What the policy reader writes is what was written here.
    let written: Value = serde_json::from_slice(&read.to_json()).unwrap();
    assert_eq!(written["measurements"], policy["measurements"]);
}

/// The layout of OVMF's memory in [`Image::default`] is that of real builds, so a real digest follows.
#[test]
fn the_td_hob_of_a_real_machine_is_reproduced() {
    let bytes = Image::default().build();
    let tdvf = Tdvf::parse(&Firmware::parse(&bytes).unwrap()).unwrap();
    assert_eq!(to_hex(&sha384(&td_hob(&tdvf, 64 << 30).unwrap())), HOB_64_GIB);
    assert_ne!(to_hex(&sha384(&td_hob(&tdvf, 63 << 30).unwrap())), HOB_64_GIB);
}

/// q35 keeps memory in one piece below 2.75 GiB, and from there on all but 2 GiB above 4 GiB.
#[test]
fn memory_is_split_where_q35_splits_it() {
    let bytes = Image::default().build();
    let tdvf = Tdvf::parse(&Firmware::parse(&bytes).unwrap()).unwrap();
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let last = |memory| {
        let hob = td_hob(&tdvf, memory).unwrap();
        // The list's end, which is not measured, follows the last block.
        assert_eq!(number(&hob, 48), 0x80_9000 + hob.len() as u64 + 8);
        let total: u64 = hob[56..].chunks(48).map(|block| number(block, 40)).sum();
        assert_eq!(total, memory);
        let block = &hob[hob.len() - 48..];
        (number(block, 32), number(block, 40))
    };
    assert_eq!(last(0xb000_0000 - 4096), (0x82_0000, 0xb000_0000 - 4096 - 0x82_0000));
    assert_eq!(last(0xb000_0000), (4 << 30, 0xb000_0000 - (2 << 30)));
    assert_eq!(last(64 << 30), (4 << 30, 62 << 30));
}

fn fixtures(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("VOUCHSAFE_FIXTURES").map_or(beside, PathBuf::from).join("vectors/tdx");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the vectors in {}", folder.display());
    eprintln!("NOT RUN: {test}: no vectors in {}", folder.display());
    None
}

/// Events of three real boots, computed from nothing but the specification and, for variables, their
/// values: everything in these logs except kernels, initrds, command lines and what hosts supply.
#[test]
fn events_of_real_boots_are_reproduced() {
    let Some(folder) = fixtures("events_of_real_boots_are_reproduced") else { return };
    for (case, log, reproducible) in [
        ("v4-dstack-eventlog", "eventlog.json", 13),
        ("v4-live-ccel-pair", "ccel-good.bin", 12),
        ("v4-gcp-cos113-ccel", "ccel_data.bin", 10),
    ] {
        let quote = std::fs::read(folder.join(case).join("quote.bin")).unwrap();
        let registers = Quote::parse(&quote).unwrap().report().rtmr;
        let log = EventLog::parse(&std::fs::read(folder.join(case).join(log)).unwrap()).unwrap();
        let replayed = log.replay(&registers, &vouchsafe_verifier::crypto::Ring).unwrap();
        let mut known: Vec<[u8; 48]> =
            [HOB_64_GIB, EMPTY_VOLUME].iter().map(|t| from_hex(t).unwrap()).collect();
        known.extend(
            [
                ("SecureBoot", GLOBAL),
                ("PK", GLOBAL),
                ("KEK", GLOBAL),
                ("db", SECURITY_DATABASE),
                ("dbx", SECURITY_DATABASE),
            ]
            .map(|(name, vendor)| variable_digest(vendor, name, b"")),
        );
        known.push(variable_digest(GLOBAL, "SecureBoot", &[0]));
        known.push(sha384(&[0; 4]));
        known.extend(
            [
                "Calling EFI Application from Boot Option",
                "Exit Boot Services Invocation",
                "Exit Boot Services Returned with Success",
            ]
            .map(|text| sha384(text.as_bytes())),
        );
        // BootOrder of a machine that boots nothing but its kernel: Boot0000 alone.
        known.push(sha384(&[0, 0]));
        // Variables with a value: the value from the log, the rest by specification.
        for event in replayed.events().iter().filter(|event| event.event_type() == 0x8000_0001) {
            let content = event.unverified_content();
            let name_len = 2 * usize::from(content[16]);
            let name: Vec<u16> = content[32..32 + name_len]
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            let name = String::from_utf16(&name).unwrap();
            let vendor = if name.starts_with("db") { SECURITY_DATABASE } else { GLOBAL };
            known.push(variable_digest(vendor, &name, &content[32 + name_len..]));
        }
        let extended = replayed.events().iter().filter(|event| event.rtmr().is_some_and(|rtmr| rtmr < 3));
        let found = extended.filter(|event| known.contains(event.digest())).count();
        assert_eq!(found, reproducible, "{case}");
    }
}

/// RTMR1 of the two real boots that, as ours, let QEMU load a kernel: five events, of which only the
/// kernel's digest comes from the log.
#[test]
fn rtmr1_of_real_direct_boots_is_reproduced_from_the_kernels_digest() {
    let Some(folder) = fixtures("rtmr1_of_real_direct_boots") else { return };
    for (case, kernel) in [
        (
            "v4-dstack-eventlog",
            "0761fbfa317a42d8edbe9e404178d102adc059cface98c5e07d1d535371c145c3497fd2a19b8398568b8c8a6f95e0a86",
        ),
        (
            "v4-live-ccel-pair",
            "ffbcfc53f1c1cf14c639723822616e626319449681572e15abc701d5006722b1bf405943d87ec63b315b4abedbb4e95e",
        ),
    ] {
        let quote = std::fs::read(folder.join(case).join("quote.bin")).unwrap();
        let expected = Quote::parse(&quote).unwrap().report().rtmr[1];
        let bytes = Image::default().build();
        let firmware = Firmware::parse(&bytes).unwrap();
        let line = CommandLine::new("").unwrap();
        let mut guest = Guest::new(&firmware, &kernel_image(b"", 0), None, line, None).unwrap();
        assert_ne!(guest.rtmr1(), expected);
        guest.kernel = from_hex(kernel).unwrap();
        assert_eq!(guest.rtmr1(), expected, "{case}");
    }
}

/// Debian's build: MRTD in both orders, and its configuration volume, which without its variables is
/// the one that real machines measured.
#[test]
fn debians_firmware_has_the_known_digests() {
    let Some(folder) = prepared("VOUCHSAFE_OVMF", "debians_firmware_has_the_known_digests") else { return };
    let bytes = std::fs::read(PathBuf::from(folder).join("OVMF.inteltdx.ms.fd")).unwrap();
    let tdvf = Tdvf::parse(&Firmware::parse(&bytes).unwrap()).unwrap();
    assert_eq!(
        to_hex(&mrtd(&tdvf, PageOrder::Interleaved)),
        "a7a1f751abc454f9cbab198ca8d2edb2821935df525c74182b5e776cb0929e8c59aefecce725b0d08a5e9d3d3183bd08"
    );
    assert_eq!(
        to_hex(&mrtd(&tdvf, PageOrder::TwoPass)),
        "b90b236113eb4c0d4df4ef590568c14e6028a3a31d7e8ac63dee9845df5008d3ebf82d4f5974e933798f65d7a279b9a9"
    );
    assert_eq!(to_hex(&sha384(&td_hob(&tdvf, 64 << 30).unwrap())), HOB_64_GIB);
    let volume = tdvf.only(SectionKind::Cfv, "volume").unwrap().data;
    let variables = VariableStore::parse(volume).unwrap();
    assert!(variables.secure_boot());
    for (name, vendor, len) in [
        ("PK", GLOBAL, 1005),
        ("KEK", GLOBAL, 4071),
        ("db", SECURITY_DATABASE, 7636),
        ("dbx", SECURITY_DATABASE, 21_292),
    ] {
        assert_eq!(variables.value(name, vendor).map(<[u8]>::len), Some(len), "{name}");
    }
    // The same image without Secure Boot: it starts as before, and nothing but the variables changed.
    let changed = crate::firmware::without_secure_boot(&bytes).unwrap();
    let open = Tdvf::parse(&Firmware::parse(&changed).unwrap()).unwrap();
    assert_eq!(mrtd(&open, PageOrder::Interleaved), mrtd(&tdvf, PageOrder::Interleaved));
    let open = VariableStore::parse(open.only(SectionKind::Cfv, "volume").unwrap().data).unwrap();
    assert!(!open.secure_boot());
    assert_eq!(open.value("PK", GLOBAL), None);
    assert_eq!(open.value("db", SECURITY_DATABASE), variables.value("db", SECURITY_DATABASE));
    assert!(bytes.iter().zip(&changed).filter(|(before, after)| before != after).count() <= 2);
    let mut empty = volume.to_vec();
    empty[72 + 28..0x4_0000].fill(0xff);
    assert_eq!(to_hex(&sha384(&empty)), EMPTY_VOLUME);
}
