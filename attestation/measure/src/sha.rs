//! SHA-384 in pieces: firmware and initrd are hashed without being copied.

use ring::digest::{Context, SHA384, digest};

/// A SHA-384 digest: one measurement register, or what is extended into one.
pub type Digest384 = [u8; 48];

/// SHA-384 of `data`.
pub fn sha384(data: &[u8]) -> Digest384 {
    fixed(digest(&SHA384, data).as_ref())
}

/// SHA-384 over pieces.
pub(crate) struct Sha384(Context);

impl Sha384 {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA384))
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> Digest384 {
        fixed(self.0.finish().as_ref())
    }
}

/// Copies a digest of known length; the algorithm's definition fixes it.
fn fixed(bytes: &[u8]) -> Digest384 {
    let mut out = [0; 48];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_as_the_whole() {
        let mut pieces = Sha384::new();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), sha384(b"abc"));
        // FIPS 180-4, example for SHA-384 of "abc".
        assert!(sha384(b"abc").starts_with(&[0xcb, 0x00, 0x75, 0x3f]));
    }
}
