//! GGUF files of random weights in the shape of real models.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// The dimensions of a Llama.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    layers: u32,
    width: u32,
    feed: u32,
    heads: u32,
    heads_kv: u32,
    vocabulary: u32,
}

impl Shape {
    /// TinyLlama's: 1.1 billion weights.
    pub(crate) const ONE_BILLION: Self =
        Self { name: "1b", layers: 22, width: 2048, feed: 5632, heads: 32, heads_kv: 4, vocabulary: 32_000 };
    /// 60 million weights.
    pub(crate) const SMALL: Self =
        Self { name: "small", layers: 8, width: 512, feed: 1536, heads: 8, heads_kv: 2, vocabulary: 32_000 };
}

/// Which storage types a file has.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Storage {
    /// llama.cpp's mixture of Q4_K and Q6_K.
    Q4KM,
    Q8_0,
}

impl Storage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Q4KM => "q4_k_m",
            Self::Q8_0 => "q8_0",
        }
    }
}

/// The end-of-text token.
pub(crate) const END: u32 = 2;

#[derive(Clone, Copy)]
enum Kind {
    F32 = 0,
    Q8_0 = 8,
    Q4K = 12,
    Q6K = 14,
}

impl Kind {
    fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::F32 => elements * 4,
            Self::Q8_0 => elements / 32 * 34,
            Self::Q4K => elements / 256 * 144,
            Self::Q6K => elements / 256 * 210,
        }
    }
}

struct Tensor {
    name: String,
    /// Innermost first.
    dimensions: Vec<u64>,
    kind: Kind,
}

impl Tensor {
    fn bytes(&self) -> u64 {
        self.kind.bytes(self.dimensions.iter().product())
    }
}

fn tensors(shape: &Shape, storage: Storage) -> Vec<Tensor> {
    let (four, six) = match storage {
        Storage::Q4KM => (Kind::Q4K, Kind::Q6K),
        Storage::Q8_0 => (Kind::Q8_0, Kind::Q8_0),
    };
    let (width, feed, vocabulary) = (shape.width.into(), shape.feed.into(), shape.vocabulary.into());
    let keys = u64::from(shape.width / shape.heads * shape.heads_kv);
    let tensor =
        |name: String, dimensions: &[u64], kind| Tensor { name, dimensions: dimensions.to_vec(), kind };
    let mut all = vec![
        tensor("token_embd.weight".into(), &[width, vocabulary], four),
        tensor("output_norm.weight".into(), &[width], Kind::F32),
        tensor("output.weight".into(), &[width, vocabulary], six),
    ];
    for layer in 0..shape.layers {
        // llama.cpp's `use_more_bits`
        let eighth = shape.layers / 8;
        let more = layer < eighth || layer >= 7 * shape.layers / 8 || (layer - eighth) % 3 == 2;
        let mixed = if more { six } else { four };
        let mut add = |name: &str, dimensions: &[u64], kind| {
            all.push(tensor(format!("blk.{layer}.{name}.weight"), dimensions, kind));
        };
        add("attn_norm", &[width], Kind::F32);
        add("attn_q", &[width, width], four);
        add("attn_k", &[width, keys], four);
        add("attn_v", &[width, keys], mixed);
        add("attn_output", &[width, width], four);
        add("ffn_norm", &[width], Kind::F32);
        add("ffn_gate", &[width, feed], four);
        add("ffn_up", &[width, feed], four);
        add("ffn_down", &[feed, width], mixed);
    }
    all
}

/// Writes the file; the weights are the same each time.
pub(crate) fn write(path: &Path, shape: &Shape, storage: Storage) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let tensors = tensors(shape, storage);
    let header = header(shape, &tensors);
    out.write_all(&header)?;
    out.write_all(&vec![0; header.len().next_multiple_of(32) - header.len()])?;
    let mut random = Random(1);
    for tensor in &tensors {
        write_data(&mut out, tensor, &mut random)?;
    }
    out.flush()?;
    std::fs::rename(unfinished, path)
}

