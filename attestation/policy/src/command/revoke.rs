//! `vouchsafe policy revoke`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use vouchsafe_bundle::policy::Moment;
use vouchsafe_policy::revocations::Document;
use vouchsafe_policy::signed::Error;
use vouchsafe_receipt::revocation::{
    AmdProduct, Registers, Revocation, Revoked, SIGNED_REVOCATIONS_BYTES_MAX,
};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::{Crypto as _, Ring};
use vouchsafe_verifier::encoding::{Hex, from_hex};

use super::sign::read_spki;
use super::{Failure, parse_moment, read};

/// Revoke something: add it to a document of revocations
///
/// The document goes to standard output; `sign` makes a list of it. Exactly one of the options from --boot to
/// --fmspc, or registers of one TDX image, says what is revoked.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    /// The document so far: a list is whole, and what it leaves out is revoked no more
    #[arg(long, value_name = "FILE", required_unless_present = "new", conflicts_with = "new")]
    list: Option<PathBuf>,
    /// There is none so far
    #[arg(long)]
    new: bool,
    /// What people will call the matter
    #[arg(long)]
    name: String,
    /// From when on nothing of it is to be believed
    #[arg(long, value_name = "RFC3339", value_parser = parse_moment)]
    at: UnixSeconds,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    registers: Image,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// A boot, by its id
    #[arg(long, value_name = "HEX", value_parser = hex::<32>)]
    boot: Option<Hex<32>>,
    /// A receipt key, by the SHA-256 of its SPKI, or in PEM
    #[arg(long, value_name = "HEX|FILE")]
    receipt_key: Option<String>,
    /// An AMD chip, by its CHIP_ID
    #[arg(long, value_name = "HEX", value_parser = hex::<64>)]
    chip_id: Option<Hex<64>>,
    /// An Intel platform, by its PPID
    #[arg(long, value_name = "HEX", value_parser = hex::<16>)]
    ppid: Option<Hex<16>>,
    /// An SEV-SNP image, by its launch measurement
    #[arg(long, value_name = "HEX", value_parser = hex::<48>)]
    measurement: Option<Hex<48>>,
    /// A family of AMD processors
    #[arg(long, value_enum)]
    product: Option<Product>,
    /// A model of Intel processors
    #[arg(long, value_name = "HEX", value_parser = hex::<6>)]
    fmspc: Option<Hex<6>>,
}

/// A TDX image: all that are named must be the quote's.
#[derive(Debug, clap::Args)]
struct Image {
    /// A TDX image's MRTD
    #[arg(long, value_name = "HEX", value_parser = hex::<48>, conflicts_with = "What")]
    mrtd: Option<Hex<48>>,
    /// A TDX image's RTMR0
    #[arg(long, value_name = "HEX", value_parser = hex::<48>, conflicts_with = "What")]
    rtmr0: Option<Hex<48>>,
    /// A TDX image's RTMR1
    #[arg(long, value_name = "HEX", value_parser = hex::<48>, conflicts_with = "What")]
    rtmr1: Option<Hex<48>>,
    /// A TDX image's RTMR2
    #[arg(long, value_name = "HEX", value_parser = hex::<48>, conflicts_with = "What")]
    rtmr2: Option<Hex<48>>,
    /// A TDX image's RTMR3
    #[arg(long, value_name = "HEX", value_parser = hex::<48>, conflicts_with = "What")]
    rtmr3: Option<Hex<48>>,
}

/// AMD's processor families.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Product {
    #[value(name = "Milan")]
    Milan,
    #[value(name = "Genoa")]
    Genoa,
    #[value(name = "Turin")]
    Turin,
}

fn hex<const N: usize>(text: &str) -> Result<Hex<N>, String> {
    from_hex(text).map(Hex).ok_or_else(|| format!("expected {N} bytes of lower-case hexadecimal"))
}

impl Revoke {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let mut document = match &self.list {
            Some(path) => Document::parse(&read(path, SIGNED_REVOCATIONS_BYTES_MAX)?)?,
            None => Document::empty(),
        };
        let revokes = self.revoked()?;
        let (name, at, reason) = (self.name.clone(), Moment(self.at), self.reason.clone());
        document.revocations.push(Revocation { name, revokes, at, reason });
        // What could never be signed is said now, and not to whoever signs.
        document.clone().release(1, UnixSeconds(0), UnixSeconds(1))?;
        anstream::print!("{}", document.to_json());
        Ok(ExitCode::SUCCESS)
    }

    fn revoked(&self) -> Result<Revoked, Failure> {
        let What { boot, receipt_key, chip_id, ppid, measurement, product, fmspc } = &self.what;
        let key = receipt_key.as_deref().map(key_digest).transpose()?;
        let product = product.map(|product| match product {
            Product::Milan => AmdProduct::Milan,
            Product::Genoa => AmdProduct::Genoa,
            Product::Turin => AmdProduct::Turin,
        });
        let Image { mrtd, rtmr0, rtmr1, rtmr2, rtmr3 } = &self.registers;
        let registers = Registers { mrtd: *mrtd, rtmr0: *rtmr0, rtmr1: *rtmr1, rtmr2: *rtmr2, rtmr3: *rtmr3 };
        let has_registers = registers.named().iter().any(Option::is_some);
        let given = [
            boot.map(Revoked::Boot),
            key.map(Revoked::ReceiptKey),
            chip_id.map(Revoked::ChipId),
            ppid.map(Revoked::Ppid),
            measurement.map(Revoked::Measurement),
            product.map(Revoked::Product),
            fmspc.map(Revoked::Fmspc),
            has_registers.then_some(Revoked::Registers(registers)),
        ];
        let nothing = || {
            let why = "nothing is named that is to be revoked".into();
            Error::Revocations(vouchsafe_receipt::Error::PayloadMalformed { what: "revocation", why })
        };
        Ok(given.into_iter().flatten().next().ok_or_else(nothing)?)
    }
}

/// A key's digest, given as such or as the key in a file.
fn key_digest(text: &str) -> Result<Hex<32>, Failure> {
    match from_hex(text) {
        Some(digest) => Ok(Hex(digest)),
        None => Ok(Hex(Ring.sha256(&read_spki(Path::new(text))?))),
    }
}
