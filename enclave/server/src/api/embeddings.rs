//! `POST /v1/embeddings`: from the body to a checked request, and the answer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use vouchsafe_engine::Embedding;
use vouchsafe_verifier::encoding::to_base64;

use super::error::ApiError;
use super::json;
use super::prompts::{Prompt, Prompts};

/// Most texts that are kept while an array is read; how many are answered is configured.
const INPUTS_READ_MAX: usize = 4096;

/// A checked embeddings request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmbeddingsRequest {
    pub(crate) model: String,
    pub(crate) input: Vec<Prompt>,
    pub(crate) base64: bool,
    pub(crate) dimensions: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    model: String,
    input: Prompts<INPUTS_READ_MAX>,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default, rename = "user")]
    _user: Option<String>,
}

impl EmbeddingsRequest {
    /// Reads and checks a request body.
    pub(crate) fn parse(body: &[u8], inputs_max: usize) -> Result<Self, ApiError> {
        let body: Body = json::parse(body)?;
        let input = body.input.0;
        if input.is_empty() || input.len() > inputs_max {
            let message = format!("'input' must be 1 to {inputs_max} texts, not {}.", input.len());
            return Err(ApiError::parameter("input", "invalid_value", message));
        }
        let base64 = match body.encoding_format.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => {
                let message = "'encoding_format' is 'float' or 'base64'.";
                return Err(ApiError::parameter("encoding_format", "invalid_value", message));
            }
        };
        Ok(Self { model: body.model, input, base64, dimensions: body.dimensions })
    }

    /// Every parameter in force.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("encoding_format".to_owned(), json!(if self.base64 { "base64" } else { "float" })),
            ("dimensions".to_owned(), json!(self.dimensions)),
        ])
    }

    /// Refuses vectors longer than the model's.
    pub(crate) fn check_dimensions(&self, dimensions: usize) -> Result<(), ApiError> {
        match self.dimensions {
            Some(wanted) if !(1..=dimensions).contains(&wanted) => {
                let message = format!("'dimensions' must be 1 to {dimensions}, not {wanted}.");
                Err(ApiError::parameter("dimensions", "invalid_value", message))
            }
            _ => Ok(()),
        }
    }

    /// The answer, and the tokens it cost.
    pub(crate) fn answer(&self, embeddings: &[Embedding]) -> (Vec<u8>, u64) {
        let data: Vec<_> = embeddings
            .iter()
            .enumerate()
            .map(|(index, embedding)| {
                json!({"object": "embedding", "index": index, "embedding": self.vector(embedding)})
            })
            .collect();
        let tokens = embeddings.iter().map(|embedding| u64::from(embedding.token_count)).sum::<u64>();
        let answer = json!({
            "object": "list",
            "data": data,
            "model": self.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        });
        (serde_json::to_vec(&answer).unwrap_or_default(), tokens)
    }

    fn vector(&self, embedding: &Embedding) -> Value {
        let vector = match self.dimensions {
            Some(wanted) if wanted < embedding.vector.len() => shortened(&embedding.vector, wanted),
            _ => embedding.vector.clone(),
        };
        match self.base64 {
            // Little-endian 32-bit floats, as OpenAI writes them.
            true => {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                json!(to_base64(&bytes))
            }
            false => json!(vector),
        }
    }
}

/// The vector's first figures, scaled to length 1 again, as OpenAI shortens embeddings.
#[allow(clippy::as_conversions, reason = "each figure is rounded once, to the precision of the answer")]
fn shortened(vector: &[f32], dimensions: usize) -> Vec<f32> {
    let figures = || vector.iter().take(dimensions).map(|figure| f64::from(*figure));
    let length = figures().map(|figure| figure * figure).sum::<f64>().sqrt();
    // Nothing can be made of a vector of zeros.
    let scale = if length > 0.0 { length.recip() } else { 1.0 };
    figures().map(|figure| (figure * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_or_many_as_floats_or_base64() {
        let one = EmbeddingsRequest::parse(br#"{"model":"m","input":"a"}"#, 3).unwrap();
        assert_eq!((one.input.len(), one.base64), (1, false));
        let many = br#"{"model":"m","input":["a","b"],"encoding_format":"base64"}"#;
        let many = EmbeddingsRequest::parse(many, 3).unwrap();
        let vectors = [Embedding { vector: vec![1.0, -2.0], token_count: 3 }];
        let (answer, tokens) = many.answer(&vectors);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((tokens, &answer["data"][0]["embedding"]), (3, &json!("AACAPwAAAMA=")));
        let (answer, _) = one.answer(&vectors);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["data"][0]["embedding"], json!([1.0, -2.0]));
    }

    #[test]
    fn fewer_dimensions_are_the_first_ones_at_length_1() {
        let vectors = [Embedding { vector: vec![0.6, -0.8, 5.0], token_count: 3 }];
        for (dimensions, expected) in
            [(1, json!([1.0])), (2, json!([0.6_f32, -0.8_f32])), (3, json!([0.6_f32, -0.8_f32, 5.0]))]
        {
            let body = format!(r#"{{"model":"m","input":[1,2],"dimensions":{dimensions}}}"#);
            let request = EmbeddingsRequest::parse(body.as_bytes(), 3).unwrap();
            assert_eq!(request.input, [Prompt::Tokens(vec![1, 2])]);
            let answer: Value = serde_json::from_slice(&request.answer(&vectors).0).unwrap();
            assert_eq!(answer["data"][0]["embedding"], expected);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, param) in [
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":[]}"#, "input"),
            (r#"{"model":"m","input":["a","b","c","d"]}"#, "input"),
            (r#"{"model":"m","input":[1,"a"]}"#, "input"),
            (r#"{"model":"m","input":"a","encoding_format":"hex"}"#, "encoding_format"),
            (r#"{"model":"m","input":"a","dimensions":"x"}"#, "dimensions"),
        ] {
            let error = EmbeddingsRequest::parse(body.as_bytes(), 3).unwrap_err();
            assert!(error.param.as_deref().unwrap_or_default().starts_with(param), "{error:?}");
        }
        let wants = EmbeddingsRequest::parse(br#"{"model":"m","input":"a","dimensions":5}"#, 3).unwrap();
        assert!(wants.check_dimensions(5).is_ok() && wants.check_dimensions(6).is_ok());
        assert!(wants.check_dimensions(4).is_err());
        let none = EmbeddingsRequest::parse(br#"{"model":"m","input":"a","dimensions":0}"#, 3).unwrap();
        assert!(none.check_dimensions(5).is_err());
    }
}
