//! Agreement with `transformers` and `tokenizers`, and folders that are refused.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::gguf::{DigestingReader, Header};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::tests::fixtures;
use crate::{LoadOptions, Model};

#[derive(Deserialize)]
struct Reference {
    prompt: Vec<u32>,
    texts: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    tokens: Vec<u32>,
}

const ALL: [&str; 7] = ["llama", "mistral", "qwen2", "qwen3", "qwen3-moe", "gemma3", "phi3"];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

fn load(path: &Path) -> Result<Model, LoadError> {
    Model::load(path, &LoadOptions::default(), &mut |_| {})
}

fn reference(name: &str) -> (Reference, Vec<f32>) {
    let folder = folder(name);
    let reference = std::fs::read(folder.join("reference.json")).unwrap();
    let npy = std::fs::read(folder.join("reference.logits.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let logits = npy[header..].as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
    (serde_json::from_slice(&reference).unwrap(), logits)
}

/// A copy to damage.
fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn change(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(file);
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[test]
fn logits_are_those_of_transformers() {
    for name in ALL {
        let (reference, theirs) = reference(name);
        let model = load(&folder(name)).unwrap();
        let ours = model.logits(&reference.prompt).unwrap().concat();
        assert_eq!(ours.len(), theirs.len());
        let mean = theirs.iter().sum::<f32>() / theirs.len() as f32;
        let square = theirs.iter().map(|value| (value - mean).powi(2)).sum::<f32>();
        let spread = (square / theirs.len() as f32).sqrt();
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: worst difference {:.2e} of the deviation", worst / spread);
        assert!(worst < 1e-4 * spread, "{name}: {worst} at a deviation of {spread}");
    }
}

#[test]
fn tokens_are_those_of_tokenizers() {
    for name in ALL {
        let tokenizer = &load(&folder(name)).unwrap().tokenizer;
        let begin = tokenizer.encode_sequence("").first().copied();
        assert_eq!(begin.is_some(), name == "llama", "{name}: what the post-processor puts in front");
        for Encoded { text, tokens } in reference(name).0.texts {
            if text.contains("<|end|>") {
                // Their users' text makes control tokens, ours does not: this is a template's.
                let rendered = tokenizer.encode_rendered(&text);
                assert_eq!(rendered.strip_prefix(begin.as_slice()).unwrap(), tokens, "{name}: {text:?}");
            } else {
                assert_eq!(tokenizer.encode_text(&text), tokens, "{name}: {text:?}");
            }
        }
        let ids = tokenizer.encode_text("hello there");
        assert_eq!(tokenizer.decode(&ids), "hello there", "{name}");
    }
}

/// Real vocabularies, whose merges and scores llama.cpp has cases for.
#[test]
fn real_vocabularies_give_llama_cpps_tokens() {
    let Some(fixtures) = fixtures() else { return };
    for name in ["gpt-2", "qwen2", "llama-spm"] {
        let base = fixtures.join(format!("reference/tokenizers/ggml-vocab-{name}.gguf"));
        let bytes = std::fs::read(&base).unwrap();
        let (mut source, mut progress) = (&bytes[..], |_| {});
        let mut reader = DigestingReader::new(&mut source, bytes.len() as u64, &mut progress);
        let metadata = Header::read(&mut reader).unwrap().metadata;
        let published = published(name, &metadata);
        let temporary = tempfile::tempdir().unwrap();
        std::fs::write(temporary.path().join("tokenizer.json"), published.to_string()).unwrap();
        let size = metadata.optional_strings("tokenizer.ggml.tokens").unwrap().unwrap().len();
        let Value::Object(config) = config(size) else { unreachable!() };
        let mut entries = figures::entries(&Figures::new(&config), "m").unwrap();
        let mut folder = Folder::open(temporary.path());
        tokenizer::add(&mut folder, &Figures::new(&config), &mut entries).unwrap();
        let tokenizer = Tokenizer::read(&Metadata::new(entries.into_map())).unwrap();
        let inputs = std::fs::read_to_string(base.with_extension("gguf.inp")).unwrap();
        let outputs = std::fs::read_to_string(base.with_extension("gguf.out")).unwrap();
        let inputs = inputs.strip_suffix("\n__ggml_vocab_test__\n").unwrap();
        for (input, output) in inputs.split("\n__ggml_vocab_test__\n").zip(outputs.lines()) {
            let expected: Vec<u32> = output.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(tokenizer.encode_text(input), expected, "{name}: {input:?}");
        }
    }
}

fn config(vocabulary: usize) -> Value {
    json!({
        "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "rms_norm_eps": 1e-6, "max_position_embeddings": 32, "rope_theta": 10000.0,
        "vocab_size": vocabulary,
    })
}

/// The tokenizer.json that says what a GGUF file's tables say.
fn published(name: &str, metadata: &Metadata) -> Value {
    let tokens = metadata.optional_strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let kinds = metadata.optional_integers("tokenizer.ggml.token_type").unwrap().unwrap();
    let vocabulary: Map<String, Value> =
        (0..).zip(tokens).map(|(id, text)| (text.clone(), json!(id))).collect();
    let added: Vec<Value> = (0..)
        .zip(tokens.iter().zip(kinds))
        .filter(|(_, (_, kind))| matches!(kind, 2..=4))
        .map(|(id, (text, kind))| json!({"id": id, "content": text, "special": kind != 4}))
        .collect();
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": name == "gpt-2"});
    let pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let split =
        json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let (words, merges) = match name {
        "gpt-2" => (level, metadata.optional_strings("tokenizer.ggml.merges").unwrap().unwrap().to_vec()),
        "qwen2" => (
            json!({"type": "Sequence", "pretokenizers": [split, level]}),
            metadata.optional_strings("tokenizer.ggml.merges").unwrap().unwrap().to_vec(),
        ),
        _ => {
            // As the converter in `transformers` has it: every way to make a token of two others, the
            // token with the best score first.
            let scores = metadata.optional_floats("tokenizer.ggml.scores").unwrap().unwrap();
            let mut order: Vec<usize> = (0..tokens.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
            let mut merges = Vec::new();
            for token in order {
                let text = &tokens[token];
                for (at, _) in text.char_indices().skip(1) {
                    let (left, right) = text.split_at(at);
                    if vocabulary.contains_key(left) && vocabulary.contains_key(right) {
                        merges.push(format!("{left} {right}"));
                    }
                }
            }
            (Value::Null, merges)
        }
    };
    let spm = name == "llama-spm";
    let spaces = json!([
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]);
    let normalizer = spm.then(|| json!({"type": "Sequence", "normalizers": spaces}));
    json!({
        "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": words, "post_processor": null,
        "model": {
            "type": "BPE", "vocab": vocabulary, "merges": merges, "byte_fallback": spm,
            "unk_token": spm.then_some("<unk>"),
        },
    })
}

/// What `transformers` 4 wrote is read as what 5 writes.
#[test]
fn older_configurations_say_the_same() {
    type Change = fn(&mut Map<String, Value>);
    let table: [(&str, Change); 5] = [
        ("llama", |config| {
            let mut scaling = config.remove("rope_parameters").unwrap();
            config
                .insert("rope_theta".into(), scaling.as_object_mut().unwrap().remove("rope_theta").unwrap());
            config.insert("rope_scaling".into(), scaling);
        }),
        ("qwen2", |config| {
            config.remove("rope_parameters");
            config.remove("layer_types");
            config.insert("rope_theta".into(), json!(10000.0));
            config.insert("rope_scaling".into(), Value::Null);
        }),
        ("qwen3-moe", |config| {
            let count = config.remove("num_local_experts").unwrap();
            config.insert("num_experts".into(), count);
        }),
        ("gemma3", |config| {
            let ropes = config.remove("rope_parameters").unwrap();
            config.insert("rope_theta".into(), ropes["full_attention"]["rope_theta"].clone());
            config.insert("rope_local_base_freq".into(), ropes["sliding_attention"]["rope_theta"].clone());
            config.insert("rope_scaling".into(), json!({"rope_type": "linear", "factor": 8.0}));
            config.remove("layer_types");
            config.insert("sliding_window_pattern".into(), json!(6));
        }),
        ("phi3", |config| {
            let mut scaling = config.remove("rope_parameters").unwrap();
            let members = scaling.as_object_mut().unwrap();
            config.insert("rope_theta".into(), members.remove("rope_theta").unwrap());
            members.remove("original_max_position_embeddings");
            members.remove("partial_rotary_factor");
            members.remove("rope_type");
            members.insert("type".into(), json!("su"));
            config.insert("rope_scaling".into(), scaling);
        }),
    ];
    for (name, older) in table {
        let copy = copy(name);
        change(copy.path(), CONFIG, |config| older(config.as_object_mut().unwrap()));
        let prompt = reference(name).0.prompt;
        let expected = load(&folder(name)).unwrap().logits(&prompt).unwrap();
        assert_eq!(load(copy.path()).unwrap().logits(&prompt).unwrap(), expected, "{name}");
    }
}

#[test]
fn every_file_that_was_read_is_in_the_identity() {
    let path = folder("qwen3");
    let mut progress = Vec::new();
    let model = Model::load(&path, &LoadOptions::default(), &mut |at| progress.push(at)).unwrap();
    let identity = model.identity();
    let names: Vec<&str> = identity.files().iter().map(|file| file.file.as_str()).collect();
    assert_eq!(
        names,
        [
            "config.json",
            "generation_config.json",
            "model-00001-of-00004.safetensors",
            "model-00002-of-00004.safetensors",
            "model-00003-of-00004.safetensors",
            "model-00004-of-00004.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
    );
    let mut weights = 0;
    for file in identity.files() {
        let bytes = std::fs::read(path.join(&file.file)).unwrap();
        assert_eq!(file.sha256[..], *ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref());
        weights += if file.file.ends_with(".safetensors") { bytes.len() as u64 } else { 0 };
    }
    let last = progress.last().unwrap();
    assert_eq!((last.bytes_done, last.bytes_total, identity.file_bytes()), (weights, weights, weights));
    assert!(progress.is_sorted_by_key(|at| at.bytes_done));
    assert_eq!(
        (identity.name(), identity.architecture(), identity.quantization()),
        ("qwen3", "qwen3", "BF16")
    );
    assert_eq!((identity.vocabulary(), identity.context_length()), (288, 512));
    assert_eq!((identity.tokenizer_sha256(), identity.chat_template_sha256()), (None, None));
}

#[test]
fn a_template_is_found_where_it_may_be() {
    let render = |folder: &Path| {
        let model = load(folder).unwrap();
        let template = model.chat_template.as_ref()?;
        Some(
            template
                .render(&[crate::ChatMessage::new(crate::Role::User, "x")], &crate::ChatOptions::default())
                .unwrap(),
        )
    };
    let copy = copy("qwen2");
    assert_eq!(render(copy.path()), None);
    change(copy.path(), "tokenizer_config.json", |settings| {
        settings["chat_template"] =
            json!([{"name": "tools", "template": "no"}, {"name": "default", "template": "one"}]);
    });
    assert_eq!(render(copy.path()).as_deref(), Some("one"));
    change(copy.path(), "tokenizer_config.json", |settings| settings["chat_template"] = json!("two"));
    assert_eq!(render(copy.path()).as_deref(), Some("two"));
    std::fs::write(copy.path().join("chat_template.jinja"), "three").unwrap();
    assert_eq!(render(copy.path()).as_deref(), Some("three"));
}

#[test]
fn what_is_not_supported_or_damaged_is_refused_by_name() {
    type Damage = fn(&Path);
    fn set(folder: &Path, file: &str, pointer: &str, value: Value) {
        change(folder, file, |json| {
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            parent.insert(member.to_owned(), value);
        });
    }
    fn bytes(folder: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = folder.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }
    const WEIGHTS: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";
    let table: [(&str, Damage, &str); 37] = [
        ("llama", |_| {}, ""),
        ("llama", |f| set(f, CONFIG, "/model_type", json!("mamba")), "unsupported-architecture"),
        ("llama", |f| set(f, CONFIG, "/quantization_config", json!({"bits": 4})), "unsupported-feature"),
        ("llama", |f| set(f, CONFIG, "/hidden_act", json!("relu")), "unsupported-feature"),
        ("llama", |f| set(f, CONFIG, "/rope_parameters/rope_type", json!("yarn")), "unsupported-feature"),
        ("llama", |f| set(f, CONFIG, "/rope_parameters/high_freq_factor", json!(0.5)), "checkpoint-file"),
        ("qwen2", |f| set(f, CONFIG, "/rope_parameters/rope_type", json!("llama3")), "unsupported-feature"),
        ("qwen2", |f| set(f, CONFIG, "/use_sliding_window", json!(true)), "unsupported-feature"),
        ("qwen2", |f| set(f, CONFIG, "/layer_types", json!(["sliding_attention"])), "unsupported-feature"),
        ("qwen2", |f| set(f, CONFIG, "/tie_word_embeddings", json!(false)), "checkpoint-file"),
        ("qwen3-moe", |f| set(f, CONFIG, "/norm_topk_prob", json!(false)), "unsupported-feature"),
        ("qwen3-moe", |f| set(f, CONFIG, "/mlp_only_layers", json!([0])), "unsupported-feature"),
        ("qwen3-moe", |f| set(f, CONFIG, "/num_local_experts", json!(7)), "tensor-shape"),
        ("gemma3", |f| set(f, CONFIG, "/query_pre_attn_scalar", json!(17)), "unsupported-feature"),
        ("gemma3", |f| set(f, CONFIG, "/final_logit_softcapping", json!(30.0)), "unsupported-feature"),
        ("phi3", |f| set(f, CONFIG, "/rope_parameters/long_factor", json!([1.0])), "tensor-shape"),
        ("phi3", |f| set(f, CONFIG, "/partial_rotary_factor", json!(0.0)), "checkpoint-file"),
        ("llama", |f| set(f, CONFIG, "/hidden_size", json!("32")), "checkpoint-file"),
        ("llama", |f| set(f, CONFIG, "/hidden_size", Value::Null), "checkpoint-file"),
        ("llama", |f| set(f, CONFIG, "/hidden_size", json!(40)), "tensor-shape"),
        ("llama", |f| set(f, CONFIG, "/num_attention_heads", json!(3)), "metadata-value"),
        ("llama", |f| set(f, CONFIG, "/num_hidden_layers", json!(3)), "tensor-missing"),
        ("llama", |f| set(f, CONFIG, "/num_hidden_layers", json!(1)), "tensor-unexpected"),
        ("llama", |f| set(f, CONFIG, "/vocab_size", json!(200)), "checkpoint-file"),
        ("llama", |f| set(f, "tokenizer.json", "/model/type", json!("Unigram")), "unsupported-tokenizer"),
        ("llama", |f| set(f, "tokenizer.json", "/pre_tokenizer", Value::Null), "unsupported-feature"),
        ("llama", |f| set(f, "tokenizer.json", "/model/ignore_merges", json!(false)), ""),
        ("qwen2", |f| set(f, "tokenizer.json", "/model/ignore_merges", json!(true)), "unsupported-feature"),
        ("llama", |f| set(f, "tokenizer.json", "/model/dropout", json!(0.1)), "unsupported-feature"),
        (
            "llama",
            |f| set(f, "tokenizer.json", "/normalizer", json!({"type": "Lowercase"})),
            "unsupported-feature",
        ),
        ("llama", |f| std::fs::remove_file(f.join("tokenizer.json")).unwrap(), "open"),
        ("llama", |f| bytes(f, WEIGHTS, |bytes| bytes.truncate(bytes.len() - 1)), "checkpoint-file"),
        ("llama", |f| bytes(f, WEIGHTS, |bytes| bytes.push(0)), "checkpoint-file"),
        ("llama", |f| bytes(f, WEIGHTS, |bytes| bytes[7] = 1), "too-large"),
        (
            "qwen3",
            |f| set(f, INDEX, "/weight_map/model.norm.weight", json!("../x.safetensors")),
            "checkpoint-file",
        ),
        (
            "qwen3",
            |f| set(f, INDEX, "/weight_map/model.norm.weight", json!("again.safetensors")),
            "duplicate-tensor",
        ),
        ("qwen3", |f| std::fs::remove_file(f.join("model-00003-of-00004.safetensors")).unwrap(), "open"),
    ];
    for (row, (name, damage, expected)) in table.into_iter().enumerate() {
        let copy = copy(name);
        if name == "qwen3" {
            let path = |file| copy.path().join(file);
            std::fs::copy(path("model-00001-of-00004.safetensors"), path("again.safetensors")).unwrap();
        }
        damage(copy.path());
        let code = load(copy.path()).err().map_or("", |error| error.code());
        assert_eq!(code, expected, "row {row}");
    }
}

#[test]
fn a_tensor_of_another_type_is_refused_by_name() {
    let copy = copy("llama");
    let path = copy.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    // Of the same size.
    let at = bytes.windows(4).position(|four| four == b"BF16").unwrap();
    bytes[at..at + 4].copy_from_slice(b"I16 ");
    let quote = bytes[at..].iter().position(|byte| *byte == b'"').unwrap();
    bytes.swap(at + 3, at + quote);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(load(copy.path()).unwrap_err().code(), "unsupported-quantization");
}
