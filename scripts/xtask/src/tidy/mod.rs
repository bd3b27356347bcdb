//! Prose made enforceable: what ARCHITECTURE.md promises and no compiler checks.

mod edges;
mod files;

use anyhow::{Result, bail};

/// Runs every rule and fails with all that was found.
pub(crate) fn run() -> Result<()> {
    let mut found = Vec::new();
    edges::check(&mut found)?;
    files::check(&mut found)?;
    if found.is_empty() {
        return Ok(());
    }
    for line in &found {
        anstream::eprintln!("tidy: {line}");
    }
    bail!("tidy found {} fault(s)", found.len());
}
