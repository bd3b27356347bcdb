//! Writes the targets' seeds: `seeds OUT [FIXTURES]` fills OUT/own with a folder for each target, and
//! with the fixtures OUT/vectors too.
//!
//! In `own` is what the simulator makes and what the repository holds. In `vectors` is the real
//! evidence of the fixtures, taken apart into what each target reads. Documents of
//! real platforms are added twice, as they came and with the dates and platform of the simulated one,
//! since only the latter get past the first comparisons.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

// The instrumentation calls into the fuzzer, which is linked here although nothing is fuzzed.
use libfuzzer_sys as _;
use serde_json::{Value, json};
use vouchsafe_fuzz::{Platform, checkpoints, revocations};
use vouchsafe_receipt::{EndorsementsRecord, Envelope, endorsements_leaf, envelope_leaf, revocations_leaf};
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::tdx::Quote;
use vouchsafe_verifier::x509::pem_certificates;

/// Where the repository's own examples are.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().expect("usage: seeds OUT [FIXTURES]");
    own(&Seeds { out: out.join("own") })?;
    if let Some(fixtures) = arguments.next() {
        let seeds = Seeds { out: out.join("vectors") };
        snp_vectors(&seeds, &fixtures.join("vectors/snp"))?;
        tdx_vectors(&seeds, &fixtures.join("vectors/tdx"))?;
    }
    Ok(())
}

struct Seeds {
    out: PathBuf,
}

impl Seeds {
    fn add(&self, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.out.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    }

    fn add_collateral(&self, name: &str, collateral: &Value) -> io::Result<()> {
        let text = |field: &str| collateral[field].as_str().unwrap_or_default();
        for field in ["root_ca_crl", "pck_crl"] {
            self.add("crl", &format!("{name}-{field}"), &from_hex(text(field)))?;
        }
        for (target, field) in [("tcb_info", "tcb_info"), ("qe_identity", "qe_identity")] {
            self.add(target, name, text(field).as_bytes())?;
            if let Ok(document) = serde_json::from_str(text(field)) {
                self.add(target, &format!("{name}-here"), adopted(document).to_string().as_bytes())?;
            }
        }
        for field in ["pck_crl_issuer_chain", "tcb_info_issuer_chain"] {
            self.add_chain(&format!("{name}-{field}"), text(field).as_bytes())?;
        }
        Ok(())
    }

    /// Adds a PEM chain and its certificates; the first of them may be a PCK certificate.
    fn add_chain(&self, name: &str, chain: &[u8]) -> io::Result<()> {
        self.add("certificate", &format!("{name}.pem"), chain)?;
        for (place, der) in pem_certificates(chain, 4).unwrap_or_default().iter().enumerate() {
            self.add("certificate", &format!("{name}-{place}.der"), der)?;
            self.add("tdx_pck", &format!("{name}-{place}.der"), der)?;
        }
        Ok(())
    }

    fn add_quote(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.add("tdx_quote", name, bytes)?;
        match Quote::parse(bytes).ok().and_then(|quote| quote.pck_chain_pem()) {
            Some(chain) => self.add_chain(&format!("{name}-chain"), chain),
            None => Ok(()),
        }
    }

    /// Adds a log with little of its padding, which fills most of a CCEL area and would be most of what
    /// is mutated.
    fn add_event_log(&self, name: &str, log: &[u8]) -> io::Result<()> {
        let unpadded = log.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
        self.add("event_log", name, &log[..log.len().min(unpadded + 64)])
    }

    fn add_snp(&self, name: &str, report: &[u8], vek: Option<&[u8]>) -> io::Result<()> {
        self.add("snp_report", name, report)?;
        match vek {
            Some(vek) => {
                self.add("certificate", &format!("{name}-vek.der"), vek)?;
                self.add("snp_vek", name, &[report, vek].concat())
            }
            None => Ok(()),
        }
    }
}

/// What needs no fixtures.
fn own(seeds: &Seeds) -> io::Result<()> {
    let verifier = Path::new(ROOT).join("attestation/verifier");
    let report = fs::read(verifier.join("examples/data/turin-report.bin"))?;
    let vek = fs::read(verifier.join("examples/data/turin-vcek.der"))?;
    seeds.add_snp("turin", &report, Some(&vek))?;
    for name in ["amd/milan-ark", "amd/genoa-asvk", "intel/sgx-root-ca"] {
        let der = fs::read(verifier.join("roots").join(name).with_extension("der"))?;
        seeds.add("certificate", &format!("{}.der", name.replace('/', "-")), &der)?;
    }

    let platform = Platform::get();
    seeds.add_quote("simulated-v4", &platform.quote)?;
    seeds.add_quote("simulated-v5", &platform.quote_v5)?;
    seeds.add("tdx_pck", "simulated", &platform.pck)?;
    let collateral = serde_json::to_value(&platform.collateral)?;
    seeds.add_collateral("simulated", &collateral)?;
    seeds.add_event_log("simulated-ccel", &platform.ccel)?;
    seeds.add_event_log("simulated-json", platform.event_log_json.as_bytes())?;

    for file in files(&Path::new(ROOT).join("policies"))? {
        if file.extension().is_some_and(|extension| extension == "json") {
            seeds.add("policy", &name_of(&file), &fs::read(&file)?)?;
        }
    }
    let examples = Path::new(ROOT).join("attestation/bundle/tests/data/v1");
    seeds.add("policy", "bundle-policy", &fs::read(examples.join("policy.json"))?)?;
    for name in ["plain.json", "streamed.json", "cut-off.json"] {
        let text = fs::read(examples.join(name))?;
        seeds.add("bundle", name, &text)?;
        // An envelope's canonical text is how serde_json writes it in the order of its fields, which
        // the bundle keeps: it is cut out, not written anew.
        for (place, envelope) in envelopes(&text).enumerate() {
            seeds.add("envelope", &format!("{name}-{place}"), envelope)?;
            if let Some(leaf) = Envelope::from_json(envelope).ok().and_then(|one| envelope_leaf(&one)) {
                seeds.add("leaf", &format!("{name}-{place}"), &leaf)?;
            }
        }
    }
    let list = revocations::list();
    seeds.add("revocations", "list", &list.to_bytes())?;
    let revocations = revocations::sign(list);
    seeds.add("revocations", "signed", revocations.to_json().as_bytes())?;
    let endorsements =
        EndorsementsRecord { version: 1, boot: Hex([0x11; 32]), endorsements: Hex([0x22; 32]) };
    seeds.add("leaf", "endorsements", &endorsements_leaf(&endorsements))?;
    seeds.add("leaf", "revocations", &revocations_leaf(&revocations))?;
    seeds.add("tlog", "proof", checkpoints::proof().to_string().as_bytes())?;
    seeds.add("tlog", "request", checkpoints::request().to_string().as_bytes())?;
    seeds.add("tlog", "note", checkpoints::note().to_string().as_bytes())?;
    control(seeds)
}

