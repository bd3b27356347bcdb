//! The initial RAM disk: the enclave program as `/init`, kernel modules, and what they need to start.
//!
//! A cpio archive ("newc", Linux, Documentation/driver-api/early-userspace/buffer-format.rst), not
//! compressed: what is measured is what runs. Entries are in a fixed order, owned by root, with no times
//! and with inode numbers counted from one.

use std::fs;
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cpio::newc;
use lzma_rust2::XzReader;

use crate::manifest::Entry;
use crate::packages::name;

/// The modules that the guest loads, in this order: each after those that it needs. What `sev-guest` needs does not
/// stand in its `depends`: it asks the kernel for `gcm(aes)` by name, and nothing in this guest would load that.
const MODULES: [&str; 20] = [
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
    "configfs",
    "tsm",
    "gf128mul",
    "ghash-generic",
    "crypto_null",
    "gcm",
    "sev-guest",
    "tdx-guest",
    "virtio_blk",
    "sha256-ssse3",
    "reed_solomon",
    "dm-mod",
    "dm-bufio",
    "dm-verity",
    "crc32c-intel",
    "libcrc32c",
    "erofs",
];

/// Longest module, decompressed.
const MODULE_BYTES_MAX: u64 = 64 << 20;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CONSOLE: u32 = 0o020_600;
/// `/dev/console`: character device 5, 1.
const CONSOLE_NUMBER: (u32, u32) = (5, 1);

/// The archive, and what is in it.
pub(crate) struct Initrd {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

/// Makes the archive.
pub(crate) fn build(enclave: &[u8], modules: &Path) -> Result<Initrd> {
    let available = find_modules(modules)?;
    let mut archive = Archive::default();
    for folder in ["dev", "modules"] {
        archive.add(folder, FOLDER, None, &[])?;
    }
    archive.add("dev/console", CONSOLE, Some(CONSOLE_NUMBER), &[])?;
    archive.add("init", PROGRAM, None, enclave)?;
    for (number, module) in MODULES.into_iter().enumerate() {
        let file = available
            .iter()
            .find(|file| name(file) == format!("{module}.ko.xz"))
            .with_context(|| format!("the kernel package has no module {module}"))?;
        archive.add(&format!("modules/{number:02}-{module}.ko"), FILE, None, &decompress(file)?)?;
    }
    archive.finish()
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Archive {
    fn add(&mut self, path: &str, mode: u32, device: Option<(u32, u32)>, content: &[u8]) -> Result<()> {
        let inode = u32::try_from(self.entries.len())?.saturating_add(1);
        let mut header = newc::Builder::new(path).ino(inode).mode(mode).nlink(1);
        if let Some((major, minor)) = device {
            header = header.rdev_major(major).rdev_minor(minor);
        }
        let mut writer = header.write(&mut self.bytes, u32::try_from(content.len())?);
        io::copy(&mut Cursor::new(content), &mut writer)?;
        writer.finish()?;
        self.entries.push(Entry::new(path, content).with_mode(mode));
        Ok(())
    }

    fn finish(mut self) -> Result<Initrd> {
        newc::trailer(&mut self.bytes)?;
        Ok(Initrd { bytes: self.bytes, entries: self.entries })
    }
}

fn find_modules(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut found) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    Ok(found)
}

/// The kernel would decompress a module itself only if it was told to by a program that is not there.
fn decompress(file: &Path) -> Result<Vec<u8>> {
    let compressed = fs::read(file).with_context(|| file.display().to_string())?;
    let mut module = Vec::new();
    let mut reader = XzReader::new(Cursor::new(compressed), true).take(MODULE_BYTES_MAX);
    reader.read_to_end(&mut module).with_context(|| file.display().to_string())?;
    if !module.starts_with(b"\x7fELF") {
        bail!("{} holds no module", file.display());
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_says_what_it_holds_and_nothing_of_where_it_was_made() {
        let build = || {
            let mut archive = Archive::default();
            archive.add("dev", FOLDER, None, &[]).unwrap();
            archive.add("dev/console", CONSOLE, Some(CONSOLE_NUMBER), &[]).unwrap();
            archive.add("init", PROGRAM, None, b"program").unwrap();
            archive.finish().unwrap()
        };
        let (one, two) = (build(), build());
        assert_eq!(one.bytes, two.bytes);
        let mut reader = newc::Reader::new(Cursor::new(one.bytes)).unwrap();
        let mut seen = Vec::new();
        while !reader.entry().is_trailer() {
            let entry = reader.entry();
            assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0));
            seen.push((entry.name().to_owned(), entry.mode(), (entry.rdev_major(), entry.rdev_minor())));
            reader = newc::Reader::new(reader.finish().unwrap()).unwrap();
        }
        let expected = [
            ("dev".to_owned(), FOLDER, (0, 0)),
            ("dev/console".to_owned(), CONSOLE, (5, 1)),
            ("init".to_owned(), PROGRAM, (0, 0)),
        ];
        assert_eq!(seen, expected);
    }
}
