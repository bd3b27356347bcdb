//! A first policy for an installation: a shipped template with what only the installation knows put in.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use vouchsafe_bundle::{Error, Policy};
use vouchsafe_verifier::encoding::to_base64;

const SNP: &str = include_str!("../../../policies/production-snp.json");
const TDX: &str = include_str!("../../../policies/production-tdx.json");

/// The platform that a new policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

/// What only an installation knows.
#[derive(Debug, Clone, Default)]
pub struct Installation {
    /// What people call the policy.
    pub name: String,
    /// Reference measurements as policies hold them, such as `vouchsafe measure` prints.
    pub measurements: Vec<Value>,
    /// Names of the operator in the measured configuration.
    pub operators: Vec<String>,
    /// Models: a name and the SHA-256 of the weights file.
    pub models: Vec<(String, String)>,
    /// The log's verifier key.
    pub log: Option<String>,
    /// The witnesses' verifier keys.
    pub witnesses: Vec<String>,
    /// How many of them must have cosigned.
    pub threshold: u64,
}

/// Fills in the template and gives the document's text, comments included, in the order of the template.
/// What an installation leaves out stays an empty list, which accepts nothing.
///
/// # Errors
/// [`Error`], where what was filled in is no policy.
pub fn fill(platform: Platform, installation: &Installation) -> Result<String, Error> {
    let template = match platform {
        Platform::SevSnp => SNP,
        Platform::Tdx => TDX,
    };
    let mut document: Value = serde_json::from_str(template).unwrap_or_default();
    let models = installation.models.iter().map(|(name, sha256)| json!({"name": name, "weights": sha256}));
    let logs = installation.log.iter().map(|key| json!({"key": key}));
    let Installation { threshold, witnesses, .. } = installation;
    let filled = [
        (
            "/measurements",
            Value::Array(installation.measurements.clone()),
            "What `vouchsafe measure` said of the images that may answer.",
        ),
        (
            "/operator/identities",
            json!(installation.operators),
            "The identity in the measured configuration of the machines.",
        ),
        ("/models", models.collect(), "The models that may answer, by the SHA-256 of their weights."),
        ("/log/inclusion", logs.collect(), "The log that receipts must be in."),
    ];
    for (path, value, comment) in filled {
        let is_empty = value.as_array().is_none_or(Vec::is_empty);
        let Some(rule) = document.pointer_mut(path) else { continue };
        // What is left empty keeps the template's word on how to fill it in.
        let comment = rule.get("$comment").cloned().filter(|_| is_empty).unwrap_or_else(|| json!(comment));
        *rule = json!({"$comment": comment, "require": value});
    }
    if let Some(rule) = document.pointer_mut("/witnesses/quorum") {
        *rule = json!({"require": {"keys": witnesses, "threshold": threshold}});
    }
    if let (Some(comment), false) = (document.pointer_mut("/witnesses/$comment"), witnesses.is_empty()) {
        *comment = json!(format!("{threshold} of these witnesses must have cosigned."));
    }
    document["name"] = json!(installation.name);
    document["$comment"] =
        json!("Written by `vouchsafe policy init`. `vouchsafe policy explain` says what it means.");
    let text = printed(&document);
    Policy::parse(text.as_bytes()).map(|_| text)
}

/// The same document with who may revoke: so many of these keys, given as DER SPKI, by a list that is at most so
/// many seconds old. Comments stay.
///
/// # Errors
/// [`Error`], where the document is no policy, or is none with these.
pub fn with_revokers(
    document: &[u8],
    spkis: &[Vec<u8>],
    threshold: u64,
    age_seconds_max: u64,
) -> Result<String, Error> {
    let list = json!({"keys": keys(spkis), "threshold": threshold, "age_seconds_max": age_seconds_max});
    requiring(document, "/revocations/list", &list)
}

/// A policy with those put in who may release images, everything else being left as it is.
///
/// # Errors
/// As [`Policy::parse`], of the document or of what becomes of it.
pub fn with_releasers(document: &[u8], spkis: &[Vec<u8>], threshold: u64) -> Result<String, Error> {
    requiring(document, "/images/released", &json!({"keys": keys(spkis), "threshold": threshold}))
}

fn keys(spkis: &[Vec<u8>]) -> Vec<String> {
    spkis.iter().map(|spki| to_base64(spki)).collect()
}

/// A policy that requires something in the place of a rule.
fn requiring(document: &[u8], rule: &str, required: &Value) -> Result<String, Error> {
    Policy::parse(document)?;
    // A policy was read of it: each of its objects has each key once.
    let mut value: Value = serde_json::from_slice(document).unwrap_or_default();
    if let Some(rule) = value.pointer_mut(rule) {
        *rule = json!({"require": required});
    }
    let text = printed(&value);
    Policy::parse(text.as_bytes()).map(|_| text)
}

/// The order of keys that people expect; others follow by the alphabet.
const ORDER: [&str; 24] = [
    "$comment",
    "version",
    "name",
    "purpose",
    "trust",
    "vendors",
    "simulated_roots",
    "platform",
    "accepted",
    "measurements",
    "operator",
    "models",
    "engine",
    "parameters",
    "openings",
    "sessions",
    "freshness",
    "settlement",
    "log",
    "witnesses",
    "anchors",
    "replay",
    "proof",
    "computed",
];

fn printed(value: &Value) -> String {
    let mut text = String::new();
    print(value, 0, &mut text);
    text.push('\n');
    text
}

fn print(value: &Value, depth: usize, text: &mut String) {
    let is_short = |value: &Value| value.to_string().len() <= 90 && !value.to_string().contains("$comment");
    match value {
        Value::Object(fields) if !is_short(value) || depth == 0 => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_by(|a, b| order(a, b));
            let lines = names.into_iter().map(|name| (Some(name), &fields[name]));
            block('{', lines, '}', depth, text);
        }
        Value::Array(values) if !is_short(value) => {
            block('[', values.iter().map(|value| (None, value)), ']', depth, text);
        }
        _ => inline(value, text),
    }
}

fn block<'a>(
    open: char,
    lines: impl Iterator<Item = (Option<&'a String>, &'a Value)>,
    close: char,
    depth: usize,
    text: &mut String,
) {
    text.push(open);
    for (index, (name, value)) in lines.enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        if let Some(name) = name {
            text.push_str(&format!("{}: ", Value::String(name.clone())));
        }
        print(value, depth + 1, text);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(close);
}

/// One line, with a space after each comma and colon.
fn inline(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let part = |(name, value): (&String, &Value)| {
                let mut inner = format!("{}: ", Value::String(name.clone()));
                inline(value, &mut inner);
                inner
            };
            let fields: Map<String, Value> = fields.clone();
            let parts: Vec<_> = fields.iter().map(part).collect();
            text.push_str(&format!("{{{}}}", parts.join(", ")));
        }
        Value::Array(values) => {
            let part = |value: &Value| {
                let mut inner = String::new();
                inline(value, &mut inner);
                inner
            };
            let parts: Vec<_> = values.iter().map(part).collect();
            text.push_str(&format!("[{}]", parts.join(", ")));
        }
        other => text.push_str(&other.to_string()),
    }
}

fn order(a: &str, b: &str) -> Ordering {
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    place(a).cmp(&place(b)).then_with(|| a.cmp(b))
}
