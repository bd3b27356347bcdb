//! The files with the weights, and the tensors in them.
//!
//! Directories are read first, so that a model that does not fit is refused before the long read; then
//! each file is read whole, digested, and its directory compared with what it was: nothing is used that
//! is not in the digest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde_json::Value;

use super::tensors::{Arrangement, entry};
use super::{JSON_BYTES_MAX, object, wrong};
use crate::folder::{FileDigest, Folder};
use crate::gguf::{DigestingReader, StorageType, TensorInfo};
use crate::{LoadError, Progress};

/// A checkpoint's weights, in the order of their files.
pub(crate) struct Shards {
    folder: Folder,
    shards: Vec<Shard>,
}

struct Shard {
    file: String,
    bytes_total: u64,
    /// The length in front, and the directory's JSON.
    header: Vec<u8>,
    /// As they lie in the file.
    tensors: Vec<Stored>,
}

struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: u64,
}

impl Shards {
    pub(super) fn open(mut folder: Folder) -> Result<Self, LoadError> {
        let files = match folder.optional(INDEX, JSON_BYTES_MAX)? {
            Some(bytes) => listed(&bytes)?,
            None => vec![SINGLE.to_owned()],
        };
        let shards = files.into_iter().map(|file| Shard::open(&folder, file)).collect::<Result<_, _>>()?;
        Ok(Self { folder, shards })
    }

    pub(crate) fn bytes_total(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes_total).fold(0, u64::saturating_add)
    }

    /// The tensors under the names that a GGUF file has for them, those that are not used left out.
    pub(crate) fn tensors(&self, arrangement: &Arrangement) -> Result<Vec<TensorInfo>, LoadError> {
        let mut tensors = BTreeMap::new();
        for stored in self.shards.iter().flat_map(|shard| &shard.tensors) {
            let Some(tensor) = stored.info(arrangement)? else { continue };
            if let Some(other) = tensors.insert(tensor.name.clone(), tensor) {
                return Err(LoadError::DuplicateTensor { name: other.name });
            }
        }
        Ok(tensors.into_values().collect())
    }

    /// Reads every file, and gives each tensor, under the name and as the data that a GGUF file has, to
    /// `put`. Returns the digests of all files of the folder that were read.
    pub(crate) fn read(
        self,
        arrangement: &Arrangement,
        progress: &mut dyn FnMut(Progress),
        put: &mut dyn FnMut(TensorInfo, Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<Vec<FileDigest>, LoadError> {
        let bytes_total = self.bytes_total();
        let (mut folder, mut bytes_before) = (self.folder, 0_u64);
        for shard in self.shards {
            let mut opened = folder.open_file(&shard.file)?;
            let mut of_all = |at: Progress| {
                progress(Progress { bytes_done: bytes_before.saturating_add(at.bytes_done), bytes_total });
            };
            let mut reader = DigestingReader::new(&mut opened, shard.bytes_total, &mut of_all);
            shard.read(&mut reader, arrangement, put)?;
            let digest = reader.finish()?;
            // More than the directory speaks of, or another file meanwhile.
            if opened.read(&mut [0]).map_err(|source| LoadError::Read { source })? > 0 {
                return Err(wrong(&shard.file, "it has grown while it was read"));
            }
            bytes_before = bytes_before.saturating_add(shard.bytes_total);
            folder.note(shard.file, digest);
        }
        for (tensor, bytes) in arrangement.additions() {
            put(tensor, bytes)?;
        }
        Ok(folder.into_digests())
    }
}

impl Shard {
    fn open(folder: &Folder, file: String) -> Result<Self, LoadError> {
        let mut opened = folder.open_file(&file)?;
        let bytes_total = opened.metadata().map_err(|source| LoadError::Read { source })?.len();
        let mut ignored = |_| {};
        let mut reader = DigestingReader::new(&mut opened, bytes_total, &mut ignored);
        let length: [u8; 8] = reader.read_array("the directory's length")?;
        let bytes = u64::from_le_bytes(length);
        if bytes > JSON_BYTES_MAX {
            return Err(LoadError::TooLarge {
                what: format!("the directory of {file}"),
                value: bytes,
                max: JSON_BYTES_MAX,
            });
        }
        let json = reader.read_vec(bytes, "the directory")?;
        let directory: Metadata =
            serde_json::from_slice(&json).map_err(|error| wrong(&file, format!("its directory: {error}")))?;
        if u64::try_from(directory.data_len()) != Ok(reader.remaining()) {
            return Err(wrong(&file, "its length is not what its directory says"));
        }
        let mut tensors = Vec::new();
        for name in directory.offset_keys() {
            let Some(tensor) = directory.info(&name) else { continue };
            let (start, end) = tensor.data_offsets;
            let bytes = u64::try_from(end.saturating_sub(start)).unwrap_or(u64::MAX);
            tensors.push(Stored { name, dtype: tensor.dtype, shape: tensor.shape.clone(), bytes });
        }
        Ok(Self { file, bytes_total, header: [&length[..], &json].concat(), tensors })
    }

    fn read(
        &self,
        reader: &mut DigestingReader<'_>,
        arrangement: &Arrangement,
        put: &mut dyn FnMut(TensorInfo, Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let header =
            reader.read_vec(u64::try_from(self.header.len()).unwrap_or(u64::MAX), "the directory")?;
        if header != self.header {
            return Err(wrong(&self.file, "its directory has changed while it was read"));
        }
        for stored in &self.tensors {
            let what = format!("the data of {}", stored.name);
            match stored.info(arrangement)? {
                Some(mut tensor) => {
                    let bytes = reader.read_vec(stored.bytes, &what)?;
                    let bytes = arrangement.arrange(&mut tensor, bytes)?;
                    put(tensor, bytes)?;
                }
                None => reader.skip(stored.bytes, &what)?,
            }
        }
        Ok(())
    }
}

impl Stored {
    /// Its entry in a GGUF file's directory, where it is used.
    fn info(&self, arrangement: &Arrangement) -> Result<Option<TensorInfo>, LoadError> {
        let Some(name) = arrangement.name(&self.name)? else { return Ok(None) };
        let storage = match self.dtype {
            Dtype::F32 => StorageType::F32,
            Dtype::F16 => StorageType::F16,
            Dtype::BF16 => StorageType::BF16,
            other => {
                let (tensor, found) = (self.name.clone(), format!("{other:?}"));
                return Err(LoadError::UnsupportedQuantization { tensor, found });
            }
        };
        Ok(Some(entry(name, storage, self.shape.clone(), self.bytes)))
    }
}

/// The files that the index names, each once, in ascending order.
fn listed(bytes: &[u8]) -> Result<Vec<String>, LoadError> {
    let index = object(INDEX, bytes)?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| wrong(INDEX, "it lacks weight_map"))?;
    let mut files = BTreeSet::new();
    for file in map.values() {
        let name = file.as_str().filter(|name| is_plain(name));
        files.insert(
            name.ok_or_else(|| wrong(INDEX, format!("{file} is no file of this folder")))?.to_owned(),
        );
    }
    if files.len() > SHARDS_MAX {
        return Err(wrong(INDEX, format!("it names {} files", files.len())));
    }
    Ok(files.into_iter().collect())
}

/// Whether this names a file with weights in the folder itself.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The largest models have some two hundred.
const SHARDS_MAX: usize = 4096;
