//! `vouchsafe evidence show`: a report or quote as a commented table. Nothing is verified here.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;
use vouchsafe_verifier::encoding::to_hex;
use vouchsafe_verifier::snp::Report;
use vouchsafe_verifier::tdx::{Quote, TdAttributes};

use crate::command::Format;
use crate::failure::Failure;
use crate::input::{self, EVIDENCE_BYTES_MAX};
use crate::output::{Row, YELLOW, clean, table};

/// Exit status for bytes that are no report or quote.
const REJECTED: u8 = 10;

/// Print a report or quote as a commented table; verifies nothing
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    /// An SEV-SNP report or a TDX quote: which of them, its first bytes say
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    kind: Option<Kind>,
}

/// For who knows which evidence it must be.
#[derive(Debug, Subcommand)]
enum Kind {
    /// An AMD SEV-SNP attestation report
    Snp {
        /// The report, 1184 bytes
        #[arg(long, value_name = "FILE")]
        report: PathBuf,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// An Intel TDX quote
    Tdx {
        /// The quote, version 4 or 5
        #[arg(long, value_name = "FILE")]
        quote: PathBuf,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// What the bytes are to be read as.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Snp,
    Tdx,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (path, format, reading) = match arguments {
        Arguments { kind: Some(Kind::Snp { report, format }), .. } => (report, *format, Some(Reading::Snp)),
        Arguments { kind: Some(Kind::Tdx { quote, format }), .. } => (quote, *format, Some(Reading::Tdx)),
        Arguments { file: Some(file), format, .. } => (file, *format, None),
        // Excluded by the parser of the command line.
        Arguments { file: None, .. } => return Err(Failure::Own("no file was named".into())),
    };
    let bytes = input::read_evidence(path, EVIDENCE_BYTES_MAX)?;
    let shown = match reading.unwrap_or_else(|| Reading::of(&bytes)) {
        Reading::Snp => Report::parse(&bytes)
            .map(|report| (snp(&report), claims("sev-snp", &report.claims())))
            .map_err(|error| (error.code(), error.to_string())),
        Reading::Tdx => Quote::parse(&bytes)
            .map(|quote| (tdx(&quote), claims("tdx", &quote.claims())))
            .map_err(|error| (error.code(), error.to_string())),
    };
    match (shown, format) {
        (Ok((rows, _)), Format::Text) => {
            anstream::println!("{YELLOW}not verified{YELLOW:#}: what the bytes say, by their own account\n");
            anstream::print!("{}", table(&rows));
            Ok(ExitCode::SUCCESS)
        }
        (Ok((_, claims)), Format::Json) => {
            let json = serde_json::json!({ "verified": false, "claims": claims? });
            anstream::println!("{json:#}");
            Ok(ExitCode::SUCCESS)
        }
        (Err((code, text)), Format::Text) => {
            anstream::println!("rejected  {code}\n  {}", clean(&text));
            Ok(ExitCode::from(REJECTED))
        }
        (Err((code, text)), Format::Json) => {
            let json = serde_json::json!({ "verified": false, "code": code, "detail": text });
            anstream::println!("{json:#}");
            Ok(ExitCode::from(REJECTED))
        }
    }
}

/// The claims under the names that a verdict has for them.
fn claims(platform: &str, claims: &impl Serialize) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(claims)
        .map_err(|error| Failure::Own(format!("claims that are no JSON: {error}")))?;
    if let Some(claims) = value.as_object_mut() {
        claims.insert("platform".into(), platform.into());
    }
    Ok(value)
}

impl Reading {
    /// What the first bytes look like. A report begins with its version in four bytes; a quote with its
    /// version in two and then, in two, the type of its attestation key, which is never 0.
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [_, _, key, type_, ..] if [*key, *type_] != [0, 0] => Self::Tdx,
            _ => Self::Snp,
        }
    }
}

fn row(name: &'static str, value: impl Into<String>, comment: &'static str) -> Row {
    Row { name, value: value.into(), comment }
}

