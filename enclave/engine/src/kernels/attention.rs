//! Keys and values in blocks of sixteen positions, and attention over them.
//!
//! Within a block, a head's keys lie dimension by dimension, sixteen positions side by side, and its
//! values position by position. For each query head, in this order: the score of a position is four sums
//! by fused multiply-add, of the dimensions that leave 0, 1, 2 and 3 when divided by 4, then
//! (first + second) + (third + fourth); weights are `e^(score - greatest)`; their sum is taken over
//! sixteen lanes, a position's lane being its place in its block, then by halves; each dimension of the
//! result is summed over visible positions in ascending order, and divided by the weights' sum.

use half::f16;

use super::LANES;
use super::float::weigh_generic;
use super::simd::{Simd, dispatched};

/// Positions in a block: one lane each.
pub(crate) const POSITIONS_PER_BLOCK: usize = LANES;

/// The dimensions of a model's keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    /// Key-value heads.
    pub(crate) heads: usize,
    /// A head's width.
    pub(crate) width: usize,
    /// Whether to keep `f32`; otherwise half precision, rounded to nearest, ties to even.
    pub(crate) full_precision: bool,
}

impl KvShape {
    fn padded(self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Elements of a head's keys in a block; its values take as many.
    fn head_elements(self) -> usize {
        POSITIONS_PER_BLOCK * self.padded()
    }

    fn block_elements(self) -> usize {
        2 * self.head_elements() * self.heads * self.layers
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> usize {
        self.block_elements() * if self.full_precision { 4 } else { 2 }
    }
}

/// Sixteen positions' keys and values, for all layers and heads.
pub(crate) struct KvBlock {
    shape: KvShape,
    elements: Elements,
}

enum Elements {
    Half(Vec<u16>),
    Full(Vec<f32>),
}

impl KvBlock {
    /// A block of zeros; `None` without memory.
    pub(crate) fn new(shape: KvShape) -> Option<Self> {
        fn zeros<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
            let mut values = Vec::new();
            values.try_reserve_exact(count).ok()?;
            values.resize(count, T::default());
            Some(values)
        }
        let count = shape.block_elements();
        let elements =
            if shape.full_precision { Elements::Full(zeros(count)?) } else { Elements::Half(zeros(count)?) };
        Some(Self { shape, elements })
    }

    /// Forgets what it holds.
    pub(crate) fn clear(&mut self) {
        match &mut self.elements {
            Elements::Half(values) => values.fill(0),
            Elements::Full(values) => values.fill(0.0),
        }
    }

    /// Stores one position's key and value of one head.
    pub(crate) fn store(&mut self, layer: usize, head: usize, position: usize, key: &[f32], value: &[f32]) {
        let (count, padded) = (self.shape.head_elements(), self.shape.padded());
        let start = (layer * self.shape.heads + head) * 2 * count;
        match &mut self.elements {
            Elements::Half(to) => store(&mut to[start..][..2 * count], padded, position, key, value),
            Elements::Full(to) => store(&mut to[start..][..2 * count], padded, position, key, value),
        }
    }
}

fn store<E: Element>(to: &mut [E], padded: usize, position: usize, key: &[f32], value: &[f32]) {
    let (keys, values) = to.split_at_mut(POSITIONS_PER_BLOCK * padded);
    for (row, key) in keys.as_chunks_mut::<LANES>().0.iter_mut().zip(key) {
        row[position] = E::from_f32(*key);
    }
    for (to, value) in values[position * padded..].iter_mut().zip(value) {
        *to = E::from_f32(*value);
    }
}

/// How keys and values are kept.
trait Element: Copy + 'static {
    fn from_f32(value: f32) -> Self;
    fn load<S: Simd>(simd: S, values: &[Self; LANES], part: usize) -> S::F;
}

impl Element for u16 {
    fn from_f32(value: f32) -> Self {
        f16::from_f32_const(value).to_bits()
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[Self; LANES], part: usize) -> S::F {
        simd.load_halves(values, part)
    }
}

impl Element for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[Self; LANES], part: usize) -> S::F {
        simd.load(values, part)
    }
}

