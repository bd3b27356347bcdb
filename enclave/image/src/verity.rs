//! The hash tree of dm-verity, appended to the data it covers.
//!
//! Version 1 of the format, SHA-256, blocks of 4096 bytes, no salt, no superblock (Linux,
//! Documentation/admin-guide/device-mapper/verity.rst; the layout is that of cryptsetup's wiki page
//! "DMVerity"): hashes of data blocks fill the lowest level's blocks, each padded with zeros, hashes of
//! those the level above, up to one block, whose hash is the root. On disk the top level comes first.

use ring::digest::{SHA256, digest};

/// Length of a data block and of a hash block.
pub(crate) const BLOCK_BYTES: usize = 4096;
const DIGEST_BYTES: usize = 32;

/// What the measured command line says of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verity {
    /// Number of data blocks.
    pub(crate) blocks: usize,
    /// Root of the tree.
    pub(crate) root: [u8; DIGEST_BYTES],
}

/// Pads the image to whole blocks and appends its hash tree.
pub(crate) fn seal(image: &mut Vec<u8>) -> Verity {
    image.resize(image.len().next_multiple_of(BLOCK_BYTES), 0);
    let blocks = image.len() / BLOCK_BYTES;
    let mut levels: Vec<Vec<u8>> = Vec::new();
    while let top = levels.last().unwrap_or(image)
        && top.len() > BLOCK_BYTES
    {
        levels.push(level(top));
    }
    let mut root = [0; DIGEST_BYTES];
    root.copy_from_slice(digest(&SHA256, levels.last().unwrap_or(image)).as_ref());
    for level in levels.iter().rev() {
        image.extend_from_slice(level);
    }
    Verity { blocks, root }
}

/// The hashes of every block, padded to whole blocks.
fn level(below: &[u8]) -> Vec<u8> {
    let mut hashes =
        Vec::with_capacity((below.len() / BLOCK_BYTES * DIGEST_BYTES).next_multiple_of(BLOCK_BYTES));
    for block in below.chunks(BLOCK_BYTES) {
        hashes.extend_from_slice(digest(&SHA256, block).as_ref());
    }
    hashes.resize(hashes.len().next_multiple_of(BLOCK_BYTES), 0);
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_verifier::encoding::to_hex;

    /// Roots computed by `veritysetup format --no-superblock --hash=sha256 --salt=-` (cryptsetup 2.6.1)
    /// over the same bytes, and the SHA-256 of the hash area it wrote.
    #[test]
    fn trees_are_those_that_veritysetup_makes() {
        for (blocks, root, area) in VERITYSETUP {
            let mut image: Vec<u8> = (0..blocks * BLOCK_BYTES).map(|at| (at / 7 % 251) as u8).collect();
            let data = image.len();
            let verity = seal(&mut image);
            assert_eq!(verity.blocks, blocks);
            assert_eq!(to_hex(&verity.root), root, "{blocks} blocks");
            assert_eq!(to_hex(digest(&SHA256, &image[data..]).as_ref()), area, "{blocks} blocks");
        }
    }

    #[test]
    fn an_image_is_padded_to_whole_blocks() {
        let mut image = vec![1; BLOCK_BYTES + 1];
        assert_eq!(seal(&mut image).blocks, 2);
        assert_eq!(image.len(), 3 * BLOCK_BYTES);
        assert!(image[BLOCK_BYTES + 1..2 * BLOCK_BYTES].iter().all(|byte| *byte == 0));
    }

    const VERITYSETUP: [(usize, &str, &str); 3] = [
        (
            1,
            "8a5987102bd1d76edaa9bb165430d2715597d1bae63fc8d29e6464845c0b6888",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            129,
            "af5c69571a133b86c8dd99ae421c6db9e856c757d20c3b3ced209603548355d8",
            "30867ada779fab51c5c30dfab202963591ffc7eaed8b9a7d40126450ec417767",
        ),
        (
            20_000,
            "316cc76da52bd13a01f80b65a154546d726e386162f866f7dc4098c2967c8e11",
            "cddab499c24a7ab900c29e5876eb26e47a38b51b647c9fb78c38db772d901bd6",
        ),
    ];
}
