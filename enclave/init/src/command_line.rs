//! The kernel's command line, as far as it opens the measured disk.
//!
//! `vouchsafe.root=HEX` is the root of the disk's hash tree, `vouchsafe.blocks=N` the number of its data
//! blocks. The command line is measured, so both are the image's own; it is read strictly all the same,
//! so that two readings of one line cannot differ.

use std::fs;

use crate::InitError;

/// Length of a data block and of a hash block, bytes.
pub const BLOCK_BYTES: u64 = 4096;
/// Most data blocks: 16 TiB.
const BLOCKS_MAX: u64 = 1 << 32;
const PREFIX: &str = "vouchsafe.";

/// What the command line says of the measured disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    root: String,
    blocks: u64,
}

impl CommandLine {
    /// Reads the running kernel's.
    ///
    /// # Errors
    /// [`InitError::System`] or [`InitError::CommandLine`].
    pub(crate) fn read() -> Result<Self, InitError> {
        let path = "/proc/cmdline";
        let text = fs::read_to_string(path).map_err(|error| InitError::io("read", path, &error))?;
        Self::parse(text.trim_end_matches('\n'))
    }

    /// Takes the two parameters out of a command line. Others without our prefix are the kernel's.
    ///
    /// # Errors
    /// [`InitError::CommandLine`]: one is missing, stands twice, is unknown, or is not of its form.
    pub fn parse(text: &str) -> Result<Self, InitError> {
        let refuse = |why: String| Err(InitError::CommandLine(why));
        let (mut root, mut blocks) = (None, None);
        for word in text.split(' ').filter_map(|word| word.strip_prefix(PREFIX)) {
            let Some((name, value)) = word.split_once('=') else {
                return refuse(format!("{PREFIX}{word} has no value"));
            };
            let place = match name {
                "root" => &mut root,
                "blocks" => &mut blocks,
                _ => return refuse(format!("{PREFIX}{name} is not known")),
            };
            if place.replace(value).is_some() {
                return refuse(format!("{PREFIX}{name} stands twice"));
            }
        }
        let (Some(root), Some(blocks)) = (root, blocks) else {
            return refuse(format!("{PREFIX}root or {PREFIX}blocks is missing"));
        };
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if root.len() != 64 || !root.bytes().all(is_digit) {
            return refuse(format!("{PREFIX}root is not 64 lower-case hexadecimal digits"));
        }
        // Rust's own parser would also take a sign.
        let count = blocks.bytes().all(|byte| byte.is_ascii_digit()).then(|| blocks.parse::<u64>().ok());
        match count.flatten() {
            Some(count) if (1..=BLOCKS_MAX).contains(&count) => {
                Ok(Self { root: root.to_owned(), blocks: count })
            }
            _ => refuse(format!("{PREFIX}blocks is not a number from 1 to {BLOCKS_MAX}")),
        }
    }

    /// Root of the hash tree, 64 hexadecimal digits.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Data blocks of [`BLOCK_BYTES`]; the hash tree follows them.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn both_parameters_are_found_among_the_kernels() {
        // OVMF puts its own word first or last.
        let line = format!("initrd=initrd console=ttyS0 vouchsafe.root={ROOT} quiet vouchsafe.blocks=22000");
        let parsed = CommandLine::parse(&line).unwrap();
        assert_eq!((parsed.root(), parsed.blocks()), (ROOT, 22_000));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let root = format!("vouchsafe.root={ROOT}");
        for (line, why) in [
            (root.clone(), "missing"),
            ("vouchsafe.blocks=1".into(), "missing"),
            (format!("{root} {root} vouchsafe.blocks=1"), "twice"),
            (format!("{root} vouchsafe.blocks=1 vouchsafe.blocks=2"), "twice"),
            (format!("{root} vouchsafe.blocks=1 vouchsafe.debug=1"), "not known"),
            (format!("{root} vouchsafe.blocks"), "no value"),
            (format!("{root} vouchsafe.blocks=0"), "not a number"),
            (format!("{root} vouchsafe.blocks=+1"), "not a number"),
            (format!("{root} vouchsafe.blocks="), "not a number"),
            (format!("{root} vouchsafe.blocks=4294967297"), "not a number"),
            (format!("vouchsafe.root={} vouchsafe.blocks=1", ROOT.to_uppercase()), "lower-case"),
            (format!("vouchsafe.root={} vouchsafe.blocks=1", &ROOT[1..]), "64"),
        ] {
            let error = CommandLine::parse(&line).unwrap_err();
            assert_eq!(error.code(), "init_command_line");
            assert!(error.to_string().contains(why), "{line}: {error}");
        }
    }
}
