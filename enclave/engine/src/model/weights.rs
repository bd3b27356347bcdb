//! Which tensors an architecture has, and their way from the file into place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::config::{Config, Experts, Family};
use super::matrix::{matrix, vector};
use crate::LoadError;
use crate::gguf::TensorInfo;
use crate::kernels::{Matrix, Pool};

/// A transformer's weights.
pub(crate) struct Weights {
    pub(crate) embedding: Arc<Matrix>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: Vec<f32>,
    /// The embedding itself in models with tied weights.
    pub(crate) output: Arc<Matrix>,
    /// What each rotary frequency is divided by (Llama 3.1 and later).
    pub(crate) rope_factors: Option<Vec<f32>>,
}

/// One layer's weights.
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) query_norm: Option<Vec<f32>>,
    pub(crate) key_norm: Option<Vec<f32>>,
    pub(crate) attention_output: Linear,
    pub(crate) attention_post_norm: Option<Vec<f32>>,
    pub(crate) feed_norm: Vec<f32>,
    pub(crate) feed: Feed,
    pub(crate) feed_post_norm: Option<Vec<f32>>,
}

/// A feed-forward part.
pub(crate) enum Feed {
    Dense(Gated),
    Experts {
        /// A row for each expert.
        router: Matrix,
        experts: Vec<Gated>,
    },
}

/// A gated feed-forward part's matrices.
pub(crate) struct Gated {
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

impl Gated {
    fn matrices(&self) -> [&Matrix; 3] {
        [&self.gate, &self.up, &self.down]
    }
}

impl Feed {
    fn matrices(&self) -> Vec<&Matrix> {
        match self {
            Self::Dense(gated) => gated.matrices().to_vec(),
            Self::Experts { router, experts } => {
                [router].into_iter().chain(experts.iter().flat_map(Gated::matrices)).collect()
            }
        }
    }
}

/// A matrix and perhaps a bias.
pub(crate) struct Linear {
    pub(crate) weight: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
}

/// How a tensor is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Matrix,
    Vector,
}

/// What the architecture expects of the file.
struct Plan(BTreeMap<String, Expected>);

struct Expected {
    shape: Vec<usize>,
    usage: Use,
    optional: bool,
}

impl Plan {
    fn of(config: &Config, vocabulary: usize) -> Self {
        let mut plan = Self(BTreeMap::new());
        let (width, feed) = (config.width, config.feed_forward);
        let (query, key) = (config.query_width(), config.key_width());
        plan.add("token_embd.weight", &[vocabulary, width], Use::Matrix, false);
        plan.add("output_norm.weight", &[width], Use::Vector, false);
        plan.add("output.weight", &[vocabulary, width], Use::Matrix, true);
        if config.family == Family::Llama {
            plan.add("rope_freqs.weight", &[config.head_width.div_euclid(2)], Use::Vector, true);
        }
        if config.family == Family::Phi3 {
            let factors = [config.rotary_width.div_euclid(2)];
            plan.add(LONG_FACTORS, &factors, Use::Vector, true);
            plan.add(SHORT_FACTORS, &factors, Use::Vector, true);
        }
        for index in 0..config.layers {
            let mut layer = |name: &str, shape: &[usize], usage, optional| {
                plan.add(&layer_name(index, name), shape, usage, optional);
            };
            layer("attn_norm.weight", &[width], Use::Vector, false);
            if config.family.has_joint_matrices() {
                let joint = query.saturating_add(key.saturating_mul(2));
                layer("attn_qkv.weight", &[joint, width], Use::Matrix, false);
                layer("ffn_up.weight", &[feed.saturating_mul(2), width], Use::Matrix, false);
                layer("ffn_down.weight", &[width, feed], Use::Matrix, false);
            } else {
                layer("attn_q.weight", &[query, width], Use::Matrix, false);
                layer("attn_k.weight", &[key, width], Use::Matrix, false);
                layer("attn_v.weight", &[key, width], Use::Matrix, false);
                if let Some(Experts { count, .. }) = config.experts {
                    layer("ffn_gate_inp.weight", &[count, width], Use::Matrix, false);
                    layer("ffn_gate_exps.weight", &[count, feed, width], Use::Matrix, false);
                    layer("ffn_up_exps.weight", &[count, feed, width], Use::Matrix, false);
                    layer("ffn_down_exps.weight", &[count, width, feed], Use::Matrix, false);
                } else {
                    layer("ffn_gate.weight", &[feed, width], Use::Matrix, false);
                    layer("ffn_up.weight", &[feed, width], Use::Matrix, false);
                    layer("ffn_down.weight", &[width, feed], Use::Matrix, false);
                }
            }
            layer("attn_output.weight", &[width, query], Use::Matrix, false);
            layer("ffn_norm.weight", &[width], Use::Vector, false);
            if matches!(config.family, Family::Llama | Family::Qwen2) {
                let optional = config.family == Family::Llama;
                layer("attn_q.bias", &[query], Use::Vector, optional);
                layer("attn_k.bias", &[key], Use::Vector, optional);
                layer("attn_v.bias", &[key], Use::Vector, optional);
                layer("attn_output.bias", &[width], Use::Vector, true);
            }
            if config.family.has_query_key_norms() {
                layer("attn_q_norm.weight", &[config.head_width], Use::Vector, false);
                layer("attn_k_norm.weight", &[config.head_width], Use::Vector, false);
            }
            if config.family.has_post_norms() {
                layer("post_attention_norm.weight", &[width], Use::Vector, false);
                layer("post_ffw_norm.weight", &[width], Use::Vector, false);
            }
        }
        plan
    }

