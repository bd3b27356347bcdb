//! Reading calls out of an answer as it comes.
//!
//! The answer's form is enforced while it is generated, so that there is one way to read it; an answer
//! that was cut off is read as far as it goes.

use super::{BEGIN, CALL_MIDDLE, CALL_OPEN};

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolPiece {
    /// Text for the user.
    Text(String),
    /// A call begins.
    Call {
        /// The tool's name.
        name: String,
    },
    /// More of the arguments of the call that began last, as JSON text.
    Arguments(String),
}

/// Reads one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolReader {
    state: State,
    /// Text that is not understood yet.
    held: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Name,
    Arguments,
    Between,
}

impl ToolReader {
    /// A reader at an answer's beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more of the answer's text.
    pub fn push(&mut self, text: &str) -> Vec<ToolPiece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while let Some(next) = self.step(&mut pieces) {
            self.state = next;
        }
        pieces
    }

    /// What is left when the answer ends.
    pub fn finish(&mut self) -> Vec<ToolPiece> {
        match self.state {
            State::Text if !self.held.is_empty() => vec![ToolPiece::Text(std::mem::take(&mut self.held))],
            _ => Vec::new(),
        }
    }

    /// Reads up to the end of a part, and gives the part that follows; `None` where more text is needed.
    fn step(&mut self, pieces: &mut Vec<ToolPiece>) -> Option<State> {
        match self.state {
            State::Text => {
                let found = self.held.find(BEGIN);
                let end = found.unwrap_or_else(|| self.held.len().saturating_sub(forming(&self.held)));
                let text: String = self.held.drain(..end).collect();
                if !text.is_empty() {
                    pieces.push(ToolPiece::Text(text));
                }
                self.behind(BEGIN, found.is_some(), State::Name)
            }
            State::Name => {
                let end = self.held.find(CALL_MIDDLE)?;
                let name = self.held.get(..end)?.strip_prefix(CALL_OPEN)?.to_owned();
                self.held.drain(..end.saturating_add(CALL_MIDDLE.len()));
                pieces.push(ToolPiece::Call { name });
                Some(State::Arguments)
            }
            State::Arguments => {
                // Arguments are written on one line; the brace in front of its end is the call's own.
                let line = self.held.find('\n');
                let end = match line {
                    Some(end) => end.saturating_sub(1),
                    None => self.held.len().saturating_sub(usize::from(self.held.ends_with('}'))),
                };
                let text: String = self.held.drain(..end).collect();
                if !text.is_empty() {
                    pieces.push(ToolPiece::Arguments(text));
                }
                line.map(|_| State::Between)
            }
            State::Between => {
                let found = self.held.find(BEGIN);
                self.held.drain(..found.unwrap_or(0));
                self.behind(BEGIN, found.is_some(), State::Name)
            }
        }
    }

    fn behind(&mut self, mark: &str, found: bool, next: State) -> Option<State> {
        if !found {
            return None;
        }
        self.held.drain(..mark.len());
        Some(next)
    }
}

/// How many bytes at the end may be the beginning of a mark.
fn forming(text: &str) -> usize {
    (1..BEGIN.len())
        .rev()
        .find(|length| BEGIN.get(..*length).is_some_and(|start| text.ends_with(start)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "Let me <b>look</b>.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": {\"b\": \"}\"}}}\n\
        </tool_call>\n<tool_call>\n{\"name\": \"g_2\", \"arguments\": {}}\n</tool_call>";

    /// Neighbouring pieces of one kind put together.
    fn joined(pieces: impl IntoIterator<Item = ToolPiece>) -> Vec<ToolPiece> {
        let mut all: Vec<ToolPiece> = Vec::new();
        for piece in pieces {
            match (all.last_mut(), piece) {
                (Some(ToolPiece::Text(text)), ToolPiece::Text(more))
                | (Some(ToolPiece::Arguments(text)), ToolPiece::Arguments(more)) => text.push_str(&more),
                (_, piece) => all.push(piece),
            }
        }
        all
    }

    fn read(text: &str, bytes: usize) -> Vec<ToolPiece> {
        let mut reader = ToolReader::new();
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.ceil_char_boundary(bytes.min(rest.len())));
            pieces.extend(reader.push(now));
            rest = later;
        }
        pieces.extend(reader.finish());
        joined(pieces)
    }

    #[test]
    fn calls_are_read_wherever_the_text_is_split() {
        let call = |name: &str| ToolPiece::Call { name: name.into() };
        let expected = [
            ToolPiece::Text("Let me <b>look</b>.\n".into()),
            call("f"),
            ToolPiece::Arguments("{\"a\": {\"b\": \"}\"}}".into()),
            call("g_2"),
            ToolPiece::Arguments("{}".into()),
        ];
        for bytes in 1..=ANSWER.len() {
            assert_eq!(read(ANSWER, bytes), expected, "in pieces of {bytes}");
        }
    }

    #[test]
    fn what_is_cut_off_is_read_as_far_as_it_goes() {
        for (text, expected) in [
            ("a <tool_cal", vec![ToolPiece::Text("a <tool_cal".into())]),
            ("<tool_call>\n{\"name\": \"f", vec![]),
            (
                "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"x}",
                vec![ToolPiece::Call { name: "f".into() }, ToolPiece::Arguments("{\"a\": \"x".into())],
            ),
        ] {
            assert_eq!(read(text, 3), expected, "{text}");
        }
    }

    #[test]
    fn no_text_is_held_longer_than_it_may_be_a_mark() {
        let mut reader = ToolReader::new();
        assert_eq!(reader.push("a < b <tool"), [ToolPiece::Text("a < b ".into())]);
        assert_eq!(reader.push("s"), [ToolPiece::Text("<tools".into())]);
    }
}