/// What the query heads of one key-value head see.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// The sequence's blocks, from position 0 on.
    pub(crate) blocks: &'a [KvBlock],
    pub(crate) layer: usize,
    /// The key-value head.
    pub(crate) head: usize,
    /// The first visible position.
    pub(crate) first: usize,
    /// The last visible position: the query's own.
    pub(crate) last: usize,
}

dispatched! {
    /// Attention of the queries (scaled, a row of the head's width for each query head) to what they
    /// see; the results go to `output`, as wide.
    pub(crate) fn attend(level, heads: Heads<'_>, queries: &[f32], output: &mut [f32]) = attend_generic
}

#[inline(always)]
fn attend_generic<S: Simd>(simd: S, heads: Heads<'_>, queries: &[f32], output: &mut [f32]) {
    let Some(block) = heads.blocks.first() else { return };
    match &block.elements {
        Elements::Half(_) => {
            attend_in::<S, u16>(simd, heads, block.shape, queries, output, |block| match &block.elements {
                Elements::Half(values) => values,
                Elements::Full(_) => &[],
            })
        }
        Elements::Full(_) => {
            attend_in::<S, f32>(simd, heads, block.shape, queries, output, |block| match &block.elements {
                Elements::Full(values) => values,
                Elements::Half(_) => &[],
            })
        }
    }
}

#[inline(always)]
fn attend_in<S: Simd, E: Element>(
    simd: S,
    heads: Heads<'_>,
    shape: KvShape,
    queries: &[f32],
    output: &mut [f32],
    elements: impl Fn(&KvBlock) -> &[E],
) {
    let (width, padded, count) = (shape.width, shape.padded(), shape.head_elements());
    let sharing = queries.len() / width;
    let start = (heads.layer * shape.heads + heads.head) * 2 * count;
    let first_block = heads.first / POSITIONS_PER_BLOCK;
    let blocks = &heads.blocks[first_block..=heads.last / POSITIONS_PER_BLOCK];
    let positions = blocks.len() * POSITIONS_PER_BLOCK;

    let mut padded_queries = vec![0.0; sharing * padded];
    for (to, from) in padded_queries.chunks_mut(padded).zip(queries.chunks(width)) {
        to[..width].copy_from_slice(from);
    }
    let mut scores = vec![0.0; sharing * positions];
    for (at, block) in blocks.iter().enumerate() {
        let keys = elements(block)[start..][..count].as_chunks::<LANES>().0;
        let mut head = 0;
        while head < sharing {
            if sharing - head >= 4 {
                score::<S, E, 4>(simd, keys, &padded_queries, &mut scores, (head, at, positions));
                head += 4;
            } else {
                score::<S, E, 1>(simd, keys, &padded_queries, &mut scores, (head, at, positions));
                head += 1;
            }
        }
    }
    let before = heads.first - first_block * POSITIONS_PER_BLOCK;
    let visible = heads.last + 1 - first_block * POSITIONS_PER_BLOCK;
    let mut totals = vec![0.0; sharing];
    for (scores, total) in scores.chunks_mut(positions).zip(&mut totals) {
        scores[..before].fill(f32::NEG_INFINITY);
        scores[visible..].fill(f32::NEG_INFINITY);
        weigh_generic(simd, scores, total);
    }
    let mut mixed = vec![0.0; sharing * padded];
    let values = Values { blocks, start: start + count, padded, before, visible };
    let mut head = 0;
    while head < sharing {
        if sharing - head >= 4 {
            mix::<S, E, 4>(simd, &values, &elements, &scores, &mut mixed, (head, positions));
            head += 4;
        } else {
            mix::<S, E, 1>(simd, &values, &elements, &scores, &mut mixed, (head, positions));
            head += 1;
        }
    }
    for ((to, from), total) in output.chunks_mut(width).zip(mixed.chunks(padded)).zip(&totals) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from / total;
        }
    }
}

