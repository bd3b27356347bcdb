//! The program as process 1 of a confidential guest: everything it is told is measured.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use vouchsafe_link::Endpoint;
use vouchsafe_platform::Attester;

use crate::{Config, Disk, ServeError, program, report};

/// Any context id: the guest does not choose its own.
const ANY: Endpoint = Endpoint::Vsock(u32::MAX);

/// Whether this program is process 1 of a guest, and is to be run by [`run_guest`].
pub fn is_guest() -> bool {
    vouchsafe_init::is_init()
}

/// Makes the guest fit to serve, serves what its measured disk holds, and ends the machine.
pub fn run_guest(attester: impl FnOnce(&Config) -> Result<Arc<dyn Attester>, ServeError>) -> ! {
    report::silence_panics();
    match serve(attester) {
        Ok(()) => report::note("ended in order"),
        Err(error) => report::failure(&error),
    }
    vouchsafe_init::power_off()
}

/// Prints what a guest with this disk will serve, as JSON: the names and digests of its models.
pub fn print_disk(folder: &Path) -> ExitCode {
    match Disk::read(folder).and_then(|disk| disk.describe(folder)) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve(attester: impl FnOnce(&Config) -> Result<Arc<dyn Attester>, ServeError>) -> Result<(), ServeError> {
    let guest = vouchsafe_init::prepare()?;
    let disk = Disk::read(&guest.disk)?;
    program::run_until_told(&ANY, disk.sources(&guest.disk), disk.configuration, attester)
}
