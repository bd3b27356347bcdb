//! The measured disk of a guest: which models it holds, and the measured configuration.
//!
//! One JSON document beside the models. The disk is under dm-verity and its root hash on the measured
//! command line, so that all of it is part of what the guest measures to; it is parsed strictly all the
//! same.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::strict_json::{self, Limits};

use crate::{Config, ModelSource, ServeError, manifests};

/// The document's name on the disk.
pub const DISK_DOCUMENT: &str = "vouchsafe.json";
const VERSION: u64 = 1;
const BYTES_MAX: usize = 128 * 1024;
const LIMITS: Limits = Limits { bytes_max: BYTES_MAX, depth_max: 12 };
/// Most models on a disk.
const MODELS_MAX: usize = 16;

/// What a measured disk holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Version of this format: 1.
    pub version: u64,
    /// The models to serve; the first one of kind `text` is not preferred to the others.
    pub models: Vec<DiskModel>,
    /// The measured configuration.
    #[serde(default)]
    pub configuration: Config,
}

/// One model on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskModel {
    /// What it is.
    pub kind: ModelKind,
    /// Its file or folder, relative to the disk's root.
    pub path: PathBuf,
    /// The name to serve it under, where not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// A GGUF file that writes text.
    Text,
    /// A folder in the layout of sentence-transformers.
    Embedding,
}

/// What is said of one model.
#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    manifest: Hex<32>,
}

impl Disk {
    /// Reads the document of the disk mounted at `folder`.
    ///
    /// # Errors
    /// [`ServeError::File`], [`ServeError::Disk`] or [`ServeError::Config`].
    pub fn read(folder: &Path) -> Result<Self, ServeError> {
        let path = folder.join(DISK_DOCUMENT);
        let failed = |source| ServeError::File { path: path.display().to_string(), source };
        let mut json = Vec::new();
        let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut json)).map_err(failed)?;
        Self::parse(&json)
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`ServeError::Disk`] or [`ServeError::Config`].
    pub fn parse(json: &[u8]) -> Result<Self, ServeError> {
        let disk: Self =
            strict_json::parse(json, LIMITS).map_err(|error| ServeError::Disk(error.to_string()))?;
        if disk.version != VERSION {
            return Err(ServeError::Disk(format!("version {} is not known, {VERSION} is", disk.version)));
        }
        if disk.models.is_empty() || disk.models.len() > MODELS_MAX {
            return Err(ServeError::Disk(format!("{} models, 1 to {MODELS_MAX} may be", disk.models.len())));
        }
        let is_inside = |path: &Path| {
            !path.as_os_str().is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)))
        };
        if let Some(model) = disk.models.iter().find(|model| !is_inside(&model.path)) {
            return Err(ServeError::Disk(format!("{} is not a path on the disk", model.path.display())));
        }
        disk.configuration.check()?;
        Ok(disk)
    }

    /// Every model's name and the digest that receipts name it by, as JSON, computed from the disk at
    /// `folder` from the outside.
    ///
    /// # Errors
    /// [`ServeError::Model`].
    pub fn describe(&self, folder: &Path) -> Result<String, ServeError> {
        let manifests = manifests(&self.sources(folder), &self.configuration)?;
        let described: Vec<_> = manifests
            .iter()
            .map(|manifest| Described { name: &manifest.name, manifest: Hex(manifest.digest(&Ring)) })
            .collect();
        serde_json::to_string_pretty(&described).map_err(|error| ServeError::Disk(error.to_string()))
    }

    /// The models, with the disk mounted at `folder`.
    pub fn sources(&self, folder: &Path) -> Vec<ModelSource> {
        let source = |model: &DiskModel| {
            let (path, name) = (folder.join(&model.path), model.name.clone());
            match model.kind {
                ModelKind::Text => ModelSource::Text { path, name },
                ModelKind::Embedding => ModelSource::Embedding { path, name },
            }
        };
        self.models.iter().map(source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_configuration_are_read_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let json = br#"{"version":1,"models":[{"kind":"text","path":"m.gguf","name":"m"},
            {"kind":"embedding","path":"e"}],"configuration":{"operator":"example"}}"#;
        std::fs::write(folder.path().join(DISK_DOCUMENT), json).unwrap();
        let disk = Disk::read(folder.path()).unwrap();
        assert_eq!(disk.configuration.operator.as_deref(), Some("example"));
        let at = |name: &str| folder.path().join(name);
        let expected = [
            ModelSource::Text { path: at("m.gguf"), name: Some("m".into()) },
            ModelSource::Embedding { path: at("e"), name: None },
        ];
        assert_eq!(disk.sources(folder.path()), expected);
        assert_eq!(Disk::parse(&serde_json::to_vec(&disk).unwrap()).unwrap(), disk);
    }

    #[test]
    fn what_no_disk_says_is_refused() {
        let model = |path: &str| format!(r#"{{"version":1,"models":[{{"kind":"text","path":"{path}"}}]}}"#);
        assert!(Disk::parse(model("a/b.gguf").as_bytes()).is_ok());
        for (json, code) in [
            (model("../b.gguf"), "disk"),
            (model("/dev/vda"), "disk"),
            (model(""), "disk"),
            (r#"{"version":1,"models":[]}"#.into(), "disk"),
            (model("a").replace("\"version\":1", "\"version\":2"), "disk"),
            (model("a").replace("text", "image"), "disk"),
            (model("a").replace("\"version\":1", "\"version\":1,\"more\":1"), "disk"),
            (model("a").replace("]}", r#"],"configuration":{"epoch_seconds":0}}"#), "config"),
        ] {
            assert_eq!(Disk::parse(json.as_bytes()).unwrap_err().code(), code, "{json}");
        }
    }
}
