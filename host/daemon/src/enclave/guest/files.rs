//! What a guest boots, copied; and which programs a host before left running.

use std::fs;
use std::io;
use std::path::Path;

use super::command::{Booted, GuestEnclave};
use super::program::{Identity, Running};

/// The file that names the programs of a guest that is kept.
const REMEMBERED: &str = "programs.json";
/// The image's file with the kernel command line.
const COMMAND_LINE: &str = "cmdline";
/// Longest command line that Linux takes on x86.
const COMMAND_LINE_BYTES_MAX: usize = 2047;

/// The image's own files.
pub(super) fn in_image(config: &GuestEnclave) -> Result<Booted, String> {
    let image = std::path::absolute(&config.image).map_err(|error| error.to_string())?;
    let path = image.join(COMMAND_LINE);
    let command_line = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if command_line.len() > COMMAND_LINE_BYTES_MAX || command_line.chars().any(char::is_control) {
        return Err(format!("{} is no kernel command line", path.display()));
    }
    Ok(Booted {
        firmware: image.join(config.firmware_name()),
        kernel: image.join("vmlinuz"),
        initrd: image.join("initrd"),
        command_line,
        disk: image.join("disk.img"),
    })
}

/// Copies of them in `folder`; the disk stays where it is.
pub(super) fn copy(config: &GuestEnclave, folder: &Path) -> Result<Booted, String> {
    let image = in_image(config)?;
    let copy = |from: &Path| {
        let to = folder.join(from.file_name().unwrap_or_default());
        fs::copy(from, &to).map(|_| to).map_err(|error| format!("{}: {error}", from.display()))
    };
    if !image.disk.is_file() {
        return Err(format!("{} is missing", image.disk.display()));
    }
    Ok(Booted {
        firmware: copy(&image.firmware)?,
        kernel: copy(&image.kernel)?,
        initrd: copy(&image.initrd)?,
        ..image
    })
}

/// Writes down which programs run, for the next host.
pub(super) fn remember(folder: &Path, programs: &[Running]) -> io::Result<()> {
    let identities: Vec<&Identity> = programs.iter().map(Running::identity).collect();
    let temporary = folder.join("programs.json.tmp");
    fs::write(&temporary, serde_json::to_vec(&identities)?)?;
    fs::rename(temporary, folder.join(REMEMBERED))
}

/// The programs that a host before left running; `None` where not all of them run any more. Those
/// that do are ended then: half a guest is none.
pub(super) fn recall(folder: &Path) -> Option<Vec<Running>> {
    let json = fs::read(folder.join(REMEMBERED)).ok()?;
    let identities: Vec<Identity> = serde_json::from_slice(&json).ok()?;
    let count = identities.len();
    let log = folder.join("unknown.log");
    let mut running: Vec<Running> =
        identities.into_iter().filter_map(|identity| Running::recall(identity, log.clone())).collect();
    if count > 0 && running.len() == count {
        return Some(running);
    }
    running.iter_mut().for_each(Running::kill);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enclave::guest::command::Program;

    fn program(folder: &Path, script: &str) -> Running {
        let arguments = vec!["-c".into(), script.into()];
        Running::start(
            &Program { path: "/bin/sh".into(), arguments, socket: None, log: "sh.log" },
            None,
            folder,
        )
        .unwrap()
    }

    #[test]
    fn a_guest_is_recalled_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(recall(folder).is_none(), "nothing was remembered");
        let mut programs = [program(folder, "exec sleep 1000"), program(folder, "exec sleep 1000")];
        remember(folder, &programs).unwrap();
        let recalled = recall(folder).unwrap();
        assert_eq!(
            recalled.iter().map(Running::pid).collect::<Vec<_>>(),
            programs.each_ref().map(Running::pid)
        );
        programs[0].kill();
        while programs[0].has_ended().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(recall(folder).is_none(), "one of them has ended");
        while programs[1].has_ended().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
