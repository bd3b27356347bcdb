//! Text into tokens and back, by the tables in the GGUF file.
//!
//! Two kinds: byte-level byte-pair encoding (`gpt2`) and SentencePiece by scores (`llama`). What a
//! user writes never becomes a control token: [`Tokenizer::encode_text`] takes no notice of them, and
//! [`Tokenizer::encode_rendered`] finds only the ones that the chat template itself wrote.

mod bpe;
mod decode;
mod pretokenize;
mod special;
mod spm;
mod vocabulary;

use tokenizers::normalizers::unicode::NFC;
use tokenizers::{NormalizedString, Normalizer as _};

use self::bpe::Bpe;
pub(crate) use self::decode::Utf8Stream;
pub(crate) use self::pretokenize::pattern_name;
pub(crate) use self::special::Guard;
use self::special::{Segment, Specials};
use self::spm::Spm;
use self::vocabulary::{Kind, Vocabulary};
use crate::LoadError;
use crate::gguf::Metadata;

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    /// Whether text is composed (Unicode's NFC) before anything else.
    normalizes: bool,
    vocabulary: Vocabulary,
    specials: Specials,
    encoder: Encoder,
}

enum Encoder {
    Bpe(Bpe),
    Spm(Spm),
}

impl Tokenizer {
    /// Reads and checks the tables.
    pub(crate) fn read(metadata: &Metadata) -> Result<Self, LoadError> {
        let model = metadata.string("tokenizer.ggml.model")?;
        if model != "gpt2" && model != "llama" {
            return Err(LoadError::UnsupportedTokenizer {
                key: "tokenizer.ggml.model",
                found: model.to_owned(),
                supported: "gpt2, llama",
            });
        }
        let vocabulary = Vocabulary::read(metadata)?;
        let encoder = match model {
            "gpt2" => Encoder::Bpe(Bpe::read(metadata, &vocabulary)?),
            _ => Encoder::Spm(Spm::read(metadata, &vocabulary)?),
        };
        let normalizes = metadata.optional_bool(NORMALIZE_NFC)?.unwrap_or(false);
        Ok(Self { normalizes, specials: Specials::new(&vocabulary)?, vocabulary, encoder })
    }

    /// How many tokens there are.
    pub(crate) fn size(&self) -> u32 {
        self.vocabulary.size()
    }

    /// Whether these are the other's tokens: the same texts of the same kinds, number by number.
    pub(crate) fn has_tokens_of(&self, other: &Self) -> bool {
        self.vocabulary.ids().eq(other.vocabulary.ids())
    }

    /// Length in bytes of the longest token's text, and no less than a character has.
    pub(crate) fn token_bytes_max(&self) -> usize {
        self.vocabulary.ids().map(|(_, text, _)| text.len()).max().unwrap_or(0).max(4)
    }

    /// The tokens of a user's text, control tokens excepted, and nothing added.
    pub(crate) fn encode_text(&self, text: &str) -> Vec<u32> {
        self.encode(self.specials.segments_of_text(text))
    }

    /// The same as a sequence of its own: behind the beginning-of-sequence token where the model wants
    /// it. An end-of-sequence token is never added: the text is to be continued.
    pub(crate) fn encode_sequence(&self, text: &str) -> Vec<u32> {
        let mut tokens: Vec<u32> = self.leading_bos().into_iter().collect();
        tokens.extend(self.encode_text(text));
        tokens
    }

    /// The tokens of a rendered chat template whose inputs were marked by [`Self::guard`]. Where the
    /// model wants a beginning-of-sequence token and the template wrote none, one is put in front.
    pub(crate) fn encode_rendered(&self, rendered: &str) -> Vec<u32> {
        let mut tokens = self.encode(self.specials.segments_of_rendered(rendered));
        if let Some(bos) = self.leading_bos()
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        tokens
    }

    /// What makes users' strings safe to give to `template`.
    pub(crate) fn guard(&self, template: &str) -> Guard {
        self.specials.guard(template)
    }