fn header(shape: &Shape, tensors: &[Tensor]) -> Vec<u8> {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut entry = |key: &str, kind: u32, value: Vec<u8>| {
        entries.push([text(key), kind.to_le_bytes().to_vec(), value].concat());
    };
    entry("general.architecture", 8, text("llama"));
    entry("general.name", 8, text("random weights"));
    for (key, value) in [
        ("llama.context_length", 2048),
        ("llama.embedding_length", shape.width),
        ("llama.block_count", shape.layers),
        ("llama.feed_forward_length", shape.feed),
        ("llama.attention.head_count", shape.heads),
        ("llama.attention.head_count_kv", shape.heads_kv),
        ("llama.rope.dimension_count", shape.width / shape.heads),
        ("llama.vocab_size", shape.vocabulary),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.eos_token_id", END),
        ("tokenizer.ggml.unknown_token_id", 0),
    ] {
        entry(key, 4, value.to_le_bytes().to_vec());
    }
    entry("llama.attention.layer_norm_rms_epsilon", 6, 1e-5_f32.to_le_bytes().to_vec());
    entry("tokenizer.ggml.model", 8, text("llama"));
    let tokens: Vec<(String, i32)> = [("<unk>".to_owned(), 2), ("<s>".to_owned(), 3), ("</s>".to_owned(), 3)]
        .into_iter()
        .chain((0..256).map(|byte| (format!("<0x{byte:02X}>"), 6)))
        .chain((259..shape.vocabulary).map(|number| (format!("t{number}"), 1)))
        .collect();
    let array = |kind: u32, items: Vec<Vec<u8>>| {
        [kind.to_le_bytes().to_vec(), (items.len() as u64).to_le_bytes().to_vec(), items.concat()].concat()
    };
    entry("tokenizer.ggml.tokens", 9, array(8, tokens.iter().map(|(token, _)| text(token)).collect()));
    entry("tokenizer.ggml.scores", 9, array(6, tokens.iter().map(|_| vec![0; 4]).collect()));
    let kinds = tokens.iter().map(|(_, kind)| kind.to_le_bytes().to_vec()).collect();
    entry("tokenizer.ggml.token_type", 9, array(5, kinds));

    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    out.extend(entries.concat());
    let mut offset = 0_u64;
    for tensor in tensors {
        out.extend(text(&tensor.name));
        out.extend((tensor.dimensions.len() as u32).to_le_bytes());
        tensor.dimensions.iter().for_each(|dimension| out.extend(dimension.to_le_bytes()));
        out.extend((tensor.kind as u32).to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += tensor.bytes().next_multiple_of(32);
    }
    out
}

fn text(text: &str) -> Vec<u8> {
    [(text.len() as u64).to_le_bytes().to_vec(), text.as_bytes().to_vec()].concat()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }
}

/// Random bits, with scales that keep a layer's output about as large as its input.
fn write_data(out: &mut impl Write, tensor: &Tensor, random: &mut Random) -> Result<()> {
    let half = |value: f32| half::f16::from_f32(value / (tensor.dimensions[0] as f32).sqrt()).to_le_bytes();
    let block_bytes = tensor.kind.bytes(if matches!(tensor.kind, Kind::Q8_0) { 32 } else { 256 });
    let mut block = vec![0; block_bytes as usize];
    let bytes = tensor.bytes();
    if matches!(tensor.kind, Kind::F32) {
        for _ in 0..bytes / 4 {
            out.write_all(&1_f32.to_le_bytes())?;
        }
    } else {
        for _ in 0..bytes / block_bytes {
            for piece in block.chunks_mut(8) {
                let length = piece.len();
                piece.copy_from_slice(&random.next().to_le_bytes()[..length]);
            }
            match tensor.kind {
                // Bytes deviate by 74; nibbles by 4.6 around 7.5, times scales around 32.
                Kind::Q8_0 => block[..2].copy_from_slice(&half(1.0 / 74.0)),
                Kind::Q4K => {
                    block[..2].copy_from_slice(&half(1.0 / 150.0));
                    block[2..4].copy_from_slice(&half(7.5 / 150.0));
                }
                // Six bits deviate by 18, times scales that deviate by 9.
                Kind::Q6K => {
                    block[192..208].iter_mut().for_each(|scale| *scale = (*scale & 31).wrapping_sub(16));
                    block[208..].copy_from_slice(&half(1.0 / 160.0));
                }
                Kind::F32 => {}
            }
            out.write_all(&block)?;
        }
    }
    out.write_all(&vec![0; (bytes.next_multiple_of(32) - bytes) as usize])
}
