//! A second reader of logs, built from Go's own libraries: Debian's compiler and `golang.org/x/mod`, fetched
//! by pinned digest into `target/go/`, never installed, never committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{debian, tools};

/// Where the program is written.
const SOURCE: &str = "host/log/tests/go/second.go";

/// Debian 12's packages, each by path and SHA-256.
const PACKAGES: [(&str, &str); 3] = [
    (
        "pool/main/g/golang-1.19/golang-1.19-go_1.19.8-2_amd64.deb",
        "545123039b6c79e75cf2d86528781a825424cf33ce9d3f4513d772d7144cd531",
    ),
    (
        "pool/main/g/golang-1.19/golang-1.19-src_1.19.8-2_all.deb",
        "2dfa82fe4f08f4e0193c532e561af4c91871f5235608f04f2bb8d57bb288df5a",
    ),
    (
        "pool/main/g/golang-golang-x-mod/golang-golang-x-mod-dev_0.7.0-1_all.deb",
        "e718b3e1d089f9ae3658cf2de80d0572bbf1ce8cd1970373d300ae72e821ab33",
    ),
];

/// The program, made if need be; `None` where its packages cannot be had.
pub(crate) fn prepare() -> Option<PathBuf> {
    let folder = tools::target_dir().join("go");
    match build(&folder) {
        Ok(program) => Some(program),
        Err(error) => {
            anstream::eprintln!("   NOT PREPARED: {SOURCE} ({error:#})");
            None
        }
    }
}

fn build(folder: &Path) -> Result<PathBuf> {
    let (program, stamp) = (folder.join("second"), folder.join("second.built"));
    let source = tools::root().join(SOURCE);
    let wanted = fs::read(&source)?;
    if program.is_file() && fs::read(&stamp).ok().as_deref() == Some(&wanted) {
        return Ok(program);
    }
    let unpacked = folder.join("debian");
    if !folder.join("unpacked").is_file() {
        fs::create_dir_all(&unpacked)?;
        for (path, sha256) in PACKAGES {
            let package = folder.join("package.deb");
            debian::download(path, sha256, &package)?;
            debian::unpack(&package, &unpacked)?;
            fs::remove_file(&package)?;
        }
        fs::write(folder.join("unpacked"), [])?;
    }
    let go = unpacked.join("usr/lib/go-1.19");
    let mut command = Command::new(go.join("bin/go"));
    command
        .args(["build", "-trimpath", "-o"])
        .args([&program, &source])
        .env("GOROOT", &go)
        .env("GOPATH", unpacked.join("usr/share/gocode"))
        .env("GOCACHE", folder.join("cache"))
        // The packages are a tree of sources, as before modules; nothing is fetched.
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0");
    tools::output(&mut command)?;
    fs::write(&stamp, &wanted)?;
    Ok(program)
}
