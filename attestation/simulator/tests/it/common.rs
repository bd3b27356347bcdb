//! What the tests of this crate share: fixtures, and authorities that are made once.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use vouchsafe_simulator::Error;
use vouchsafe_simulator::amd::{AmdAuthority, Product};
use vouchsafe_verifier::UnixSeconds;

/// 2025-01-01T00:00:00Z, when every authority here begins.
pub(crate) const BEGIN: UnixSeconds = UnixSeconds(1_735_689_600);
/// 2026-01-01T00:00:00Z, when machines here are endorsed.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

/// The authority for a product: made once per target directory, since RSA-4096 keys take seconds.
pub(crate) fn authority(product: Product) -> &'static AmdAuthority {
    static AUTHORITIES: [OnceLock<AmdAuthority>; 3] = [const { OnceLock::new() }; 3];
    let slot = Product::ALL.iter().position(|&known| known == product).unwrap();
    AUTHORITIES[slot].get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("amd-{}", product.name()));
        match AmdAuthority::load_or_generate(&dir, product, BEGIN) {
            // What an earlier form of this crate left behind is made anew.
            Err(Error::Stored { .. }) => {
                std::fs::remove_dir_all(&dir).unwrap();
                AmdAuthority::load_or_generate(&dir, product, BEGIN).unwrap()
            }
            other => other.unwrap(),
        }
    })
}

/// A folder of the public vectors; `None` when they are not beside the checkout.
pub(crate) fn vectors(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VOUCHSAFE_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = root.join("vectors").join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
    // Not `eprintln!`, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "NOT RUN: {} is missing", folder.display());
    None
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Hexadecimal in a JSON string.
pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text(value).as_bytes()).unwrap()
}

/// Hexadecimal of a known length in a JSON string.
pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}