fn snp(report: &Report) -> Vec<Row> {
    let tcb = |version: vouchsafe_verifier::snp::TcbVersion| match report.cpuid_product() {
        Some(product) => match version.components(product) {
            Ok(tcb) => {
                tcb.components().map(|(name, level)| format!("{name} {level}")).collect::<Vec<_>>().join(", ")
            }
            Err(error) => format!("{} ({error})", to_hex(&version.raw())),
        },
        None => to_hex(&version.raw()),
    };
    let (policy, info, key) = (report.policy(), report.platform_info(), report.key_info());
    let cpuid = report.cpuid().map_or_else(
        || "not stated".into(),
        |(family, model, stepping)| format!("family {family:#x}, model {model:#x}, stepping {stepping}"),
    );
    let optional = |digest: Option<&[u8]>| digest.map_or_else(|| "none".into(), to_hex);
    vec![
        row("version", report.version().to_string(), "layout of the report"),
        row("cpuid_fms", cpuid, "which processor made it, since version 3"),
        row("product", report.cpuid_product().map_or("unknown", |product| product.name()), "by that CPUID"),
        row("measurement", to_hex(report.measurement()), "digest of the guest's memory at launch"),
        row("report_data", to_hex(report.report_data()), "64 bytes that the guest chose"),
        row("vmpl", report.vmpl().to_string(), "privilege level that asked; 0 is the highest"),
        row(
            "policy",
            bits(
                policy.bits(),
                &[
                    ("SMT allowed", policy.smt_allowed()),
                    ("MIGRATE_MA", policy.migrate_ma_allowed()),
                    ("DEBUG", policy.debug_allowed()),
                    ("SINGLE_SOCKET", policy.single_socket()),
                    ("CXL allowed", policy.cxl_allowed()),
                    ("AES-256-XTS", policy.aes_256_xts_required()),
                    ("RAPL_DIS", policy.rapl_disabled_required()),
                    ("CIPHERTEXT_HIDING", policy.ciphertext_hiding_required()),
                    ("PAGE_SWAP_DISABLE", policy.page_swap_disabled()),
                ],
            ),
            "what the guest's owner allowed; DEBUG lets the host read everything",
        ),
        row(
            "platform_info",
            bits(
                info.bits(),
                &[
                    ("SMT on", info.smt_enabled()),
                    ("TSME", info.tsme_enabled()),
                    ("ECC", info.ecc_enabled()),
                    ("RAPL off", info.rapl_disabled()),
                    ("ciphertext hiding", info.ciphertext_hiding_enabled()),
                    ("alias check complete", info.alias_check_complete()),
                    ("TIO", info.tio_enabled()),
                ],
            ),
            "how the machine runs",
        ),
        row(
            "key_info",
            flags(&[
                (if key.signing_key() == 0 { "signed by VCEK" } else { "signed by VLEK" }, true),
                ("author key", key.author_key_enabled()),
                ("chip key masked", key.chip_key_masked()),
            ]),
            "whose key signed",
        ),
        row("reported_tcb", tcb(report.reported_tcb()), "firmware versions for which the key was derived"),
        row("current_tcb", tcb(report.current_tcb()), "firmware versions that ran"),
        row("committed_tcb", tcb(report.committed_tcb()), "below which the machine can't go back"),
        row("launch_tcb", tcb(report.launch_tcb()), "when the guest was launched"),
        row("current_fw", report.current_firmware().to_string(), "SNP firmware"),
        row("committed_fw", report.committed_firmware().to_string(), ""),
        row("guest_svn", report.guest_svn().to_string(), "the guest's own version, by its identity block"),
        row("family_id", to_hex(report.family_id()), "by the guest's identity block"),
        row("image_id", to_hex(report.image_id()), "by the guest's identity block"),
        row(
            "id_key_digest",
            optional(report.id_key_digest().map(|digest| digest.as_slice())),
            "who signed the identity block",
        ),
        row(
            "author_key_digest",
            optional(report.author_key_digest().map(|digest| digest.as_slice())),
            "who certified that key",
        ),
        row("host_data", to_hex(report.host_data()), "32 bytes that the host chose at launch"),
        row("report_id", to_hex(report.report_id()), "names this guest as long as it lives"),
        row("report_id_ma", to_hex(report.report_id_ma()), "its migration agent; all ones for none"),
        row("chip_id", report.chip_id().map_or_else(|| "masked".into(), |id| to_hex(id)), "names the chip"),
        row(
            "launch_mit_vector",
            mitigations(report.launch_mitigations()),
            "in force at launch, one bit each, since version 5",
        ),
        row("current_mit_vector", mitigations(report.current_mitigations()), "in force now"),
    ]
}

fn mitigations(bits: Option<u64>) -> String {
    bits.map_or_else(|| "not stated".into(), |bits| format!("{bits:#x}"))
}

