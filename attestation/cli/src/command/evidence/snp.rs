//! `vouchsafe evidence verify snp`.

use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements};

use super::{Common, chain};
use crate::failure::Failure;
use crate::input::{self, EVIDENCE_BYTES_MAX};

/// Verify an AMD SEV-SNP attestation report
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The report, 1184 bytes
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// The VCEK or VLEK certificate, DER or PEM
    #[arg(long, value_name = "FILE")]
    vek: Option<PathBuf>,
    /// Folder with ARK and ASK or ASVK certificates, DER or PEM; AMD's own are built in
    #[arg(long, value_name = "DIR")]
    chain: Option<PathBuf>,
    /// The ARK's revocation list, DER or PEM
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (policy, at) = arguments.common.policy()?;
    let report = Base64(input::read_evidence(&arguments.report, EVIDENCE_BYTES_MAX)?);
    let vek = arguments.vek.as_deref().map(input::read_certificate).transpose()?;
    let crl = arguments.crl.as_deref().map(input::read_crl).transpose()?;
    let chain = match (&arguments.chain, &vek) {
        (Some(folder), Some(vek)) => chain::find(folder, vek)?,
        _ => chain::Chain::default(),
    };
    let endorsements = Endorsements::SevSnp(SnpEndorsements {
        vek: vek.map(Base64),
        intermediate: chain.intermediate.map(Base64),
        root: chain.root.map(Base64),
        crl: crl.map(Base64),
    });
    arguments.common.judge(&Evidence::SevSnp { report }, Some(&endorsements), &policy, at)
}