/// One message of each shape that has something to get wrong.
fn control(seeds: &Seeds) -> io::Result<()> {
    const BOOT: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    let hello = json!({"type": "hello", "protocol": 1, "software": "seed"});
    let health = json!({"type": "health", "ready": true, "draining": false, "boot": BOOT, "sessions": 101,
        "active": 102, "queued": 103, "queue_max": 104, "receipts_unacknowledged": 105});
    let from_enclave = [
        hello.clone(),
        json!({"type": "ready", "boot": BOOT}),
        json!({"type": "receipt", "boot": BOOT, "seq": 7, "envelope": "{}"}),
        json!({"type": "record", "boot": BOOT, "number": 0, "leaf": "AAAA", "blobs": ["AAAA", ""]}),
    ];
    let from_host = [
        hello,
        json!({"type": "receipt_ack", "boot": BOOT, "seq": 7}),
        json!({"type": "health_request"}),
        json!({"type": "inclusion", "note": "n", "from": 3, "consistency": ["AAAA"],
            "leaves": [{"hash": BOOT, "index": 2, "path": ["AAAA"]}]}),
        json!({"type": "drain"}),
    ];
    let directions: [(u8, &str, &[Value]); 3] =
        [(0, "health", &[health]), (0, "enclave", &from_enclave), (1, "host", &from_host)];
    for (direction, name, messages) in directions {
        let mut bytes = vec![direction];
        for message in messages.iter().map(Value::to_string) {
            let length = u32::try_from(message.len()).unwrap_or_default();
            bytes.extend(length.to_be_bytes());
            bytes.extend(message.as_bytes());
        }
        bytes.extend([0; 4]);
        seeds.add("control", name, &bytes)?;
    }
    Ok(())
}

/// The envelopes in a bundle's text.
fn envelopes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START: &[u8] = b"{\"payloadType\":";
    const END: &[u8] = b"\"}]}";
    let starts = text.windows(START.len()).enumerate().filter(|(_, part)| *part == START);
    starts.filter_map(|(start, _)| {
        let rest = &text[start..];
        let end = rest.windows(END.len()).position(|part| part == END)?;
        Some(&rest[..end + END.len()])
    })
}

fn snp_vectors(seeds: &Seeds, folder: &Path) -> io::Result<()> {
    for case in files(folder)?.into_iter().filter(|case| case.join("report.bin").is_file()) {
        let report = fs::read(case.join("report.bin"))?;
        let veks = files(&case)?.into_iter().filter(|file| file.extension().is_some_and(|e| e == "der"));
        seeds.add_snp(&name_of(&case), &report, None)?;
        for vek in veks {
            let name = format!("{}-{}", name_of(&case), name_of(&vek));
            seeds.add_snp(&name, &report, Some(&fs::read(&vek)?))?;
        }
    }
    for file in files(&folder.join("crl"))? {
        seeds.add("crl", &name_of(&file), &fs::read(&file)?)?;
    }
    for file in files(&folder.join("chains"))?.into_iter().chain(files(&folder.join("certs"))?) {
        seeds.add("certificate", &name_of(&file), &fs::read(&file)?)?;
    }
    Ok(())
}

fn tdx_vectors(seeds: &Seeds, folder: &Path) -> io::Result<()> {
    for case in files(folder)?.into_iter().filter(|case| case.join("quote.bin").is_file()) {
        let name = name_of(&case);
        seeds.add_quote(&name, &fs::read(case.join("quote.bin"))?)?;
        for file in files(&case)? {
            let in_case = format!("{name}-{}", name_of(&file));
            if name_of(&file).starts_with("collateral") {
                seeds.add_collateral(&in_case, &serde_json::from_slice(&fs::read(&file)?)?)?;
            } else if name_of(&file).contains("ccel") || name_of(&file).contains("eventlog") {
                seeds.add_event_log(&in_case, &fs::read(&file)?)?;
            }
        }
    }
    Ok(())
}

/// A real document, as if it were of the simulated platform and of today.
fn adopted(mut document: Value) -> Value {
    let ours: Value = serde_json::from_str(&Platform::get().collateral.tcb_info).expect("our own");
    for field in ["issueDate", "nextUpdate", "fmspc", "pceId"] {
        if document.get(field).is_some() {
            document[field] = ours[field].clone();
        }
    }
    document
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
