//! Which weights and which engine answered: manifests of digests, and their own digests.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use vouchsafe_verifier::crypto::Crypto;
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::json_record;

/// The identity of a model: every digest that determines what it computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelManifest {
    /// The name under which the API serves it.
    pub name: String,
    /// Every file of the model, in the order given at load.
    pub files: Vec<ModelFile>,
    /// SHA-256 over the tokenizer's GGUF entries in file order, where they stand in the weights file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Hex<32>>,
    /// SHA-256 of the chat template's GGUF entry, where the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<Hex<32>>,
}

json_record!(ModelManifest { name, files, tokenizer, chat_template });

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelFile {
    /// File name without folders.
    pub name: String,
    /// SHA-256 of the whole file.
    pub sha256: Hex<32>,
}

json_record!(ModelFile { name, sha256 });

impl ModelManifest {
    /// SHA-256 of the manifest's canonical JSON: the `model` digest in receipts and policies.
    ///
    /// The served name is left out, so that renaming a model does not change what it is.
    pub fn digest(&self, crypto: &dyn Crypto) -> [u8; 32] {
        let unnamed = Self { name: String::new(), ..self.clone() };
        crypto.sha256(&serde_json::to_vec(&unnamed).unwrap_or_default())
    }
}

/// Which engine computed the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineIdentity {
    /// The engine's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the kernels: what must stay the same for answers to be reproducible. Engines that
    /// claim no replay say so here.
    pub kernel: String,
}

json_record!(EngineIdentity { name, version, kernel });

impl EngineIdentity {
    /// SHA-256 of the canonical JSON: the `engine` digest in receipts.
    pub fn digest(&self, crypto: &dyn Crypto) -> [u8; 32] {
        crypto.sha256(&serde_json::to_vec(self).unwrap_or_default())
    }
}
