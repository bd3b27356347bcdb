//! `vouchsafe evidence verify snp`.

use std::path::PathBuf;
use std::process::ExitCode;

use vouchsafe_bundle::snp_endorsements;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence};

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
    /// Folder with ARK and ASK or ASVK certificates, DER or PEM, also several in one file as AMD's
    /// cert_chain; AMD's own are built in
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
    let certificates = arguments.chain.as_deref().map(chain::read).transpose()?.unwrap_or_default();
    let endorsements = Endorsements::SevSnp(snp_endorsements(vek, &certificates, crl, &Ring));
    arguments.common.judge(&Evidence::SevSnp { report }, Some(&endorsements), &policy, at)
}
