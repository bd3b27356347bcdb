//! `vouchsafe policy compare`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use vouchsafe_policy::compare::{Judged, VERDICT_BYTES_MAX, compare};

use super::{Failure, Format, OBJECTION, print, read};

/// Say what one verdict leaves unproved that another establishes
///
/// Verdicts as `vouchsafe verify --format json` prints them. Exit status 10 when the second leaves something
/// unproved that the first establishes.
#[derive(Debug, clap::Args)]
pub(super) struct Compare {
    /// A verdict
    first: PathBuf,
    /// Another verdict
    second: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Compare {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let judged = |path: &Path| {
            let json = read(path, VERDICT_BYTES_MAX)?;
            Judged::parse(&json).map_err(|why| Failure::Input { path: path.into(), why })
        };
        let comparison = compare(&judged(&self.first)?, &judged(&self.second)?);
        print::comparison(&comparison, self.format);
        Ok(match comparison.first_establishes.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(OBJECTION),
        })
    }
}