fn tdx(quote: &Quote<'_>) -> Vec<Row> {
    let (header, report) = (quote.header(), quote.report());
    let [rtmr0, rtmr1, rtmr2, rtmr3] = report.rtmr.map(|rtmr| to_hex(&rtmr));
    let attributes = report.td_attributes;
    let named = TD_ATTRIBUTES.map(|(name, mask)| (name, attributes.contains(mask)));
    let body = if report.td_1_5.is_some() { "TD 1.5" } else { "TD 1.0" };
    let mut rows = vec![
        row("version", header.version.to_string(), "layout of the quote"),
        row("body", body, "kind of TD report"),
        row(
            "att_key_type",
            header.attestation_key_type.to_string(),
            "of the key that signed; 2 is ECDSA P-256",
        ),
        row("tee_type", format!("{:#x}", header.tee_type), "0x81 is TDX"),
        row("mrtd", to_hex(&report.mrtd), "digest of the TD's initial memory: the firmware"),
        row("rtmr0", rtmr0, "firmware configuration, ACPI tables, memory layout"),
        row("rtmr1", rtmr1, "the kernel"),
        row("rtmr2", rtmr2, "command line and initrd"),
        row("rtmr3", rtmr3, "what the guest's programs extended"),
        row("report_data", to_hex(&report.report_data), "64 bytes that the guest chose"),
        row(
            "td_attributes",
            format!("{}: {}", to_hex(&attributes.to_le_bytes()), flags(&named)),
            "how the TD was started; DEBUG lets the host read everything",
        ),
        row("xfam", to_hex(&report.xfam), "extended processor features the TD may use"),
        row("tee_tcb_svn", to_hex(&report.tee_tcb_svn), "versions of the TDX module at launch"),
        row("mrseam", to_hex(&report.mrseam), "digest of the TDX module"),
        row("mrsignerseam", to_hex(&report.mrsignerseam), "who signed the TDX module; zero is Intel"),
        row("seamattributes", to_hex(&report.seamattributes), ""),
        row("mrconfigid", to_hex(&report.mrconfigid), "48 bytes that the host chose at launch"),
        row("mrowner", to_hex(&report.mrowner), "the TD's owner, named at launch"),
        row("mrownerconfig", to_hex(&report.mrownerconfig), "the owner's configuration, named at launch"),
        row("qe_vendor", to_hex(&header.qe_vendor_id), "who made the quoting enclave"),
        row("user_data", to_hex(&header.user_data), "of the quoting enclave; it begins with its id"),
        row("qe_report.mrsigner", to_hex(&quote.qe_report().mrsigner), "who signed the quoting enclave"),
        row(
            "qe_report.isvprodid",
            quote.qe_report().isvprodid.to_string(),
            "which of the signer's enclaves it is",
        ),
        row(
            "qe_report.isvsvn",
            quote.qe_report().isvsvn.to_string(),
            "the quoting enclave's security version",
        ),
        row(
            "qe_report.attributes",
            to_hex(&quote.qe_report().attributes),
            "flags and XFRM of the quoting enclave",
        ),
        row("qe_report.auth_data", to_hex(quote.qe_auth_data()), "bound together with the attestation key"),
        row(
            "pck_chain",
            if quote.pck_chain_pem().is_some() { "in the quote" } else { "not in the quote" },
            "the platform's certificates",
        ),
        row("trailing_bytes", quote.trailing().count.to_string(), "after the quote's own bytes"),
        row("trailing_all_zero", quote.trailing().all_zero.to_string(), "whether these are padding"),
    ];
    if let Some(td) = report.td_1_5 {
        rows.push(row("tee_tcb_svn2", to_hex(&td.tee_tcb_svn2), "versions of the TDX module now"));
        rows.push(row(
            "mrservicetd",
            to_hex(&td.mrservicetd),
            "service TDs bound to this one; zero for none",
        ));
    }
    rows
}

/// The TD attributes with a name.
const TD_ATTRIBUTES: [(&str, u64); 13] = [
    ("DEBUG", TdAttributes::DEBUG),
    ("HGS_PLUS_PROF", TdAttributes::HGS_PLUS_PROF),
    ("PERF_PROF", TdAttributes::PERF_PROF),
    ("PMT_PROF", TdAttributes::PMT_PROF),
    ("ICSSD", TdAttributes::ICSSD),
    ("SERVTD_EXT", TdAttributes::SERVTD_EXT),
    ("LASS", TdAttributes::LASS),
    ("SEPT_VE_DISABLE", TdAttributes::SEPT_VE_DISABLE),
    ("MIGRATABLE", TdAttributes::MIGRATABLE),
    ("PKS", TdAttributes::PKS),
    ("KL", TdAttributes::KL),
    ("TPA", TdAttributes::TPA),
    ("PERFMON", TdAttributes::PERFMON),
];

/// A bit field: the number, and the names of the bits that are set.
fn bits(number: u64, bits: &[(&str, bool)]) -> String {
    format!("{number:#x}: {}", flags(bits))
}

/// The names of the bits that are set.
fn flags(bits: &[(&str, bool)]) -> String {
    let set: Vec<&str> = bits.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    if set.is_empty() { "none".into() } else { set.join(", ") }
}
