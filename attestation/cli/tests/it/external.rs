//! `vouchsafe X` runs `vouchsafe-X`.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use crate::common::*;

#[test]
fn an_unknown_subcommand_is_a_program_in_path_with_its_own_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("vouchsafe-hello");
    std::fs::write(&program, "#!/bin/sh\necho \"hello $*\"\nexit 7\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths(
        std::iter::once(folder.path().to_path_buf())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .unwrap();
    let found = finish(command().args(["hello", "--policy", "x", "-v"]).env("PATH", &path));
    assert_eq!((found.code, found.out.as_str()), (7, "hello --policy x -v\n"), "{}", found.err);
    let none = finish(command().args(["nothing-of-that-name"]).env("PATH", &path));
    assert_eq!(none.code, 2);
    assert!(none.err.contains("vouchsafe-nothing-of-that-name"), "{}", none.err);
    let outside = format!("../{}/vouchsafe-hello", folder.path().file_name().unwrap().to_str().unwrap());
    assert_eq!(finish(command().args([outside]).env("PATH", &path)).code, 2);
}
