//! A BERT of one tiny layer: what is refused, and the pipeline without real weights.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;

use super::*;

const CONFIG: &str = r#"{"model_type":"bert","hidden_size":4,"num_hidden_layers":1,"num_attention_heads":2,
    "intermediate_size":8,"max_position_embeddings":16,"type_vocab_size":2,"vocab_size":8,
    "layer_norm_eps":1e-12,"hidden_act":"gelu"}"#;
const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhe\n##llo\nworld\n!\n";

fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes: Vec<(String, Vec<usize>)> = [
        ("embeddings.word_embeddings.weight", vec![8, 4]),
        ("embeddings.position_embeddings.weight", vec![16, 4]),
        ("embeddings.token_type_embeddings.weight", vec![2, 4]),
    ]
    .map(|(name, shape)| (name.to_owned(), shape))
    .into();
    let mut linear = |name: &str, inputs: usize, outputs: usize| {
        shapes.push((format!("{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    let layer = "encoder.layer.0";
    for part in ["query", "key", "value"] {
        linear(&format!("{layer}.attention.self.{part}"), 4, 4);
    }
    linear(&format!("{layer}.attention.output.dense"), 4, 4);
    linear(&format!("{layer}.intermediate.dense"), 4, 8);
    linear(&format!("{layer}.output.dense"), 8, 4);
    for norm in [
        "embeddings.LayerNorm",
        "encoder.layer.0.attention.output.LayerNorm",
        "encoder.layer.0.output.LayerNorm",
    ] {
        shapes.push((format!("{norm}.weight"), vec![4]));
        shapes.push((format!("{norm}.bias"), vec![4]));
    }
    shapes
}

fn weights(shapes: &[(String, Vec<usize>)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = shapes
        .iter()
        .enumerate()
        .map(|(seed, (_, shape))| {
            let values =
                (0..shape.iter().product::<usize>()).map(|at| ((at * 7 + seed * 3) % 11) as f32 / 10.0 - 0.5);
            values.flat_map(f32::to_le_bytes).collect()
        })
        .collect();
    let views: HashMap<&str, TensorView<'_>> = shapes
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| {
            (name.as_str(), TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
    std::fs::write(folder.path().join("vocab.txt"), VOCABULARY).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), weights(&shapes())).unwrap();
    folder
}

fn code(folder: &Path) -> Option<&'static str> {
    EmbeddingModel::load(folder, "tiny").err().map(|error| error.code())
}

#[test]
fn embeds_with_a_plain_vocabulary() {
    let folder = folder();
    let model = EmbeddingModel::load(folder.path(), "tiny").unwrap();
    let embeddings = model.embed(&["Hello, wörld!", "", "hello world"]).unwrap();
    // [CLS] he ##llo [UNK] world ! [SEP]: accents go and case goes.
    assert_eq!(embeddings.iter().map(|e| e.token_count).collect::<Vec<_>>(), [7, 2, 5]);
    for embedding in &embeddings {
        let square: f32 = embedding.vector.iter().map(|value| value * value).sum();
        assert!((square - 1.0).abs() < 1e-5);
    }
    assert_ne!(embeddings[0].vector, embeddings[2].vector);
    // he ##llo world, as tokens.
    assert_eq!(model.embed_tokens(&[4, 5, 6]).unwrap(), embeddings[2]);
    assert_eq!(model.embed_tokens(&[]).unwrap(), embeddings[1]);
    assert_eq!(model.embed_tokens(&[6; 50]).unwrap().token_count, 16);
    let beyond = EmbedError::TokenOutOfRange { token: 8, vocabulary: 8 };
    assert_eq!(model.embed_tokens(&[7, 8]), Err(beyond));
    // More than the 16 positions is cut.
    assert_eq!(model.embed(&[&"world ".repeat(50)]).unwrap()[0].token_count, 16);
    let long = "x".repeat(EmbeddingModel::TEXT_BYTES_MAX + 1);
    assert!(matches!(model.embed(&[&long]), Err(EmbedError::TextTooLong { .. })));
}

#[test]
fn settings_files_are_obeyed() {
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("sentence_bert_config.json", r#"{"max_seq_length": 4}"#);
    let cut = EmbeddingModel::load(folder.path(), "tiny").unwrap();
    assert_eq!(cut.embed(&["hello world"]).unwrap()[0].token_count, 4);
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    write("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#);
    let first = EmbeddingModel::load(folder.path(), "tiny").unwrap();
    assert_ne!(first.embed(&["hello"]).unwrap(), cut.embed(&["hello"]).unwrap());
    write("1_Pooling/config.json", r#"{"pooling_mode_max_tokens": true}"#);
    assert_eq!(code(folder.path()), Some("embedding-file"));
}

#[test]
fn broken_folders_are_refused() {
    type Break = fn(&Path);
    fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let table: [(Break, &str); 15] = [
        (|f| std::fs::remove_file(f.join("config.json")).unwrap(), "open"),
        (|f| std::fs::remove_file(f.join("vocab.txt")).unwrap(), "open"),
        (|f| std::fs::remove_file(f.join("model.safetensors")).unwrap(), "open"),
        (|f| put(f, "config.json", "{"), "embedding-file"),
        (|f| put(f, "config.json", CONFIG.replace("\"bert\"", "\"roberta\"")), "unsupported-architecture"),
        (|f| put(f, "config.json", CONFIG.replace("\"gelu\"", "\"swish\"")), "unsupported-feature"),
        (
            |f| put(f, "config.json", CONFIG.replace("\"hidden_size\":4", "\"hidden_size\":0")),
            "embedding-file",
        ),
        (|f| put(f, "config.json", CONFIG.replace("heads\":2", "heads\":3")), "embedding-file"),
        (|f| put(f, "config.json", CONFIG.replace("layers\":1", "layers\":2")), "tensor-missing"),
        (|f| put(f, "config.json", CONFIG.replace("size\":8,\n", "size\":9,\n")), "tensor-shape"),
        (|f| put(f, "vocab.txt", "[PAD]\n[UNK]\n"), "embedding-file"),
        (|f| put(f, "vocab.txt", format!("{VOCABULARY}one too many\n")), "embedding-file"),
        (|f| put(f, "tokenizer.json", "{}"), "embedding-file"),
        (|f| put(f, "model.safetensors", "not that"), "embedding-file"),
        (
            |f| {
                let bytes = std::fs::read(f.join("model.safetensors")).unwrap();
                put(f, "model.safetensors", &bytes[..bytes.len() - 1]);
            },
            "embedding-file",
        ),
    ];
    for (row, (damage, expected)) in table.into_iter().enumerate() {
        let folder = folder();
        assert_eq!(code(folder.path()), None);
        damage(folder.path());
        assert_eq!(code(folder.path()), Some(expected), "row {row}");
    }
}

#[derive(serde::Deserialize)]
struct Reference {
    text: String,
    tokens: u32,
    vector: Vec<f64>,
}

/// What `scripts/make-reference.py` had from llama.cpp, with the last token's state as the embedding.
#[test]
fn a_decoder_embeds_as_llama_cpp_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let file = folder.join("qwen3-embedding-f32.gguf");
    let model = EmbeddingModel::load(&file, "qwen").unwrap();
    let identity = model.identity();
    assert_eq!((identity.name(), identity.dimensions(), identity.tokens_max()), ("qwen", 32, 512));
    let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(&file).unwrap());
    assert_eq!(identity.files()[0].file, "qwen3-embedding-f32.gguf");
    assert_eq!(identity.files()[0].sha256[..], *digest.as_ref());
    let cases = std::fs::read(folder.join("qwen3-embedding-f32.json")).unwrap();
    let cases: Vec<Reference> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.iter().any(|case| case.tokens > 256), "one is read in several pieces");
    for case in cases {
        let ours = model.embed(&[&case.text]).unwrap().remove(0);
        assert_eq!(ours.token_count, case.tokens, "{:?}", case.text);
        for (ours, theirs) in ours.vector.iter().zip(&case.vector) {
            // Keys and values in half precision on both sides, rounded from slightly different numbers.
            assert!((f64::from(*ours) - theirs).abs() < 2e-3, "{:?}: {ours} {theirs}", case.text);
        }
    }
    let text = "A receipt proves it.";
    let Kind::Decoder(decoder) = &model.kind else { panic!("a decoder") };
    let tokens = decoder.tokens_of(text);
    assert_eq!(vec![model.embed_tokens(&tokens).unwrap()], model.embed(&[text]).unwrap());
    // A text longer than the context is cut, and ends as the model wants it.
    assert_eq!(model.embed(&["far too long ".repeat(100).as_str()]).unwrap()[0].token_count, 512);
}

#[test]
fn a_decoder_without_pooling_is_no_embedding_model() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let error = EmbeddingModel::load(folder.join("qwen3-f32.gguf"), "m").unwrap_err();
    assert_eq!(error.code(), "unsupported-feature");
}
