//! What the integration tests share: the folder of real vectors, and how a case is read from it.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::{Endorsements, Evidence, SnpEndorsements, UnixSeconds};

/// The folder with `vectors/`: `VOUCHSAFE_FIXTURES`, else `shared` beside the checkout. `None` when it
/// is absent and need not be there; under `CI=true` it must.
pub(crate) fn fixtures(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("VOUCHSAFE_FIXTURES").map_or(beside, PathBuf::from);
    if folder.join("vectors").is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the vectors in {}", folder.display());
    eprintln!("NOT RUN: {test}: no vectors in {}", folder.display());
    None
}

/// One real report with its certificate and what is known about it.
pub(crate) struct SnpCase {
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    pub(crate) report: Vec<u8>,
    pub(crate) vek: Option<Vec<u8>>,
    pub(crate) expect: Value,
}

impl SnpCase {
    /// All cases, by name.
    pub(crate) fn all(fixtures: &Path) -> Vec<Self> {
        let folder = fixtures.join("vectors/snp");
        let mut cases: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("report.bin").exists())
            .map(Self::read)
            .collect();
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        assert!(cases.len() >= 12, "only {} cases in {}", cases.len(), folder.display());
        cases
    }

    /// One case by name.
    pub(crate) fn named(fixtures: &Path, id: &str) -> Self {
        Self::read(fixtures.join("vectors/snp").join(id))
    }

    fn read(folder: PathBuf) -> Self {
        let expect = std::fs::read(folder.join("expect.json")).unwrap();
        Self {
            id: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            report: std::fs::read(folder.join("report.bin")).unwrap(),
            vek: std::fs::read(folder.join("vek.der")).ok(),
            expect: serde_json::from_slice(&expect).unwrap(),
            folder,
        }
    }

    /// Another file of the case's folder.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }

    /// The moment at which the case's certificates are valid.
    pub(crate) fn at(&self) -> UnixSeconds {
        let text = self.expect["verdict"]["verify_at"].as_str();
        UnixSeconds::from_rfc3339(text.unwrap_or("2026-02-06T00:00:00Z")).unwrap()
    }

    pub(crate) fn evidence(&self) -> Evidence {
        snp_evidence(&self.report)
    }

    pub(crate) fn endorsements(&self) -> Endorsements {
        Endorsements::SevSnp(SnpEndorsements {
            vek: self.vek.clone().map(Base64),
            ..SnpEndorsements::default()
        })
    }
}

pub(crate) fn snp_evidence(report: &[u8]) -> Evidence {
    Evidence::SevSnp { report: Base64(report.to_vec()) }
}

/// A certificate or list from `vectors/snp`.
pub(crate) fn snp_file(fixtures: &Path, name: &str) -> Vec<u8> {
    std::fs::read(fixtures.join("vectors/snp").join(name)).unwrap()
}
