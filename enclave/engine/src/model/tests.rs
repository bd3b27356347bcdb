//! Agreement with llama.cpp on small random models, and files that are refused.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::*;
use crate::gguf::testing::GgufWriter;
use crate::tokenizer::tests::{fixtures, small_vocabulary};

#[derive(Deserialize)]
struct Reference {
    prompt: Vec<u32>,
    greedy: Vec<u32>,
    greedy_margin: Vec<f32>,
}

struct Case {
    model: Model,
    reference: Reference,
    /// A row for each prompt position.
    logits: Vec<Vec<f32>>,
}

fn case(name: &str) -> Option<Case> {
    case_in(name, Arithmetic::Integer)
}

fn case_in(name: &str, arithmetic: Arithmetic) -> Option<Case> {
    // Our own come from `scripts/make-reference.py`; the shared ones may be absent.
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let folder =
        if own.join(format!("{name}.gguf")).is_file() { own } else { fixtures()?.join("reference/models") };
    let options = LoadOptions { arithmetic, ..LoadOptions::default() };
    let model = Model::load(folder.join(format!("{name}.gguf")), &options, &mut |_| {}).unwrap();
    let reference: Reference =
        serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap();
    let npy = std::fs::read(folder.join(format!("{name}.logits.npy"))).unwrap();
    // Version 1 of the format: magic, version, a 16-bit header length, the header, little-endian f32.
    assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00");
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let values: Vec<f32> =
        npy[header..].chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let logits: Vec<Vec<f32>> =
        values.chunks_exact(values.len() / reference.prompt.len()).map(<[f32]>::to_vec).collect();
    assert_eq!(logits.len(), reference.prompt.len());
    Some(Case { model, reference, logits })
}

fn deviation(values: &[f32]) -> f64 {
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
    (square / values.len() as f64).sqrt()
}