    fn add(&mut self, name: &str, shape: &[usize], usage: Use, optional: bool) {
        self.0.insert(name.to_owned(), Expected { shape: shape.to_vec(), usage, optional });
    }

    /// What a tensor is for. One expert of several has its number in place of `weight`.
    fn usage(&self, name: &str) -> Option<Use> {
        let together = name.rsplit_once('.').map(|(part, _)| format!("{part}.weight"));
        let expected = self.0.get(name).or_else(|| {
            let together = self.0.get(&together?)?;
            (together.shape.len() == 3).then_some(together)
        });
        expected.map(|expected| expected.usage)
    }

    fn check(&self, tensors: &[TensorInfo]) -> Result<(), LoadError> {
        let found: BTreeMap<&str, &TensorInfo> =
            tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        for (name, expected) in &self.0 {
            match found.get(name.as_str()) {
                Some(tensor) if tensor.shape == expected.shape => {}
                Some(tensor) => {
                    return Err(LoadError::TensorShape {
                        name: name.clone(),
                        expected: expected.shape.clone(),
                        found: tensor.shape.clone(),
                    });
                }
                None if expected.optional => {}
                None => return Err(LoadError::TensorMissing { name: name.clone() }),
            }
        }
        match tensors.iter().find(|tensor| !self.0.contains_key(&tensor.name)) {
            Some(tensor) => Err(LoadError::TensorUnexpected { name: tensor.name.clone() }),
            None => Ok(()),
        }
    }
}

/// Checks the directory against what the architecture has, before any data is read.
pub(crate) fn check_directory(
    config: &Config,
    vocabulary: usize,
    tensors: &[TensorInfo],
) -> Result<(), LoadError> {
    Plan::of(config, vocabulary).check(tensors)
}

/// Weights on the way from the file into their places.
pub(crate) struct Loading<'a> {
    pool: &'a Pool,
    config: &'a Config,
    plan: Plan,
    /// Whether all are to be in `f32`.
    expand: bool,
    loaded: Loaded,
}

impl<'a> Loading<'a> {
    pub(crate) fn new(pool: &'a Pool, config: &'a Config, vocabulary: usize, expand: bool) -> Self {
        Self { pool, config, plan: Plan::of(config, vocabulary), expand, loaded: Loaded::default() }
    }

    /// Packs a tensor.
    pub(crate) fn put(&mut self, info: TensorInfo, bytes: &[u8]) -> Result<(), LoadError> {
        match self.plan.usage(&info.name) {
            Some(Use::Matrix) => {
                let _session = self.pool.session();
                for (name, rows) in parts(self.config, &info) {
                    let matrix = matrix(self.pool, &info, rows, bytes, self.expand)?;
                    self.loaded.matrices.insert(name, matrix);
                }
            }
            Some(Use::Vector) => {
                let values = vector(&info, bytes)?;
                self.loaded.vectors.insert(info.name, values);
            }
            None => return Err(LoadError::TensorUnexpected { name: info.name }),
        }
        Ok(())
    }

    /// All of them in their places.
    pub(crate) fn finish(self) -> Result<Weights, LoadError> {
        self.loaded.assemble(self.config)
    }
}

/// The matrices that a tensor holds, by the names that they have where each is a tensor of its own.
fn parts(config: &Config, info: &TensorInfo) -> Vec<(String, Range<usize>)> {
    if let [experts, rows, _] = *info.shape.as_slice() {
        let name = info.name.strip_suffix(".weight").unwrap_or(&info.name);
        let of = |expert: usize| {
            let start = expert.saturating_mul(rows);
            (format!("{name}.{expert}"), start..start.saturating_add(rows))
        };
        return (0..experts).map(of).collect();
    }
    let (query, key, feed) = (config.query_width(), config.key_width(), config.feed_forward);
    let parts: &[(&str, usize)] = match info.name.rsplit_once('.').map(|(name, _)| name) {
        Some(name) if name.ends_with(".attn_qkv") => &[("attn_q", query), ("attn_k", key), ("attn_v", key)],
        Some(name) if config.family.has_joint_matrices() && name.ends_with(".ffn_up") => {
            &[("ffn_gate", feed), ("ffn_up", feed)]
        }
        _ => return vec![(info.name.clone(), 0..info.shape.first().copied().unwrap_or(0))],
    };
    let prefix = info.name.rsplitn(3, '.').last().unwrap_or_default();
    let mut start: usize = 0;
    let part = |(name, rows): &(&str, usize)| {
        let range = start..start.saturating_add(*rows);
        start = range.end;
        (format!("{prefix}.{name}.weight"), range)
    };
    parts.iter().map(part).collect()
}

