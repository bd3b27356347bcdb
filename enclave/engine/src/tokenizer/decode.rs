//! Tokens back into text, as they arrive.

/// Turns bytes into characters as they become complete: what is left over waits for its rest, and only
/// bytes that can never become a character turn into U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Utf8Stream {
    pending: Vec<u8>,
}

impl Utf8Stream {
    /// Takes bytes and returns the characters that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut taken: usize = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            taken = taken.saturating_add(chunk.valid().len());
            let invalid = chunk.invalid();
            if invalid.is_empty() || (chunks.peek().is_none() && is_incomplete(invalid)) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            taken = taken.saturating_add(invalid.len());
        }
        self.pending.drain(..taken.min(self.pending.len()));
        text
    }

    /// The end: an incomplete character turns into U+FFFD.
    pub(crate) fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }

    /// Bytes that wait for more.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }
}

/// Whether more bytes could make this a character. The chunk iterator yields the longest prefix of a
/// character, so it is enough to know that the character is longer.
fn is_incomplete(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(pieces: &[&[u8]]) -> Vec<String> {
        let mut stream = Utf8Stream::default();
        let mut texts: Vec<String> = pieces.iter().map(|piece| stream.push(piece)).collect();
        texts.push(stream.finish());
        texts
    }

    #[test]
    fn a_character_waits_for_its_last_byte() {
        assert_eq!(stream(&[b"a\xf0\x9f", b"\x98", b"\x80b"]), ["a", "", "\u{1f600}b", ""]);
    }

    #[test]
    fn a_character_cut_off_by_another_is_replaced_at_once() {
        assert_eq!(stream(&[b"\xf0\x9f", b"a"]), ["", "\u{fffd}a", ""]);
        assert_eq!(stream(&[b"\xff", b"\xc3"]), ["\u{fffd}", "", "\u{fffd}"]);
        // A surrogate is not an incomplete character.
        assert_eq!(stream(&[b"\xed\xa0"]).concat(), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_split_gives_what_the_whole_gives(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(0xf0), Just(0x9f), Just(0x98), Just(0x80)], 0..40),
            size in 1_usize..6,
        ) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(stream(&pieces).concat(), String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
