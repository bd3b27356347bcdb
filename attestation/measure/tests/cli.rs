//! The program from outside: exit status, and that its result is a policy's rule.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use vouchsafe_bundle::policy::Policy;

fn measure(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vouchsafe-measure")).args(arguments).output().unwrap()
}

fn refused(arguments: &[&str], status: i32, words: &str) {
    let output = measure(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {complaint}");
    assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    assert!(output.stdout.is_empty());
}

#[test]
fn each_kind_of_failure_has_its_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pages = file("pages", &[0; 8192]);
    let snp = |more: &[&str]| {
        let base = ["snp", "--firmware", &pages, "--kernel", &pages];
        [&base[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let check = |more: &[&str], status, words| {
        let arguments = snp(more);
        refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), status, words);
    };
    refused(&[], 2, "Usage");
    refused(&["tdx", "--firmware", "/nowhere", "--kernel", "/nowhere"], 30, "/nowhere");
    refused(&["tdx", "--firmware", &pages, "--kernel", &pages, "--quote", &pages], 2, "--event-log");
    refused(
        &["tdx", "--firmware", &pages, "--kernel", &pages, "--quote", &pages, "--event-log", &pages],
        10,
        "(observed)",
    );
    check(&[], 2, "--vcpus");
    check(&["--vcpus", "2"], 30, "(firmware_table)");
    check(&["--vcpus", "2", "--vcpu-type", "host"], 2, "(vcpu_type)");
    check(&["--vcpus", "2", "--append", "a "], 30, "(command_line_space)");
}

/// With Debian's firmware, and in place of a kernel a small program that Debian signed.
#[test]
fn the_result_is_a_policys_rule() {
    let Some(folder) = std::env::var_os("VOUCHSAFE_OVMF") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI needs VOUCHSAFE_OVMF: run `cargo xtask setup`"
        );
        eprintln!("NOT RUN: the_result_is_a_policys_rule: VOUCHSAFE_OVMF is not set");
        return;
    };
    let file = |name: &str| Path::new(&folder).join(name).to_str().unwrap().to_owned();
    let kernel = file("fwupdx64.efi.signed");
    let boot = ["--kernel", &kernel, "--initrd", &kernel, "--append", "quiet", "--name", "a guest"];
    let (amd, intel) = (file("OVMF.amdsev.fd"), file("OVMF.inteltdx.ms.fd"));
    for (technology, accepted, more, values) in [
        ("snp", "sev-snp", ["--firmware", &amd, "--vcpus", "4"], 5),
        ("tdx", "tdx", ["--firmware", &intel, "--memory", "4G"], 1),
    ] {
        let output = measure(&[&[technology][..], &boot, &more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let template = format!("../../policies/production-{technology}.json");
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join(template);
        let mut policy: Value = serde_json::from_slice(&std::fs::read(template).unwrap()).unwrap();
        policy["measurements"] = result["measurements"].clone();
        let policy = Policy::parse(&serde_json::to_vec(&policy).unwrap()).unwrap();
        let read = policy.document().measurements.required().unwrap();
        assert_eq!(read.len(), values);
        assert!(read[0].name.starts_with("a guest (") && read[0].name.contains(accepted));
        assert!(read[0].computed.contains("command line \"quiet\""), "{}", read[0].computed);
    }
}
