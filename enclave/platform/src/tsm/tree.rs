//! The few file operations that configfs-tsm needs, as a seam: its files appear by themselves when a
//! folder is made, which no ordinary file system does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

/// A tree of report folders.
pub(crate) trait Tree: Send + Sync {
    /// Where an attribute is, for messages.
    fn path(&self, entry: &str, attribute: &str) -> PathBuf;
    /// Makes the entry.
    fn create(&self, entry: &str) -> io::Result<()>;
    /// Writes an attribute with one system call.
    fn write(&self, entry: &str, attribute: &str, bytes: &[u8]) -> io::Result<()>;
    /// Reads an attribute, at most `max` bytes and one.
    fn read(&self, entry: &str, attribute: &str, max: usize) -> io::Result<Vec<u8>>;
    /// Removes the entry.
    fn remove(&self, entry: &str) -> io::Result<()>;
}

/// The kernel's tree.
#[derive(Debug)]
pub(crate) struct Configfs {
    root: PathBuf,
}

impl Configfs {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Tree for Configfs {
    fn path(&self, entry: &str, attribute: &str) -> PathBuf {
        let folder = self.root.join(entry);
        if attribute.is_empty() { folder } else { folder.join(attribute) }
    }

    fn create(&self, entry: &str) -> io::Result<()> {
        fs::create_dir(self.root.join(entry))
    }

    fn write(&self, entry: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        // Neither created nor truncated: the file is the kernel's.
        let mut file = OpenOptions::new().write(true).open(self.path(entry, attribute))?;
        let written = file.write(bytes)?;
        if written != bytes.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the kernel took part of the input"));
        }
        Ok(())
    }

    fn read(&self, entry: &str, attribute: &str, max: usize) -> io::Result<Vec<u8>> {
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        File::open(self.path(entry, attribute))?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn remove(&self, entry: &str) -> io::Result<()> {
        fs::remove_dir(self.root.join(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_written_in_place_and_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let tree = Configfs::new(folder.path().to_owned());
        tree.create("one").unwrap();
        assert_eq!(tree.create("one").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(tree.write("one", "inblob", b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(folder.path().join("one/inblob"), b"").unwrap();
        tree.write("one", "inblob", b"12345678").unwrap();
        assert_eq!(tree.read("one", "inblob", 100).unwrap(), b"12345678");
        assert_eq!(tree.read("one", "inblob", 4).unwrap(), b"12345", "one byte more shows the excess");
        fs::remove_file(folder.path().join("one/inblob")).unwrap();
        tree.remove("one").unwrap();
        assert!(!folder.path().join("one").exists());
    }
}
