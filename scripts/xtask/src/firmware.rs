//! Debian's firmware images for the tests of `vouchsafe measure`, fetched by pinned digest.
//!
//! They are somebody else's builds, so they are downloaded to `target/ovmf/`, never committed. What cannot
//! be fetched is reported, and left to the tests that need it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{debian, tools};

/// A Debian package and the one file of it that is wanted, both by SHA-256.
struct Package {
    path: &'static str,
    sha256: &'static str,
    file: &'static str,
    file_sha256: &'static str,
}

const PACKAGES: [Package; 3] = [
    Package {
        path: "pool/main/e/edk2/ovmf-inteltdx_2026.08+ds-2_all.deb",
        sha256: "87123a9bf4dc1af7bbc48257a9b3db5933ff695167476d4fa48b705da1011fb1",
        file: "usr/share/ovmf/OVMF.inteltdx.ms.fd",
        file_sha256: "a265075b4147a096109e501e76196df1ec8a18659c26f7401492c597ec88f312",
    },
    Package {
        path: "pool/main/e/edk2/ovmf-amdsev_2026.08+ds-2_all.deb",
        sha256: "92c9b6d15e4eeb371938c3f99080c1a8fc057dfd6bc0509d37f8b615e9edebfb",
        file: "usr/share/ovmf/OVMF.amdsev.fd",
        file_sha256: "3e4fd0b3fe3b2dbe481c3d9e99418a034174f26cbe1f55aa212b0f18c12d2d6f",
    },
    // A small EFI program that Debian signed: its signature holds the hash that we must come to.
    Package {
        path: "pool/main/f/fwupd-amd64-signed/fwupd-amd64-signed_1.4+1_amd64.deb",
        sha256: "a661e04ac81e7e67c81adbe77a63bddb351b658c6e6c50ec88d79e92e140c109",
        file: "usr/libexec/fwupd/efi/fwupdx64.efi.signed",
        file_sha256: "cc8bd5e99957e0c53786fd246c69d1a5a3044647cdb8fa2df8a2cff90474706d",
    },
];

/// The folder with the images, made if need be; `None` where they cannot be had.
pub(crate) fn prepare() -> Option<PathBuf> {
    let folder = tools::target_dir().join("ovmf");
    for package in &PACKAGES {
        if let Err(error) = package.prepare(&folder) {
            anstream::eprintln!("   NOT PREPARED: {} ({error:#})", package.path);
            return None;
        }
    }
    Some(folder)
}

impl Package {
    /// Puts the wanted file into the folder, unless it is there.
    fn prepare(&self, folder: &Path) -> Result<()> {
        let name = Path::new(self.file).file_name().context("a file has a name")?;
        let wanted = folder.join(name);
        if wanted.is_file() && debian::has_sha256(&wanted, self.file_sha256)? {
            return Ok(());
        }
        let unpacked = folder.join("unpacked");
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked)?;
        }
        fs::create_dir_all(&unpacked)?;
        let package = folder.join("package.deb");
        debian::download(self.path, self.sha256, &package)?;
        debian::unpack(&package, &unpacked)?;
        let file = unpacked.join(self.file);
        if !debian::has_sha256(&file, self.file_sha256)? {
            bail!("{} in the package is not the pinned one", self.file);
        }
        fs::rename(&file, &wanted)?;
        fs::remove_file(&package)?;
        fs::remove_dir_all(&unpacked)?;
        Ok(())
    }
}
