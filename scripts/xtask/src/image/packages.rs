//! The pinned Debian packages that an image is made from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::folder;
use crate::{debian, tools};

/// The pins, which the manifest of every image repeats.
const PINS: &str = "enclave/image/inputs.json";

#[derive(Deserialize)]
struct Pins {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    path: String,
    sha256: String,
}

/// The folder with every pinned package, checked: the mirror, or one that is filled from Debian.
pub(super) fn prepare(mirror: Option<&Path>) -> Result<PathBuf> {
    let pins = fs::read(tools::root().join(PINS)).context(PINS)?;
    let pins: Pins = serde_json::from_slice(&pins).context(PINS)?;
    let place = mirror.map_or_else(|| folder().join("packages"), Path::to_path_buf);
    for Package { path, sha256 } in &pins.packages {
        let name = Path::new(path).file_name().context("a package has a name")?;
        let file = place.join(name);
        if file.is_file() && debian::has_sha256(&file, sha256)? {
            continue;
        }
        if mirror.is_some() {
            bail!("the mirror {} lacks {} with SHA-256 {sha256}", place.display(), name.display());
        }
        fs::create_dir_all(&place)?;
        debian::download(path, sha256, &file)?;
    }
    Ok(place)
}
