//! Which tokens begin and end a text and an answer, and the chat template: from `tokenizer_config.json`,
//! `generation_config.json`, `chat_template.jinja` and the tokenizer's post-processor.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::figures::Entries;
use super::tokenizer::{sequence, type_of};
use super::{Figures, JSON_BYTES_MAX, object, unsupported, wrong};
use crate::LoadError;
use crate::folder::Folder;
use crate::gguf::Value;

/// Adds them; `texts` are the tokens by text.
pub(super) fn add(
    folder: &mut Folder,
    config: &Figures<'_>,
    post_processor: Option<&Json>,
    texts: &BTreeMap<String, u32>,
    entries: &mut Entries,
) -> Result<(), LoadError> {
    let settings = match folder.optional(SETTINGS, JSON_BYTES_MAX)? {
        Some(bytes) => object(SETTINGS, &bytes)?,
        None => serde_json::Map::new(),
    };
    ends(folder, config, &settings, texts, entries)?;
    around(post_processor, &settings, texts, entries)?;
    template(folder, &settings, entries)
}

/// Which tokens begin and end.
fn ends(
    folder: &mut Folder,
    config: &Figures<'_>,
    settings: &serde_json::Map<String, Json>,
    texts: &BTreeMap<String, u32>,
    entries: &mut Entries,
) -> Result<(), LoadError> {
    let by_text = |name: &str| {
        let token = settings.get(name)?;
        let text = token.as_str().or_else(|| token.get("content").and_then(Json::as_str))?;
        texts.get(text).copied()
    };
    let numbers = |value: Option<&Json>| -> Vec<u32> {
        let many = value.and_then(Json::as_array).map(Vec::as_slice);
        let one = value.map(std::slice::from_ref);
        let values = many.or(one).unwrap_or_default();
        values.iter().filter_map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
    };
    if let Some(bos) = by_text("bos_token").or_else(|| numbers(config.get("bos_token_id")).first().copied()) {
        entries.set("tokenizer.ggml.bos_token_id", Value::Integer(bos.into()));
    }
    let generation = match folder.optional(GENERATION, JSON_BYTES_MAX)? {
        Some(bytes) => object(GENERATION, &bytes)?,
        None => serde_json::Map::new(),
    };
    // How answers are generated goes before what the model was trained with.
    let said = generation.get("eos_token_id").or_else(|| config.get("eos_token_id"));
    let mut found = BTreeSet::new();
    let all = by_text("eos_token").into_iter().chain(numbers(said));
    let all: Vec<u32> = all.filter(|id| found.insert(*id)).collect();
    if all.len() > END_KEYS.len() {
        return Err(unsupported(format!("{} tokens that end an answer", all.len())));
    }
    for (key, id) in END_KEYS.iter().zip(all) {
        entries.set(key, Value::Integer(id.into()));
    }
    Ok(())
}

/// Which of them go around a text.
fn around(
    post_processor: Option<&Json>,
    settings: &serde_json::Map<String, Json>,
    texts: &BTreeMap<String, u32>,
    entries: &mut Entries,
) -> Result<(), LoadError> {
    let said = |name: &str| settings.get(name).and_then(Json::as_bool).unwrap_or(false);
    let (mut bos, mut eos) = (said("add_bos_token"), said("add_eos_token"));
    for step in sequence(post_processor, "processors") {
        match type_of(Some(step)) {
            Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                let pieces =
                    step.get("single").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
                let special = |piece: &Json| {
                    let text = piece.pointer("/SpecialToken/id").and_then(Json::as_str);
                    text.and_then(|text| texts.get(text).copied())
                };
                let text = pieces.iter().position(|piece| piece.get("Sequence").is_some());
                let (before, after) = pieces.split_at_checked(text.unwrap_or(0)).unwrap_or_default();
                let after = after.get(1..).unwrap_or_default();
                let is = |pieces: &[Json], key: &str| match pieces {
                    [] => Ok(false),
                    [piece] if special(piece).is_some_and(|id| entries.is_integer(key, id)) => Ok(true),
                    _ => Err(unsupported("tokens around a text that are not the ones that begin and end it")),
                };
                bos = is(before, "tokenizer.ggml.bos_token_id")?;
                eos = is(after, END_KEYS[0])?;
            }
            _ => return Err(unsupported(format!("the step {step} behind tokens"))),
        }
    }
    entries.set("tokenizer.ggml.add_bos_token", Value::Bool(bos));
    entries.set("tokenizer.ggml.add_eos_token", Value::Bool(eos));
    Ok(())
}

fn template(
    folder: &mut Folder,
    settings: &serde_json::Map<String, Json>,
    entries: &mut Entries,
) -> Result<(), LoadError> {
    let own = match folder.optional(TEMPLATE, JSON_BYTES_MAX)? {
        Some(bytes) => Some(String::from_utf8(bytes).map_err(|_| wrong(TEMPLATE, "text that is not UTF-8"))?),
        None => None,
    };
    let named = |templates: &Vec<Json>| {
        let default =
            templates.iter().find(|one| one.get("name").and_then(Json::as_str) == Some("default"))?;
        default.get("template").and_then(Json::as_str).map(str::to_owned)
    };
    let template = own.or_else(|| match settings.get("chat_template")? {
        Json::String(template) => Some(template.clone()),
        Json::Array(templates) => named(templates),
        _ => None,
    });
    if let Some(template) = template {
        entries.set("tokenizer.chat_template", Value::String(template));
    }
    Ok(())
}

const SETTINGS: &str = "tokenizer_config.json";
const GENERATION: &str = "generation_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// Where a GGUF file says which tokens end an answer.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