    fn encode(&self, segments: Vec<Segment>) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut at_start = true;
        for segment in segments {
            at_start = match (segment, &self.encoder) {
                (Segment::Token(id), _) => {
                    tokens.push(id);
                    self.starts_text(id)
                }
                (Segment::Text(text), Encoder::Bpe(bpe)) => {
                    bpe.encode(&self.vocabulary, &self.normalized(text), &mut tokens);
                    false
                }
                (Segment::Text(text), Encoder::Spm(spm)) => {
                    spm.encode(&self.vocabulary, &text, at_start, &mut tokens);
                    false
                }
            };
        }
        tokens
    }

    fn normalized(&self, text: String) -> String {
        if !self.normalizes || text.is_ascii() {
            return text;
        }
        let mut composed = NormalizedString::from(text.as_str());
        // It can't fail; text as it is would be the next best.
        if NFC.normalize(&mut composed).is_err() { text } else { composed.get().to_owned() }
    }

    /// The token that the model wants behind a whole text. It is for embeddings: a prompt has no end.
    pub(crate) fn trailing_eos(&self) -> Option<u32> {
        self.vocabulary.eos.filter(|_| self.vocabulary.add_eos)
    }

    /// The token that goes in front of every sequence, where the model wants one.
    pub(crate) fn leading_bos(&self) -> Option<u32> {
        let by_default = match &self.encoder {
            Encoder::Bpe(bpe) => bpe.words.add_bos,
            Encoder::Spm(_) => true,
        };
        self.vocabulary.bos.filter(|_| self.vocabulary.add_bos.unwrap_or(by_default))
    }

    /// Whether text behind this token is written as at the start of a sequence.
    fn starts_text(&self, id: u32) -> bool {
        let first_alone = matches!(&self.encoder, Encoder::Spm(spm) if spm.first_alone);
        !first_alone && matches!(self.vocabulary.kind(id), Kind::Control | Kind::Unknown | Kind::UserDefined)
    }

    /// Whether this token ends an answer.
    pub(crate) fn is_end(&self, id: u32) -> bool {
        self.vocabulary.ends.contains(&id)
    }

    /// The tokens that end an answer, in order.
    pub(crate) fn ends(&self) -> impl Iterator<Item = u32> {
        self.vocabulary.ends.iter().copied()
    }

    /// The text of the beginning-of-sequence token, for templates.
    pub(crate) fn bos_text(&self) -> &str {
        self.vocabulary.bos.map_or("", |id| self.vocabulary.text(id))
    }

    /// The text of the end-of-sequence token, for templates.
    pub(crate) fn eos_text(&self) -> &str {
        self.vocabulary.eos.map_or("", |id| self.vocabulary.text(id))
    }

    /// The bytes that a token stands for: none for a control token.
    pub(crate) fn bytes(&self, id: u32) -> Vec<u8> {
        let text = self.vocabulary.text(id);
        match (self.vocabulary.kind(id), &self.encoder) {
            (Kind::Control | Kind::Unknown, _) | (Kind::Unused, Encoder::Bpe(_)) => Vec::new(),
            (Kind::UserDefined, _) => text.as_bytes().to_vec(),
            (_, Encoder::Bpe(_)) => bpe::text_bytes(text),
            (Kind::Byte, Encoder::Spm(_)) => hex_byte(text).into_iter().collect(),
            (_, Encoder::Spm(_)) => text.replace(spm::SPACE, " ").into_bytes(),
        }
    }

    /// A decoder for the tokens that follow `before`.
    pub(crate) fn decoder(&self, before: &[u32]) -> Decoder {
        let strips_space = matches!(&self.encoder, Encoder::Spm(spm) if spm.space_prefix);
        let at_start = before.last().is_none_or(|id| self.starts_text(*id));
        Decoder { strips_space, at_start, stream: Utf8Stream::default() }
    }

    /// The text of whole sequence of tokens.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let mut decoder = self.decoder(&[]);
        let mut text = String::new();
        for token in tokens {
            text.push_str(&decoder.push(self, *token));
        }
        text.push_str(&decoder.finish());
        text
    }
}

/// Turns one sequence's tokens into text as they come. Undoes the space that SentencePiece puts in front
/// of text at the start and behind control tokens.
#[derive(Debug)]
pub(crate) struct Decoder {
    strips_space: bool,
    at_start: bool,
    stream: Utf8Stream,
}

impl Decoder {
    /// The characters that this token completes.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, token: u32) -> String {
        let mut bytes = tokenizer.bytes(token);
        if self.strips_space && self.at_start && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        self.at_start = tokenizer.starts_text(token);
        self.stream.push(&bytes)
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> String {
        self.stream.finish()
    }

    /// Whether bytes wait for the rest of their character.
    pub(crate) fn is_waiting(&self) -> bool {
        self.stream.pending_len() > 0
    }
}

/// Metadata of ours, which no GGUF file has: whether text is composed first, and by which scheme of
/// `Metaspace` a space is put in front: `always`, or `first` for what follows no control token.
pub(crate) const NORMALIZE_NFC: &str = "vouchsafe.tokenizer.nfc";
pub(crate) const SPACE_SCHEME: &str = "vouchsafe.tokenizer.space_scheme";

/// The byte of `<0x41>`.
fn hex_byte(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

#[cfg(test)]
pub(crate) mod tests;
