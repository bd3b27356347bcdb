//! Loading models at start, with progress, and naming what is wrong with one that does not load.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vouchsafe_engine::{
    EmbeddingIdentity, EmbeddingModel, Engine, FileDigest, LoadOptions, Model, ModelIdentity,
};
use vouchsafe_receipt::{ModelFile, ModelManifest};
use vouchsafe_verifier::encoding::Hex;

use super::Models;
use crate::{Config, ServeError};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// A GGUF file, or a folder of safetensors.
    Text {
        /// The file, or the folder.
        path: PathBuf,
        /// The name to serve it under, where not the file's own.
        name: Option<String>,
    },
    /// A GGUF file that is part of the program.
    Embedded {
        /// Its bytes.
        bytes: &'static [u8],
        /// Its file name, for the manifest.
        file: &'static str,
        /// The name to serve it under, where not the file's own.
        name: Option<String>,
    },
    /// A sentence-embedding model.
    Embedding {
        /// The folder, or a GGUF file.
        path: PathBuf,
        /// The name to serve it under, where not the path's last part.
        name: Option<String>,
    },
}

/// How far loading has come, over all models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The model that is being loaded.
    pub model: String,
    /// Bytes read and digested.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Loads the models and starts their engines. Blocks.
///
/// # Errors
/// [`ServeError::Model`], naming the model and what is wrong with it; [`ServeError::Engine`];
/// [`ServeError::ModelName`].
pub fn load(
    sources: &[ModelSource],
    config: &Config,
    progress: &mut dyn FnMut(Progress),
) -> Result<Models, ServeError> {
    let mut models = Models::new();
    for source in sources {
        match Loaded::read(source, config, progress)? {
            Loaded::Text(manifest, model) => {
                let engine = Engine::start(*model, config.engine.options())?;
                models.add_text(manifest, Arc::new(engine))?;
            }
            Loaded::Embed(manifest, model) => models.add_embed(manifest, Arc::new(*model))?,
        }
    }
    Ok(models)
}

/// The manifests that an enclave with these models will state, computed from the outside: everything
/// is loaded and digested, and nothing is run.
///
/// # Errors
/// As [`load`].
pub fn manifests(sources: &[ModelSource], config: &Config) -> Result<Vec<ModelManifest>, ServeError> {
    let manifest = |source| match Loaded::read(source, config, &mut |_| {})? {
        Loaded::Text(manifest, _) | Loaded::Embed(manifest, _) => Ok(manifest),
    };
    sources.iter().map(manifest).collect()
}

/// A model in memory, with its manifest.
enum Loaded {
    Text(ModelManifest, Box<Model>),
    Embed(ModelManifest, Box<EmbeddingModel>),
}

impl Loaded {
    fn read(
        source: &ModelSource,
        config: &Config,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, ServeError> {
        match source {
            ModelSource::Text { path, name } => {
                let label = path.display().to_string();
                let model = Model::load(path, &options(name.as_ref(), config), &mut |at| {
                    progress(Progress { model: label.clone(), done: at.bytes_done, total: at.bytes_total });
                })
                .map_err(|source| ServeError::Model { model: label.clone(), source })?;
                Ok(Self::Text(text_manifest(model.identity()), Box::new(model)))
            }
            ModelSource::Embedded { bytes, file, name } => {
                let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                progress(Progress { model: (*file).to_owned(), done: 0, total });
                let model = Model::from_bytes(bytes, &options(name.as_ref(), config))
                    .map_err(|source| ServeError::Model { model: (*file).to_owned(), source })?;
                progress(Progress { model: (*file).to_owned(), done: total, total });
                let mut manifest = text_manifest(model.identity());
                manifest.files.iter_mut().for_each(|read| read.name = (*file).to_owned());
                Ok(Self::Text(manifest, Box::new(model)))
            }
            ModelSource::Embedding { path, name } => {
                let name = name.clone().unwrap_or_else(|| file_name(path));
                let model = EmbeddingModel::load(path, &name)
                    .map_err(|source| ServeError::Model { model: path.display().to_string(), source })?;
                Ok(Self::Embed(embedding_manifest(model.identity()), Box::new(model)))
            }
        }
    }
}

fn options(name: Option<&String>, config: &Config) -> LoadOptions {
    LoadOptions {
        name: name.cloned(),
        context_length_max: config.engine.context_tokens_max,
        ..LoadOptions::default()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn text_manifest(identity: &ModelIdentity) -> ModelManifest {
    ModelManifest {
        name: identity.name().to_owned(),
        files: files(identity.files()),
        tokenizer: identity.tokenizer_sha256().copied().map(Hex),
        chat_template: identity.chat_template_sha256().copied().map(Hex),
    }
}

fn files(files: &[FileDigest]) -> Vec<ModelFile> {
    files.iter().map(|file| ModelFile { name: file.file.clone(), sha256: Hex(file.sha256) }).collect()
}

fn embedding_manifest(identity: &EmbeddingIdentity) -> ModelManifest {
    ModelManifest {
        name: identity.name().to_owned(),
        files: files(identity.files()),
        tokenizer: None,
        chat_template: None,
    }
}
