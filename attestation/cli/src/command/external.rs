//! `vouchsafe X` runs the program `vouchsafe-X`, as git does.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::failure::Failure;

/// Runs `vouchsafe-X` with the remaining words: from this program's own folder if it is there, so that
/// programs of one release stay together, else from PATH.
pub(super) fn run(words: &[OsString]) -> Result<ExitCode, Failure> {
    let Some((name, arguments)) = words.split_first() else {
        return Err(Failure::NoSuchCommand { name: String::new() });
    };
    let own_folder = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = own_folder.into_iter().chain(env::split_paths(&path));
    let Some(program) = find(name, folders) else {
        return Err(Failure::NoSuchCommand { name: name.to_string_lossy().into_owned() });
    };
    start(Command::new(&program).args(arguments), &program)
}

/// The first executable file `vouchsafe-NAME` in the folders.
fn find(name: &OsStr, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    // A name with a separator would leave the folder.
    if Path::new(name).components().count() != 1 || Path::new(name).file_name() != Some(name) {
        return None;
    }
    let mut file_name = OsString::from("vouchsafe-");
    file_name.push(name);
    file_name.push(env::consts::EXE_SUFFIX);
    folders.map(|folder| folder.join(&file_name)).find(|candidate| is_executable(candidate))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// Becomes the program, so that signals and exit status are its own.
#[cfg(unix)]
fn start(command: &mut Command, program: &Path) -> Result<ExitCode, Failure> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(Failure::Own(format!("can't run {}: {error}", program.display())))
}

#[cfg(not(unix))]
fn start(command: &mut Command, program: &Path) -> Result<ExitCode, Failure> {
    let status = command
        .status()
        .map_err(|error| Failure::Own(format!("can't run {}: {error}", program.display())))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_executable_of_that_name_is_found_and_nothing_outside_the_folders() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = || [first.path(), second.path()].map(Path::to_path_buf).into_iter();
        let make = |folder: &Path, mode| {
            let path = folder.join("vouchsafe-up");
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        assert_eq!(find("up".as_ref(), folders()), None);
        make(first.path(), 0o644);
        let in_second = make(second.path(), 0o755);
        assert_eq!(find("up".as_ref(), folders()), Some(in_second));
        let in_first = make(first.path(), 0o755);
        assert_eq!(find("up".as_ref(), folders()), Some(in_first));
        for name in ["", ".", "..", "../vouchsafe-up", "/up", "x/up"] {
            assert_eq!(find(name.as_ref(), folders()), None, "{name}");
        }
    }
}
