//! Server-sent events: data lines, our comment lines, and size classes.
//!
//! The host sees the length of every TLS record. A chunk's content-dependent part is therefore filled
//! up to a power of two, through a field that OpenAI's own streams have for this purpose.

/// The smallest size class, in bytes. Larger than an ordinary token with everything around it.
const CLASS_BYTES_MIN: usize = 128;

/// The payload that ends a stream.
pub(super) const DONE: &[u8] = b"[DONE]";

/// An event with this payload, which must be one line.
pub(super) fn event(data: &[u8]) -> Vec<u8> {
    [b"data: ".as_slice(), data, b"\n\n"].concat()
}

/// Adds a comment line. Readers of events pass over it.
pub(super) fn comment(into: &mut Vec<u8>, name: &str, value: &str) {
    for part in [": ", name, " ", value, "\n"] {
        into.extend_from_slice(part.as_bytes());
    }
}

/// Ends a group of comment lines.
pub(super) fn end_comments(into: &mut Vec<u8>) {
    into.push(b'\n');
}

/// Fills up a JSON object that ends with an empty `obfuscation` string. `frame` is the length of the
/// same object without its content: what is common to all chunks of a stream.
pub(super) fn pad(mut chunk: Vec<u8>, frame: usize) -> Vec<u8> {
    let content = chunk.len().saturating_sub(frame);
    let missing = size_class(content).saturating_sub(content);
    let end = chunk.len().saturating_sub(EMPTY_END.len());
    if chunk.get(end..) != Some(EMPTY_END) {
        return chunk;
    }
    // Before the string's closing quote and the object's closing brace.
    let at = end.saturating_add(1);
    chunk.splice(at..at, std::iter::repeat_n(b'0', missing));
    chunk
}

/// How an object ends that has an empty string last.
const EMPTY_END: &[u8] = b"\"\"}";

/// The least power of two, from the smallest class up, that holds `bytes`.
fn size_class(bytes: usize) -> usize {
    bytes.max(CLASS_BYTES_MIN).checked_next_power_of_two().unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_receipt::stream::{comments, data_payloads};

    #[test]
    fn chunks_are_filled_up_to_their_class() {
        let frame = br#"{"choices":[],"obfuscation":""}"#.len();
        for (content, class) in [(2, 128), (128, 128), (129, 256), (300, 512)] {
            let text = format!(r#"{{"choices":["{}"],"obfuscation":""}}"#, "x".repeat(content - 2));
            let padded = pad(text.into_bytes(), frame);
            assert_eq!(padded.len(), frame + class);
            serde_json::from_slice::<serde_json::Value>(&padded).unwrap();
        }
        assert_eq!(pad(b"{}".to_vec(), 0), b"{}");
    }

    #[test]
    fn what_is_written_is_what_readers_read() {
        let mut stream = Vec::new();
        comment(&mut stream, "one", "AAAA");
        comment(&mut stream, "two", "BBBB");
        end_comments(&mut stream);
        stream.extend(event(br#"{"a":1}"#));
        stream.extend(event(DONE));
        assert_eq!(data_payloads(&stream).collect::<Vec<_>>(), [br#"{"a":1}"#.as_slice(), b"[DONE]"]);
        assert_eq!(comments(&stream, "two").collect::<Vec<_>>(), [b"BBBB"]);
    }
}
