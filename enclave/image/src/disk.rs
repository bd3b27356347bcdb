//! The model disk: models and configuration on erofs, under a dm-verity hash tree.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use vouchsafe_verifier::encoding::to_hex;

use crate::manifest::{DiskManifest, Entry};
use crate::packages::{Unpacked, name, run};
use crate::{Build, verity};

/// The document that the enclave program reads first.
const DOCUMENT: &str = "vouchsafe.json";

/// The disk's bytes, and what the manifest says of it.
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: DiskManifest,
}

/// Makes the disk. The enclave program itself reads what is put on it: a disk that it would refuse is
/// not made.
pub(crate) fn build(arguments: &Build, packages: &Unpacked) -> Result<Disk> {
    let work = tempfile::Builder::new().prefix("vouchsafe-disk-").tempdir()?;
    let tree = work.path().join("tree");
    DirBuilder::new().mode(0o755).create(&tree)?;
    let mut models = vec![model("text", &arguments.model, arguments.name.as_deref(), &tree)?];
    if let Some(folder) = &arguments.embedding_model {
        models.push(model("embedding", folder, None, &tree)?);
    }
    let mut document = json!({"version": 1, "models": models});
    if let Some(path) = &arguments.configuration {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        let configuration: Value =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        document["configuration"] = configuration;
    }
    fs::write(tree.join(DOCUMENT), serde_json::to_vec_pretty(&document)?)?;
    make_readable(&tree)?;

    let models = run(Command::new(&arguments.enclave).arg("disk").arg(&tree))
        .context("the enclave program refuses what would be on the disk")?;
    let models = serde_json::from_slice(&models).context("the enclave program's digests of the models")?;
    let image = work.path().join("disk.img");
    run(Command::new(packages.file("erofs", "usr/bin/mkfs.erofs")?)
        // No times, no random identity, nobody's user id, no extended attributes of this machine.
        .args(["--quiet", "-T0", "-U00000000-0000-0000-0000-000000000000", "--all-root", "-x-1"])
        .args([&image, &tree]))?;
    let mut bytes = fs::read(&image)?;
    let sealed = verity::seal(&mut bytes);
    let files = files(&tree, &tree)?;
    let manifest = DiskManifest { blocks: sealed.blocks, root: to_hex(&sealed.root), files, models };
    Ok(Disk { bytes, manifest })
}

/// Puts a model on the disk and says what the document says of it.
fn model(kind: &str, source: &Path, served: Option<&str>, tree: &Path) -> Result<Value> {
    let target = tree.join(name(source));
    copy(source, &target)?;
    let mut entry = json!({"kind": kind, "path": name(source)});
    if let Some(served) = served {
        entry["name"] = json!(served);
    }
    Ok(entry)
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    let shown = || source.display().to_string();
    if !source.metadata().with_context(shown)?.is_dir() {
        return fs::copy(source, target).map(drop).with_context(shown);
    }
    fs::create_dir(target)?;
    for entry in fs::read_dir(source).with_context(shown)? {
        let path = entry?.path();
        copy(&path, &target.join(name(&path)))?;
    }
    Ok(())
}

/// Permissions are part of the file system, so that they must not depend on this user's.
fn make_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let is_folder = path.symlink_metadata()?.is_dir();
    fs::set_permissions(path, fs::Permissions::from_mode(if is_folder { 0o755 } else { 0o644 }))?;
    if is_folder {
        for entry in fs::read_dir(path)? {
            make_readable(&entry?.path())?;
        }
    }
    Ok(())
}

/// Every file below `folder`, by its path from `root`, in order.
fn files(folder: &Path, root: &Path) -> Result<Vec<Entry>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let kind = path.symlink_metadata()?.file_type();
        if kind.is_dir() {
            found.extend(files(&path, root)?);
        } else if kind.is_file() {
            let shown = path.strip_prefix(root)?.to_string_lossy().into_owned();
            found.push(Entry::of_file(&shown, &path)?);
        } else {
            bail!("{} is neither a file nor a folder", path.display());
        }
    }
    Ok(found)
}