fn softmax(values: &[f32]) -> Vec<f64> {
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = values.iter().map(|value| f64::from(value - greatest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn best(values: &[f32]) -> usize {
    (0..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

/// Greedy tokens, reading what llama.cpp chose: one near tie must not spoil the rest.
fn check_greedy(case: &Case, margin_min: f32) {
    let reference = &case.reference;
    let tokens: Vec<u32> = reference.prompt.iter().chain(&reference.greedy).copied().collect();
    let logits = case.model.logits(&tokens).unwrap();
    let mut checked = 0;
    for (step, (token, margin)) in reference.greedy.iter().zip(&reference.greedy_margin).enumerate() {
        if *margin >= margin_min {
            assert_eq!(best(&logits[reference.prompt.len() - 1 + step]), *token as usize, "step {step}");
            checked += 1;
        }
    }
    assert!(checked * 2 >= reference.greedy.len(), "only {checked} steps had a clear winner");
}

#[test]
fn float_models_agree_with_llama_cpp() {
    // llama.cpp looks GELU up in a table of 16-bit floats, which Gemma's figures show: with our values
    // rounded like that, the difference is a third.
    for (name, tolerance) in [
        ("qwen3-f32", 1e-4),
        ("qwen3moe-f32", 1e-4),
        ("llama-factors-f32", 1e-4),
        ("phi3-f32", 1e-4),
        ("llama-f32", 1e-4),
        ("qwen2-f32", 1e-4),
        ("gemma3-f32", 2e-3),
    ] {
        let Some(case) = case(name) else { return };
        let ours = case.model.logits(&case.reference.prompt).unwrap();
        let spread = deviation(&case.logits.concat());
        let worst = ours
            .concat()
            .iter()
            .zip(case.logits.concat())
            .map(|(ours, theirs)| f64::from((ours - theirs).abs()))
            .fold(0.0, f64::max);
        println!("{name}: worst difference {:.2e} of the deviation", worst / spread);
        assert!(worst < tolerance * spread, "{name}: {worst} at a deviation of {spread}");
        check_greedy(&case, 1e-2 * spread as f32);
    }
}

/// Kullback-Leibler divergence, with logits scaled to a deviation of 1: the random models' own logits
/// are so far apart that nearly all probability is the first token's, and a comparison would say little.
fn divergence(ours: &[f32], theirs: &[f32], spread: f64) -> f64 {
    let scaled =
        |logits: &[f32]| softmax(&logits.iter().map(|logit| logit / spread as f32).collect::<Vec<_>>());
    scaled(theirs).iter().zip(scaled(ours)).map(|(p, q)| p * (p / q).ln()).sum()
}

/// Both sides quantise activations, we in blocks of 32 and llama.cpp partly in blocks of 256; what
/// expanded weights give in floats is exact in comparison, and shows how far off each side is.
#[test]
fn quantised_models_agree_with_llama_cpp_in_distribution() {
    for name in ["llama256-Q4_0", "llama256-Q4_K_M", "llama256-Q6_K", "llama256-Q8_0"] {
        let Some(case) = case(name) else { return };
        let Some(exact) = case_in(name, Arithmetic::Float) else { return };
        let ours = case.model.logits(&case.reference.prompt).unwrap();
        let exact_logits = exact.model.logits(&case.reference.prompt).unwrap();
        let spread = deviation(&case.logits.concat());
        let worst = |a: &[Vec<f32>], b: &[Vec<f32>]| {
            a.iter().zip(b).map(|(a, b)| divergence(a, b, spread)).fold(0.0_f64, f64::max)
        };
        let (apart, ours_off, theirs_off) =
            (worst(&ours, &case.logits), worst(&ours, &exact_logits), worst(&case.logits, &exact_logits));
        println!("{name}: {apart:.2e} apart; from exact we are {ours_off:.2e} off, they {theirs_off:.2e}");
        assert!(apart < 3e-3, "{name}: {apart}");
        assert!(ours_off < 1e-3, "{name}: {ours_off}");
        for (ours, theirs) in ours.iter().zip(&case.logits) {
            let ours_of_top = ours[best(theirs)];
            let rank = ours.iter().filter(|value| **value > ours_of_top).count();
            assert!(rank < 2, "{name}: the first token has rank {rank}");
        }
        check_greedy(&case, 0.1 * spread as f32);
        check_greedy(&exact, 0.1 * spread as f32);
    }
}

/// Greedy and prompt tokens of several sequences, read and generated in steps of every shape.
#[test]
fn pieces_company_and_threads_change_no_bit() {
    let quantised = ["llama256-Q4_K_M", "llama256-Q8_0", "llama256-Q4_0", "llama256-Q6_K"];
    for name in quantised.into_iter().chain(["gemma3-f32", "qwen3moe-f32"]) {
        let Some(case) = case(name) else { return };
        let transformer = &case.model.transformer;
        let sequences: Vec<Vec<u32>> = (0..9)
            .map(|at| case.reference.prompt.iter().cycle().skip(at).take(5 + 3 * at).copied().collect())
            .collect();
        let store = Arc::new(KvStore::new(&transformer.config, 1000, 20, KvPrecision::Half));
        let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let alone = |pool: &Pool, tokens: &[u32], size: usize| {
            let (mut cache, mut space) = (KvCache::new(&store), Workspace::default());
            let mut rows = Vec::new();
            for tokens in tokens.chunks(size) {
                let slot = Slot { tokens, cache: &mut cache, want: Want::All };
                transformer.forward(pool, &mut space, &mut [slot]).unwrap();
                rows.extend((0..tokens.len()).map(|row| bits(space.logits().row(row))));
            }
            rows
        };
        let scalar = Pool::single(Level::testable()[0]);
        let expected: Vec<_> = sequences.iter().map(|tokens| alone(&scalar, tokens, 1000)).collect();
        for level in Level::testable() {
            for threads in [1, 3] {
                let pool = Pool::new(threads, level).unwrap();
                let _session = pool.session();
                for size in [1, 7] {
                    assert_eq!(alone(&pool, &sequences[4], size), expected[4], "{name} by {size}");
                }
                // Together, each with pieces of another size.
                let mut caches: Vec<_> = sequences.iter().map(|_| KvCache::new(&store)).collect();
                let (mut space, mut read) = (Workspace::default(), vec![0; sequences.len()]);
                while read.iter().zip(&sequences).any(|(read, tokens)| *read < tokens.len()) {
                    let mut slots = Vec::new();
                    let mut rows = Vec::new();
                    for (at, (tokens, cache)) in sequences.iter().zip(&mut caches).enumerate() {
                        let piece = &tokens[read[at]..tokens.len().min(read[at] + 1 + at)];
                        if !piece.is_empty() {
                            rows.extend((read[at]..read[at] + piece.len()).map(|position| (at, position)));
                            read[at] += piece.len();
                            slots.push(Slot { tokens: piece, cache, want: Want::All });
                        }
                    }
                    transformer.forward(&pool, &mut space, &mut slots).unwrap();
                    for (row, (sequence, position)) in rows.into_iter().enumerate() {
                        assert_eq!(bits(space.logits().row(row)), expected[sequence][position], "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn half_precision_keys_and_values_are_close() {
    let Some(case) = case("llama-f32") else { return };
    let transformer = &case.model.transformer;
    let tokens = &case.reference.prompt;
    let store = Arc::new(KvStore::new(&transformer.config, tokens.len(), 1, KvPrecision::Half));
    let (mut cache, mut space) = (KvCache::new(&store), Workspace::default());
    let slot = Slot { tokens, cache: &mut cache, want: Want::All };
    transformer.forward(&Pool::single(Level::detect()), &mut space, &mut [slot]).unwrap();
    let spread = deviation(&case.logits.concat());
    let differences = space.logits().values().iter().zip(case.logits.concat());
    let worst = differences.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    println!("worst difference {:.2e} of the deviation", worst / spread);
    assert!(worst < 5e-3 * spread);
}

#[test]
fn the_key_value_budget_is_a_bound_and_blocks_come_back_empty() {
    let model = tiny();
    let transformer = &model.transformer;
    let store = Arc::new(KvStore::new(&transformer.config, 600, 1, KvPrecision::Half));
    let pool = Pool::single(Level::detect());
    let tokens: Vec<u32> = (0..600).map(|at| at % 256).collect();
    let run = || {
        let (mut cache, mut space) = (KvCache::new(&store), Workspace::default());
        for tokens in tokens.chunks(100) {
            let slot = Slot { tokens, cache: &mut cache, want: Want::Last };
            transformer.forward(&pool, &mut space, &mut [slot]).unwrap();
        }
        (cache, space.logits().values().to_vec())
    };
    let (mut cache, first) = run();
    assert_eq!(cache.length(), 600);
    // 38 blocks for 600 positions and one for the sequence: 16 × 39 = 624.
    let mut space = Workspace::default();
    let mut read = |count: usize| {
        let tokens = vec![1; count];
        let slot = Slot { tokens: &tokens, cache: &mut cache, want: Want::Last };
        transformer.forward(&pool, &mut space, &mut [slot])
    };
    assert!(read(25).is_err());
    assert!(read(24).is_ok(), "a step that failed changed nothing");
    assert!(read(1).is_err());
    drop(cache);
    assert_eq!(run().1, first);
}

#[test]
fn identity_of_a_reference_model() {
    let Some(fixtures) = fixtures() else { return };
    let path = fixtures.join("reference/models/llama256-Q4_K_M.gguf");
    let bytes = std::fs::read(&path).unwrap();
    let mut last = None;
    let model = Model::load(&path, &LoadOptions::default(), &mut |progress| last = Some(progress)).unwrap();
    let size = bytes.len() as u64;
    assert_eq!(last, Some(Progress { bytes_done: size, bytes_total: size }));
    let identity = model.identity();
    let (file, digest) = (&identity.files()[0], ring::digest::digest(&ring::digest::SHA256, &bytes));
    assert_eq!((file.file.as_str(), &file.sha256[..]), ("llama256-Q4_K_M.gguf", digest.as_ref()));
    assert_eq!((identity.architecture(), identity.quantization()), ("llama", "Q4_K"));
    assert_eq!((identity.context_length(), identity.vocabulary()), (512, 2048));
    assert_eq!(identity.chat_template_sha256(), None);
    let options =
        LoadOptions { name: Some("other".into()), context_length_max: Some(64), ..LoadOptions::default() };
    let other = Model::from_bytes(&bytes, &options).unwrap();
    assert_eq!((other.identity().name(), other.identity().context_length()), ("other", 64));
    let json = serde_json::to_value(identity).unwrap();
    assert_eq!(json["files"][0]["sha256"].as_str().unwrap().len(), 64);
}

/// A Llama of two layers over the tokenizer tests' vocabulary, with random weights.
pub(crate) fn tiny_file() -> GgufWriter {
    const WIDTH: u64 = 32;
    const FEED: u64 = 64;
    const VOCABULARY: u64 = 262;
    let mut writer = small_vocabulary()
        .string("general.architecture", "llama")
        .string("general.name", "tiny")
        .u32("llama.context_length", 1024)
        .u32("llama.embedding_length", WIDTH as u32)
        .u32("llama.block_count", 2)
        .u32("llama.feed_forward_length", FEED as u32)
        .u32("llama.attention.head_count", 4)
        .u32("llama.attention.head_count_kv", 2)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .string(
            "tokenizer.chat_template",
            "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
             {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        );
    let mut state = 1_u64;
    let mut random = |count: u64, scale: f32, mean: f32| {
        let mut bytes = Vec::new();
        for _ in 0..count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
            bytes.extend_from_slice(&(mean + scale * unit).to_le_bytes());
        }
        bytes
    };
    let mut add = |name: String, dimensions: &[u64], scale: f32, mean: f32| {
        let data = random(dimensions.iter().product(), scale, mean);
        writer = writer.clone().tensor(&name, dimensions, 0, data);
    };
    add("token_embd.weight".into(), &[WIDTH, VOCABULARY], 1.0, 0.0);
    add("output_norm.weight".into(), &[WIDTH], 0.1, 1.0);
    add("output.weight".into(), &[WIDTH, VOCABULARY], 2.0, 0.0);
    for layer in 0..2 {
        for (name, dimensions) in [
            ("attn_q", [WIDTH, WIDTH]),
            ("attn_k", [WIDTH, WIDTH / 2]),
            ("attn_v", [WIDTH, WIDTH / 2]),
            ("attn_output", [WIDTH, WIDTH]),
            ("ffn_gate", [WIDTH, FEED]),
            ("ffn_up", [WIDTH, FEED]),
            ("ffn_down", [FEED, WIDTH]),
        ] {
            add(format!("blk.{layer}.{name}.weight"), &dimensions, 0.8, 0.0);
        }
        add(format!("blk.{layer}.attn_norm.weight"), &[WIDTH], 0.1, 1.0);
        add(format!("blk.{layer}.ffn_norm.weight"), &[WIDTH], 0.1, 1.0);
    }
    writer
}

pub(crate) fn tiny() -> Model {
    Model::from_bytes(&tiny_file().build(), &LoadOptions::default()).unwrap()
}

#[test]
fn refusals_are_named_at_load() {
    let code = |writer: GgufWriter| {
        Model::from_bytes(&writer.build(), &LoadOptions::default()).err().map(|error| error.code())
    };
    let file = tiny_file;
    assert_eq!(code(file()), None);
    let wrong = |dimensions: &[u64]| {
        let bytes = dimensions.iter().product::<u64>() as usize * 4;
        file().tensor("blk.1.attn_q.weight", dimensions, 0, vec![0; bytes])
    };
    let nan = f32::NAN.to_le_bytes().repeat(32);
    let table: [(GgufWriter, &str); 28] = [
        (file().string("general.architecture", "mamba"), "unsupported-architecture"),
        (file().without("general.architecture"), "metadata-missing"),
        (file().u32("general.architecture", 1), "metadata-type"),
        (file().without("llama.block_count"), "metadata-missing"),
        (file().u32("llama.block_count", 0), "metadata-value"),
        (file().u32("llama.block_count", u32::MAX), "too-large"),
        (file().u32("llama.block_count", 3), "tensor-missing"),
        (file().u32("llama.block_count", 1), "tensor-unexpected"),
        (file().u32("llama.embedding_length", 40), "tensor-shape"),
        (file().u32("llama.embedding_length", 30), "metadata-value"),
        (file().u32("llama.attention.head_count_kv", 3), "metadata-value"),
        (file().u32("llama.attention.key_length", 7), "metadata-value"),
        (file().u32("llama.rope.dimension_count", 10), "metadata-value"),
        (file().u32("llama.rope.dimension_count", 3), "metadata-value"),
        (file().f32("llama.rope.freq_base", f32::NAN), "metadata-value"),
        (file().f32("llama.rope.freq_base", -1.0), "metadata-value"),
        (file().f32("llama.attention.layer_norm_rms_epsilon", f32::INFINITY), "metadata-value"),
        (file().string("llama.rope.scaling.type", "yarn"), "unsupported-feature"),
        (file().u32("llama.expert_count", 8), "unsupported-feature"),
        (file().without_tensor("output_norm.weight"), "tensor-missing"),
        (wrong(&[32, 31]), "tensor-shape"),
        (wrong(&[32, 32, 1]), "tensor-shape"),
        (file().tensor("extra.weight", &[32], 0, vec![0; 128]), "tensor-unexpected"),
        (file().tensor("output_norm.weight", &[256], 16, vec![0; 66]), "unsupported-quantization"),
        (file().tensor("output_norm.weight", &[32], 0, nan), "weights"),
        (file().string("tokenizer.chat_template", "{% for x in %}"), "chat-template"),
        (file().u32("tokenizer.chat_template", 1), "metadata-type"),
        (file().strings("tokenizer.ggml.merges", &["zz zz"]), "tokenizer"),
    ];
    for (index, (writer, expected)) in table.into_iter().enumerate() {
        assert_eq!(code(writer), Some(expected), "row {index}");
    }
    assert_eq!(code(file().without_tensor("output.weight")), None, "tied weights");
}

#[test]
fn truncated_and_foreign_files() {
    let bytes = tiny_file().build();
    for length in [0, 3, 4, 23, 200, bytes.len() / 2, bytes.len() - 200] {
        let error = Model::from_bytes(&bytes[..length], &LoadOptions::default()).unwrap_err();
        assert!(["truncated", "not-gguf"].contains(&error.code()), "{length}: {error}");
    }
    let error = Model::from_bytes(b"PK\x03\x04 a zip file", &LoadOptions::default()).unwrap_err();
    assert_eq!(error.code(), "not-gguf");
    let error = Model::load("/nonexistent/model.gguf", &LoadOptions::default(), &mut |_| {}).unwrap_err();
    assert_eq!(error.code(), "open");
}

#[test]
fn changed_header_bytes_never_panic() {
    let bytes = tiny_file().build();
    for position in (0..bytes.len().min(12_000)).step_by(7) {
        let mut changed = bytes.clone();
        changed[position] ^= 0x80;
        let _ = Model::from_bytes(&changed, &LoadOptions::default());
    }
}
