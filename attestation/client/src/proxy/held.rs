//! Holding back the end of a stream until its receipt was judged.

use bytes::Bytes;

/// The last event of OpenAI's streams.
const DONE: &[u8] = b"[DONE]";

/// Holds back the end of a stream.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// So many of `bytes` are known to hold no line end.
    searched: usize,
    ended: bool,
}

impl Held {
    /// Takes a chunk; gives what may be passed on: whole lines, up to the one that ends the stream.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Bytes {
        self.bytes.extend_from_slice(chunk);
        if self.ended {
            return Bytes::new();
        }
        let mut ready = 0;
        while let Some(length) =
            self.bytes.get(self.searched..).unwrap_or_default().iter().position(|byte| *byte == b'\n')
        {
            let end = self.searched + length + 1;
            if self.bytes.get(ready..end).is_some_and(is_done) {
                self.ended = true;
                break;
            }
            (ready, self.searched) = (end, end);
        }
        if !self.ended {
            self.searched = self.bytes.len() - ready;
        }
        self.bytes.drain(..ready).collect::<Vec<_>>().into()
    }

    /// What was held back.
    pub(super) fn rest(self) -> Bytes {
        self.bytes.into()
    }
}

fn is_done(line: &[u8]) -> bool {
    let Some(value) = line.strip_prefix(b"data:") else { return false };
    value.strip_prefix(b" ").unwrap_or(value).trim_ascii_end() == DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream in pieces of one size and gives what was passed on before the end, and after.
    fn passed(stream: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let mut held = Held::default();
        let passed = stream.chunks(size).flat_map(|chunk| held.push(chunk)).collect();
        (passed, held.rest().to_vec())
    }

    #[test]
    fn the_end_of_a_stream_is_held_back_however_it_arrives() {
        for done in ["data: [DONE]\n", "data:[DONE]\r\n"] {
            let before = ": vouchsafe-token x\n\ndata: {\"a\":\"data: [DONE]\"}\n\ndata: [DONE]x\n\n";
            let after = format!("{done}\n: vouchsafe-receipt y\n\n");
            let stream = format!("{before}{after}");
            for size in 1..=stream.len() {
                let (early, late) = passed(stream.as_bytes(), size);
                assert_eq!(early, before.as_bytes(), "pieces of {size}");
                assert_eq!(late, after.as_bytes(), "pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_without_its_end_waits() {
        let mut held = Held::default();
        assert_eq!(held.push(b"data: {}"), "");
        assert_eq!(held.push(b"\n\ndata: "), "data: {}\n\n");
        assert_eq!(held.rest(), "data: ");
    }
}
