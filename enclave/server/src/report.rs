//! What the program tells the outside about itself. Nothing here derives from any request.
//!
//! Standard output is for machines: `loading DONE/TOTAL` lines while models load, then one line
//! `ready boot=HEX`. Standard error is for people.

use std::io::Write as _;

use crate::ServeError;
use crate::models::Progress;

/// One line of progress.
pub(crate) fn loading(progress: &Progress) {
    out(&format!("loading {}/{}", progress.done, progress.total));
}

/// The line that says that sessions are served.
pub(crate) fn ready(boot: &str) {
    out(&format!("ready boot={boot}"));
}

/// Something the operator may want to know.
pub(crate) fn note(text: &str) {
    err(text);
}

/// Something that failed.
pub(crate) fn failure(error: &ServeError) {
    err(&format!("error[{}]: {error}", error.code()));
}

/// From now on a panic says where it happened and nothing else: its message can hold what a request
/// said, and standard error is the host's to read.
pub(crate) fn silence_panics() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => err(&format!("panic at {place}")),
        None => err("panic"),
    }));
}

fn out(line: &str) {
    // A reader that is gone is no reason to stop serving.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn err(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "vouchsafe-enclave: {line}");
}