/// The scores of `H` query heads from `head` on against block `at`.
#[inline(always)]
fn score<S: Simd, E: Element, const H: usize>(
    simd: S,
    keys: &[[E; LANES]],
    queries: &[f32],
    scores: &mut [f32],
    (head, at, positions): (usize, usize, usize),
) {
    let padded = keys.len();
    let queries: [&[[f32; 4]]; H] =
        std::array::from_fn(|index| queries[(head + index) * padded..][..padded].as_chunks::<4>().0);
    for lanes in 0..S::PARTS {
        let mut sums = [[simd.splat(0.0); 4]; H];
        for (four, keys) in keys.as_chunks::<4>().0.iter().enumerate() {
            for part in 0..4 {
                let key = E::load(simd, &keys[part], lanes);
                for index in 0..H {
                    let query = simd.splat(queries[index][four][part]);
                    sums[index][part] = simd.fma(query, key, sums[index][part]);
                }
            }
        }
        for (index, [a, b, c, d]) in sums.into_iter().enumerate() {
            let score = simd.add(simd.add(a, b), simd.add(c, d));
            let to = &mut scores[(head + index) * positions..][..positions];
            simd.store(score, &mut to.as_chunks_mut().0[at], lanes);
        }
    }
}

/// Where values lie, and which are visible.
struct Values<'a> {
    blocks: &'a [KvBlock],
    start: usize,
    padded: usize,
    before: usize,
    visible: usize,
}

/// The weighted sums of `H` query heads from `head` on.
#[inline(always)]
fn mix<S: Simd, E: Element, const H: usize>(
    simd: S,
    values: &Values<'_>,
    elements: &impl Fn(&KvBlock) -> &[E],
    weights: &[f32],
    mixed: &mut [f32],
    (head, positions): (usize, usize),
) {
    let weights: [&[f32]; H] =
        std::array::from_fn(|index| &weights[(head + index) * positions..][..positions]);
    // A strip is a register's width of dimensions.
    let strips = values.padded / LANES * S::PARTS;
    let mut strip = 0;
    while strip < strips {
        // Four sums at a time at least: one alone would wait for itself.
        if H == 1 && strips - strip >= 4 {
            mix_strips::<S, E, H, 4>(simd, values, elements, &weights, mixed, (head, strip));
            strip += 4;
        } else if H <= 2 && strips - strip >= 2 {
            mix_strips::<S, E, H, 2>(simd, values, elements, &weights, mixed, (head, strip));
            strip += 2;
        } else {
            mix_strips::<S, E, H, 1>(simd, values, elements, &weights, mixed, (head, strip));
            strip += 1;
        }
    }
}

#[inline(always)]
fn mix_strips<S: Simd, E: Element, const H: usize, const P: usize>(
    simd: S,
    values: &Values<'_>,
    elements: &impl Fn(&KvBlock) -> &[E],
    weights: &[&[f32]; H],
    mixed: &mut [f32],
    (head, strip): (usize, usize),
) {
    let (padded, count) = (values.padded, POSITIONS_PER_BLOCK * values.padded);
    let mut sums = [[simd.splat(0.0); P]; H];
    for (at, block) in values.blocks.iter().enumerate() {
        let rows = &elements(block)[values.start..][..count];
        let from = values.before.saturating_sub(at * POSITIONS_PER_BLOCK);
        let to = (values.visible - at * POSITIONS_PER_BLOCK).min(POSITIONS_PER_BLOCK);
        for position in from.min(to)..to {
            let row = rows[position * padded..][..padded].as_chunks::<LANES>().0;
            for part in 0..P {
                let (panel, lanes) = ((strip + part) / S::PARTS, (strip + part) % S::PARTS);
                let value = E::load(simd, &row[panel], lanes);
                for index in 0..H {
                    let weight = simd.splat(weights[index][at * POSITIONS_PER_BLOCK + position]);
                    sums[index][part] = simd.fma(weight, value, sums[index][part]);
                }
            }
        }
    }
    for (index, sums) in sums.into_iter().enumerate() {
        let to = &mut mixed[(head + index) * padded..][..padded];
        for (part, sum) in sums.into_iter().enumerate() {
            let (panel, lanes) = ((strip + part) / S::PARTS, (strip + part) % S::PARTS);
            simd.store(sum, &mut to.as_chunks_mut().0[panel], lanes);
        }
    }
}
