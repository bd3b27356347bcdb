//! `vouchsafe policy corim`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use vouchsafe_policy::corim::{CORIM_BYTES_MAX, export, import};

use super::{Failure, read, read_policy};

/// Bring reference values over from and to other verifiers, as CoRIM
///
/// Exit status 10 for what has no place on the other side: it is named, and nothing is written.
#[derive(Debug, Subcommand)]
pub(super) enum Corim {
    /// Write a policy's reference values as an unsigned CoRIM
    Export {
        /// The policy
        policy: PathBuf,
        /// Only the reference value of this name; several times for several
        #[arg(long, value_name = "NAME")]
        reference: Vec<String>,
        /// Where to write it; default: standard output
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print the reference values of an unsigned CoRIM, as `policy init --measured` takes them
    Import {
        /// The CoRIM
        corim: PathBuf,
    },
}

impl Corim {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        match self {
            Self::Export { policy, reference, out } => {
                let bytes = export(&read_policy(policy)?, reference)?;
                let own = |error: std::io::Error| Failure::Own(format!("can't write: {error}"));
                match out {
                    Some(path) => std::fs::write(path, &bytes).map_err(own)?,
                    None => std::io::stdout().lock().write_all(&bytes).map_err(own)?,
                }
                anstream::eprintln!("left out: how each was computed");
            }
            Self::Import { corim } => {
                let imported = import(&read(corim, CORIM_BYTES_MAX)?)?;
                let document = json!({"corim": imported.id, "measurements": {"require": imported.values}});
                anstream::println!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
