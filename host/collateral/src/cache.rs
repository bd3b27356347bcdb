//! Answers on disk, one file each, written whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::item::{ANSWER_BYTES_MAX, Answer, Item};

/// A folder of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses a folder, made where missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// The answer to `item`, where there is a readable one. One that is not readable is none: it is
    /// fetched again.
    pub(crate) fn load(&self, item: &Item) -> Option<Answer> {
        let path = self.path(item);
        // Base64 in JSON is longer than what it holds, the chain is short beside it.
        let longest = u64::try_from(ANSWER_BYTES_MAX.saturating_mul(2)).unwrap_or(u64::MAX);
        if path.metadata().ok()?.len() > longest {
            return None;
        }
        let answer: Answer = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (answer.url == item.url).then_some(answer)
    }

    /// Keeps an answer, in place of one before.
    pub(crate) fn store(&self, item: &Item, answer: &Answer) -> Result<(), Error> {
        let path = self.path(item);
        let temporary = path.with_extension("tmp");
        let json = serde_json::to_vec(answer).unwrap_or_default();
        fs::write(&temporary, json)
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| failed(&path, &error))
    }

    fn path(&self, item: &Item) -> PathBuf {
        // The names come from hostile evidence, as hexadecimal digits and numbers: nothing else passes.
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-=".contains(c) { c } else { '_' };
        let name: String = item.name.chars().map(plain).take(200).collect();
        self.folder.join(format!("{name}.json"))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Cache { path: path.to_path_buf(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Kind;
    use vouchsafe_verifier::encoding::Base64;

    #[test]
    fn what_was_stored_is_loaded_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("a/b")).unwrap();
        let item = Item::new(Kind::AmdCrl, "http://a/crl".into(), "../crl".into());
        assert_eq!(cache.load(&item), None);
        let answer = Answer { url: item.url.clone(), fetched: 7, body: Base64(vec![1, 2]), chain: None };
        cache.store(&item, &answer).unwrap();
        assert_eq!(cache.load(&item), Some(answer.clone()));
        let moved = Item { url: "http://b/crl".into(), ..item.clone() };
        assert_eq!(cache.load(&moved), None, "the answer of another address");
        fs::write(cache.path(&item), b"{").unwrap();
        assert_eq!(cache.load(&item), None, "a damaged file");
        assert!(cache.path(&item).starts_with(folder.path().join("a/b")));
    }
}
