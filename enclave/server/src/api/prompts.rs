//! What prompts and texts to embed are given as: text, token ids, or an array of either.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// One prompt, or one text to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// At most `MAX` of them, refused as soon as there are more.
#[derive(Debug)]
pub(super) struct Prompts<const MAX: usize>(pub(super) Vec<Prompt>);

/// An element of the outer array: what it is decides what the array is.
enum Element {
    Text(String),
    Tokens(Vec<u32>),
    Token(u32),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Element;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a token id or an array of token ids")
            }
            fn visit_str<E>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, token: u64) -> Result<Element, E> {
                u32::try_from(token)
                    .map(Element::Token)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(token), &self))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = seq.next_element::<u32>()? {
                    tokens.push(token);
                }
                Ok(Element::Tokens(tokens))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Prompts<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look {
            max: usize,
        }
        impl<'de> Visitor<'de> for Look {
            type Value = Vec<Prompt>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an array of strings, token ids, or an array of arrays of token ids")
            }
            fn visit_str<E>(self, text: &str) -> Result<Vec<Prompt>, E> {
                Ok(vec![Prompt::Text(text.to_owned())])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Prompt>, A::Error> {
                let mut prompts = Vec::new();
                let mut tokens = Vec::new();
                while let Some(element) = seq.next_element()? {
                    match element {
                        Element::Text(text) => prompts.push(Prompt::Text(text)),
                        Element::Tokens(tokens) => prompts.push(Prompt::Tokens(tokens)),
                        Element::Token(token) => tokens.push(token),
                    }
                    if prompts.len() > self.max {
                        return Err(de::Error::custom(format_args!("there are more than {}", self.max)));
                    }
                    if !tokens.is_empty() && !prompts.is_empty() {
                        return Err(de::Error::custom("token ids and texts are mixed in one array"));
                    }
                }
                if !tokens.is_empty() {
                    prompts.push(Prompt::Tokens(tokens));
                }
                Ok(prompts)
            }
        }
        deserializer.deserialize_any(Look { max: MAX }).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Vec<Prompt>> {
        serde_json::from_str::<Prompts<3>>(json).ok().map(|prompts| prompts.0)
    }

    #[test]
    fn every_form_is_read() {
        let text = |text: &str| Prompt::Text(text.into());
        for (stated, expected) in [
            (r#""a""#, vec![text("a")]),
            (r#"["a","b"]"#, vec![text("a"), text("b")]),
            ("[]", vec![]),
            ("[1,2,3,4,5]", vec![Prompt::Tokens(vec![1, 2, 3, 4, 5])]),
            (
                "[[1],[2,3],[]]",
                vec![Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3]), Prompt::Tokens(vec![])],
            ),
        ] {
            assert_eq!(read(stated), Some(expected), "{stated}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for stated in [r#"[1,"a"]"#, r#"[["a"]]"#, "[-1]", "[4294967296]", "null", "1", "[[],[],[],[]]"] {
            assert_eq!(read(stated), None, "{stated}");
        }
    }
}
