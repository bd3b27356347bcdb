//! The result as JSON: `measurements` is a policy's rule of that name, the rest says how it came about.

use std::io::{Error, Write as _};

use ring::digest::{SHA256, digest};
use serde::Serialize;
use vouchsafe_measure::Digest384;
use vouchsafe_measure::reference::{ReferenceDigests, ReferenceValue, Rule};
use vouchsafe_measure::snp::VcpuType;
use vouchsafe_measure::tdx::{Registers, Source, Step};
use vouchsafe_verifier::encoding::{Hex, to_hex};

use crate::arguments::Files;

#[derive(Serialize)]
struct Document<'a> {
    measurements: Rule<Vec<ReferenceValue>>,
    inputs: Inputs<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    observed_events: Vec<Step>,
}

#[derive(Serialize)]
struct Inputs<'a> {
    firmware: FileDigest,
    kernel: FileDigest,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd: Option<FileDigest>,
    command_line: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_features: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct FileDigest {
    bytes: usize,
    sha256: String,
}

pub(crate) fn snp(
    files: &Files,
    vcpus: u32,
    features: u64,
    digests: &[(VcpuType, Digest384)],
) -> Result<(), Error> {
    let inputs =
        Inputs { vcpus: Some(vcpus), guest_features: Some(format!("{features:#x}")), ..inputs(files) };
    let value = |(vcpu_type, digest): &(VcpuType, Digest384)| {
        let model = vcpu_type.name();
        ReferenceValue {
            name: format!("{} (sev-snp, {vcpus} vCPUs of {model})", files.name),
            computed: computed(
                files,
                &format!("snp --vcpus {vcpus} --vcpu-type {model} --guest-features {features:#x}"),
            ),
            digests: ReferenceDigests::SevSnp { measurement: Hex(*digest) },
        }
    };
    let measurements = Rule::Require(digests.iter().map(value).collect());
    print(&Document { measurements, inputs, observed_events: Vec::new() })
}

pub(crate) fn tdx(files: &Files, memory_bytes: Option<u64>, registers: Registers) -> Result<(), Error> {
    let mut arguments = "tdx".to_owned();
    if let Some(bytes) = memory_bytes {
        arguments.push_str(&format!(" --memory {}K", bytes >> 10));
    }
    let mut computed = computed(files, &arguments);
    let taken = registers.steps.iter().filter(|step| step.source == Source::Observed).count();
    if !registers.steps.is_empty() {
        computed
            .push_str(&format!("; RTMR0 from an observed boot, {taken} of its events on the host's word"));
    }
    let value =
        ReferenceValue { name: format!("{} (tdx)", files.name), computed, digests: registers.digests };
    print(&Document {
        measurements: Rule::Require(vec![value]),
        inputs: Inputs { memory_bytes, ..inputs(files) },
        observed_events: registers.steps,
    })
}

/// The command that computes it again, and the files by their digests.
fn computed(files: &Files, arguments: &str) -> String {
    let initrd = files.initrd.as_deref().map(|bytes| format!(", initrd {}", sha256(bytes)));
    format!(
        "vouchsafe measure {version} {arguments}: firmware {firmware}, kernel {kernel}{initrd}, command line {line:?}",
        version = env!("CARGO_PKG_VERSION"),
        firmware = sha256(&files.firmware),
        kernel = sha256(&files.kernel),
        initrd = initrd.unwrap_or_default(),
        line = files.command_line.as_str(),
    )
}

fn inputs(files: &Files) -> Inputs<'_> {
    Inputs {
        firmware: file(&files.firmware),
        kernel: file(&files.kernel),
        initrd: files.initrd.as_deref().map(file),
        command_line: files.command_line.as_str(),
        vcpus: None,
        guest_features: None,
        memory_bytes: None,
    }
}

fn file(bytes: &[u8]) -> FileDigest {
    FileDigest { bytes: bytes.len(), sha256: to_hex(digest(&SHA256, bytes).as_ref()) }
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", to_hex(digest(&SHA256, bytes).as_ref()))
}

fn print(document: &Document<'_>) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}