impl Weights {
    /// Every matrix once.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let output = (!Arc::ptr_eq(&self.embedding, &self.output)).then_some(&*self.output);
        let layers = self.layers.iter().flat_map(|layer| {
            let linears = [&layer.query, &layer.key, &layer.value, &layer.attention_output];
            linears.map(|linear| &linear.weight).into_iter().chain(layer.feed.matrices())
        });
        [&*self.embedding].into_iter().chain(output).chain(layers)
    }
}

#[derive(Default)]
struct Loaded {
    matrices: BTreeMap<String, Matrix>,
    vectors: BTreeMap<String, Vec<f32>>,
}

impl Loaded {
    fn assemble(mut self, config: &Config) -> Result<Weights, LoadError> {
        let embedding = Arc::new(self.matrix("token_embd.weight")?);
        // Models with tied weights have no output matrix of their own.
        let output = self.matrices.remove("output.weight").map_or_else(|| Arc::clone(&embedding), Arc::new);
        let output_norm = self.vector("output_norm.weight")?;
        let rope_factors = self.rope_factors(config)?;
        let mut layers = Vec::new();
        for index in 0..config.layers {
            layers.push(self.layer(index, config)?);
        }
        Ok(Weights { embedding, layers, output_norm, output, rope_factors })
    }

    fn layer(&mut self, index: usize, config: &Config) -> Result<Layer, LoadError> {
        let name = |name: &str| layer_name(index, name);
        let feed = match config.experts {
            Some(Experts { count, .. }) => Feed::Experts {
                router: self.matrix(&name("ffn_gate_inp.weight"))?,
                experts: (0..count)
                    .map(|expert| self.gated(|part| name(&format!("ffn_{part}_exps.{expert}"))))
                    .collect::<Result<_, _>>()?,
            },
            None => Feed::Dense(self.gated(|part| name(&format!("ffn_{part}.weight")))?),
        };
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm.weight"))?,
            query: self.linear(&name("attn_q"))?,
            key: self.linear(&name("attn_k"))?,
            value: self.linear(&name("attn_v"))?,
            query_norm: self.vectors.remove(&name("attn_q_norm.weight")),
            key_norm: self.vectors.remove(&name("attn_k_norm.weight")),
            attention_output: self.linear(&name("attn_output"))?,
            attention_post_norm: self.vectors.remove(&name("post_attention_norm.weight")),
            feed_norm: self.vector(&name("ffn_norm.weight"))?,
            feed,
            feed_post_norm: self.vectors.remove(&name("post_ffw_norm.weight")),
        })
    }

    fn gated(&mut self, name: impl Fn(&str) -> String) -> Result<Gated, LoadError> {
        Ok(Gated {
            gate: self.matrix(&name("gate"))?,
            up: self.matrix(&name("up"))?,
            down: self.matrix(&name("down"))?,
        })
    }

    fn linear(&mut self, name: &str) -> Result<Linear, LoadError> {
        let weight = self.matrix(&format!("{name}.weight"))?;
        Ok(Linear { weight, bias: self.vectors.remove(&format!("{name}.bias")) })
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix, LoadError> {
        self.matrices.remove(name).ok_or_else(|| LoadError::TensorMissing { name: name.to_owned() })
    }

    fn vector(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        self.vectors.remove(name).ok_or_else(|| LoadError::TensorMissing { name: name.to_owned() })
    }

    fn rope_factors(&mut self, config: &Config) -> Result<Option<Vec<f32>>, LoadError> {
        let context = usize::try_from(config.context_length).unwrap_or(usize::MAX);
        // Where there are two sets, the length of the context decides, as in llama.cpp.
        let name = match config.family {
            Family::Phi3 if config.context_trained.is_some_and(|trained| context > trained) => LONG_FACTORS,
            Family::Phi3 => SHORT_FACTORS,
            _ => "rope_freqs.weight",
        };
        let problem = |problem: String| LoadError::Tensor { name: name.to_owned(), problem };
        let Some(factors) = self.vectors.remove(name) else { return Ok(None) };
        match factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
            Some(factor) => Err(problem(format!("{factor} is not a factor"))),
            None => Ok(Some(factors)),
        }
    }
}

const LONG_FACTORS: &str = "rope_factors_long.weight";
const SHORT_FACTORS: &str = "rope_factors_short.weight";

fn layer_name(index: usize, name: &str) -> String {
    format!("blk.{index}.{name}")
}
