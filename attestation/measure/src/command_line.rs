//! The kernel command line, in the one form that every tool measures alike.

use crate::Error;

/// Longest command line, in bytes without the final NUL. x86 Linux keeps 2,048 with it and cuts off
/// the rest, which would still be measured.
pub const COMMAND_LINE_BYTES_MAX: usize = 2047;

/// A command line that reaches the kernel as it stands.
///
/// Printable ASCII, neither starting nor ending with a space: the firmware converts bytes to UTF-16
/// one by one, and the common SNP calculators trim what QEMU does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(String);

impl CommandLine {
    /// Checks a command line.
    ///
    /// # Errors
    /// [`Error::CommandLineTooLong`], [`Error::CommandLineByte`] or [`Error::CommandLineSpace`].
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() > COMMAND_LINE_BYTES_MAX {
            return Err(Error::CommandLineTooLong { len: text.len(), max: COMMAND_LINE_BYTES_MAX });
        }
        if let Some((position, byte)) =
            text.bytes().enumerate().find(|(_, byte)| !(b' '..=b'~').contains(byte))
        {
            return Err(Error::CommandLineByte { position, byte });
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return Err(Error::CommandLineSpace);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_would_measure_differently_is_refused() {
        assert_eq!(CommandLine::new("console=ttyS0 quiet").unwrap().as_str(), "console=ttyS0 quiet");
        assert!(CommandLine::new("").is_ok());
        for (text, code) in [
            (" a", "command_line_space"),
            ("a ", "command_line_space"),
            ("a\n", "command_line_byte"),
            ("a\tb", "command_line_byte"),
            ("a\0b", "command_line_byte"),
            ("naïve", "command_line_byte"),
            (&"x".repeat(2048), "command_line_too_long"),
        ] {
            assert_eq!(CommandLine::new(text).unwrap_err().code(), code, "{text:?}");
        }
        assert!(CommandLine::new(&"x".repeat(2047)).is_ok());
    }
}
