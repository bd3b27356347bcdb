//! The measured disk: opened by dm-verity, which checks every block against the root hash as it is read.
//!
//! Data blocks first, the hash tree right behind them, no superblock and no salt: the root hash and the
//! number of blocks on the measured command line say all there is to say. A block that does not match
//! panics the kernel (Linux, Documentation/admin-guide/device-mapper/verity.rst), which ends the guest.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::device_mapper::{Control, Target};
use crate::{BLOCK_BYTES, CommandLine, InitError};

/// The disk as the host attaches it: the first one of virtio. Another one in its place is another
/// content, and does not match the root hash.
const DISK: &str = "/dev/vda";
/// The disk as dm-verity shows it: the first mapped device of the guest.
pub(crate) const MAPPED_DEVICE: &str = "/dev/dm-0";
const NAME: &str = "vouchsafe";
/// How long devices may take to appear, seconds.
const APPEARING_SECONDS_MAX: u64 = 10;
const POLL: Duration = Duration::from_millis(5);
/// Device mapper counts in these.
const SECTOR_BYTES: u64 = 512;

/// Opens the measured disk.
pub(crate) fn open(command_line: &CommandLine) -> Result<(), InitError> {
    wait_for(DISK.as_ref())?;
    let control = Control::open()?;
    control.create_read_only(NAME, &target(command_line))?;
    wait_for(MAPPED_DEVICE.as_ref())
}

fn target(command_line: &CommandLine) -> Target {
    let (root, blocks) = (command_line.root(), command_line.blocks());
    // Version 1 of the format; data and hashes on one disk, in blocks of 4096 bytes; where the hashes
    // begin; the hash; the root; no salt; one option.
    let parameters = format!(
        "1 {DISK} {DISK} {BLOCK_BYTES} {BLOCK_BYTES} {blocks} {blocks} sha256 {root} - 1 panic_on_corruption"
    );
    let sectors = blocks.saturating_mul(BLOCK_BYTES / SECTOR_BYTES);
    Target { kind: "verity", sectors, parameters }
}

fn wait_for(device: &Path) -> Result<(), InitError> {
    let polls = APPEARING_SECONDS_MAX.saturating_mul(1000) / 5;
    for _ in 0..polls {
        if device.exists() {
            return Ok(());
        }
        sleep(POLL);
    }
    Err(InitError::DeviceMissing { device: device.display().to_string(), seconds: APPEARING_SECONDS_MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_documented_one() {
        let root = "ab".repeat(32);
        let line = CommandLine::parse(&format!("vouchsafe.root={root} vouchsafe.blocks=3")).unwrap();
        let target = target(&line);
        assert_eq!((target.kind, target.sectors), ("verity", 24));
        let expected = format!("1 /dev/vda /dev/vda 4096 4096 3 3 sha256 {root} - 1 panic_on_corruption");
        assert_eq!(target.parameters, expected);
    }
}
