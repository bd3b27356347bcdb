//! The transformer's computation, for any number of sequences at once.
//!
//! Every token of a step is a row. Rows meet only in attention, and there only those of one sequence:
//! what else is in the step changes no bit of a row's result, and neither does the number of steps in
//! which a prompt is read (see [`crate::kernels`]).
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "shapes are checked when the model is loaded; a slip panics and ends the request"
)]

mod experts;

use super::cache::KvCache;
use super::config::{Config, Local};
use super::rope::{Angles, Frequencies};
use super::weights::{Feed, Gated, Layer, Linear, Weights};
use crate::ComputeError;
use crate::kernels::{
    self, Gate, Heads, Matrix, Pool, Product, Rows, add, attend, gated, products, rms_norm,
};

/// For which of a sequence's new positions logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    Last,
    All,
}

/// A sequence's part of a step.
pub(crate) struct Slot<'a> {
    /// What to read at the end of the sequence.
    pub(crate) tokens: &'a [u32],
    pub(crate) cache: &'a mut KvCache,
    pub(crate) want: Want,
}

/// A model's configuration and weights.
pub(crate) struct Transformer {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    global: Frequencies,
    local: Option<(Local, Frequencies)>,
}

/// Buffers that are used again from step to step.
#[derive(Default)]
pub(crate) struct Workspace {
    hidden: Rows,
    normed: Rows,
    queries: Rows,
    keys: Rows,
    values: Rows,
    mixed: Rows,
    gate: Rows,
    up: Rows,
    output: Rows,
    router: Rows,
    gathered: Rows,
    expert: Rows,
    logits: Rows,
    global: Angles,
    local: Angles,
    /// Of each row, its slot and its position.
    places: Vec<(usize, usize)>,
}

impl Workspace {
    /// The logits of the last step: a row for each position that was asked for, slot by slot.
    pub(crate) fn logits(&self) -> &Rows {
        &self.logits
    }

    pub(crate) fn logits_mut(&mut self) -> &mut Rows {
        &mut self.logits
    }
}

impl Transformer {
    pub(crate) fn new(config: Config, weights: Weights) -> Self {
        let global = Frequencies::new(&config, config.rope, weights.rope_factors.as_deref());
        let local = config.local.map(|local| (local, Frequencies::new(&config, local.rope, None)));
        Self { config, weights, global, local }
    }

    /// Reads each slot's tokens at the end of its sequence; the logits are then in the workspace. Where
    /// it fails, no sequence has changed.
    pub(crate) fn forward(
        &self,
        pool: &Pool,
        space: &mut Workspace,
        slots: &mut [Slot<'_>],
    ) -> Result<(), ComputeError> {
        self.layers(pool, space, slots)?;
        self.finish(pool, space, slots);
        for slot in slots {
            slot.cache.advance(slot.tokens.len());
        }
        Ok(())
    }

    /// The same up to the output matrix: the normalised states of the positions that are wanted.
    pub(crate) fn states<'s>(
        &self,
        pool: &Pool,
        space: &'s mut Workspace,
        slot: &mut Slot<'_>,
    ) -> Result<&'s Rows, ComputeError> {
        let slots = std::slice::from_mut(slot);
        self.layers(pool, space, slots)?;
        self.last_norm(pool, space, slots);
        slots.iter_mut().for_each(|slot| slot.cache.advance(slot.tokens.len()));
        Ok(&space.normed)
    }

    fn layers(&self, pool: &Pool, space: &mut Workspace, slots: &mut [Slot<'_>]) -> Result<(), ComputeError> {
        self.place(space, slots)?;
        self.embed(pool, space, slots)?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attention(pool, space, slots, (index, layer));
            self.feed_forward(pool, space, layer);
        }
        Ok(())
    }

    /// Makes room in the caches, and notes the rows' places and angles.
    fn place(&self, space: &mut Workspace, slots: &mut [Slot<'_>]) -> Result<(), ComputeError> {
        space.places.clear();
        for (index, slot) in slots.iter_mut().enumerate() {
            slot.cache.make_room(slot.tokens.len())?;
            let start = slot.cache.length();
            space.places.extend((0..slot.tokens.len()).map(|at| (index, start + at)));
        }
        if space.places.is_empty() {
            return Err(ComputeError::new("no tokens to read"));
        }
        let positions = || space.places.iter().map(|(_, position)| *position);
        space.global.set(&self.global, positions(), self.config.rotary_scale);
        if let Some((_, frequencies)) = &self.local {
            space.local.set(frequencies, positions(), 1.0);
        }
        Ok(())
    }

    fn embed(&self, pool: &Pool, space: &mut Workspace, slots: &[Slot<'_>]) -> Result<(), ComputeError> {
        let embedding = &self.weights.embedding;
        let tokens: Vec<usize> = slots
            .iter()
            .flat_map(|slot| slot.tokens)
            .map(|token| usize::try_from(*token).unwrap_or(usize::MAX))
            .collect();
        if tokens.iter().any(|token| *token >= embedding.rows()) {
            return Err(ComputeError::new("a token beyond the vocabulary"));
        }
        let (width, scale) = (self.config.width, self.config.embedding_scale);
        let hidden = space.hidden.reset(tokens.len(), width);
        pool.chunks(hidden, width, |row, values| {
            embedding.row(tokens[row], values);
            if scale != 1.0 {
                values.iter_mut().for_each(|value| *value *= scale);
            }
        });
        Ok(())
    }

    fn attention(
        &self,
        pool: &Pool,
        space: &mut Workspace,
        slots: &mut [Slot<'_>],
        (index, layer): (usize, &Layer),
    ) {
        let config = &self.config;
        let (heads_kv, width, level) = (config.heads_kv, config.head_width, pool.level());
        self.norm(pool, &space.hidden, &layer.attention_norm, &mut space.normed);
        products(
            pool,
            &mut space.normed,
            [
                Product { matrix: &layer.query.weight, output: &mut space.queries },
                Product { matrix: &layer.key.weight, output: &mut space.keys },
                Product { matrix: &layer.value.weight, output: &mut space.values },
            ],
        );
        let local = config.local_at(index);
        let angles = if local.is_some() { &space.local } else { &space.global };
        self.prepare(pool, &layer.query, layer.query_norm.as_deref(), angles, &mut space.queries);
        let scale = config.attention_scale;
        let query_width = space.queries.width();
        pool.chunks(space.queries.values_mut(), query_width, |_, row| {
            row.iter_mut().for_each(|value| *value *= scale);
        });
        self.prepare(pool, &layer.key, layer.key_norm.as_deref(), angles, &mut space.keys);
        bias(pool, &layer.value, &mut space.values);
        for (row, (slot, position)) in space.places.iter().enumerate() {
            let keys = space.keys.row(row).chunks_exact(width);
            let values = space.values.row(row).chunks_exact(width);
            for (head, (key, value)) in keys.zip(values).enumerate() {
                slots[*slot].cache.store(index, head, *position, key, value);
            }
        }

        let (queries, places, slots) = (&space.queries, &space.places, &*slots);
        let mixed = space.mixed.reset(queries.count(), queries.width());
        let sharing = queries.width() / heads_kv;
        pool.chunks(mixed, sharing, |piece, output| {
            let (row, head) = (piece / heads_kv, piece % heads_kv);
            let (slot, last) = places[row];
            let first = local.map_or(0, |local| (last + 1).saturating_sub(local.window));
            let heads = Heads { blocks: slots[slot].cache.blocks(), layer: index, head, first, last };
            attend(level, heads, &queries.row(row)[head * sharing..][..sharing], output);
        });

        self.project(pool, &layer.attention_output.weight, &mut space.mixed, &mut space.output);
        bias(pool, &layer.attention_output, &mut space.output);
        self.join(pool, layer.attention_post_norm.as_deref(), &space.output, &mut space.hidden);
    }

    /// Adds a bias, normalises heads and turns them by the rows' angles.
    fn prepare(&self, pool: &Pool, linear: &Linear, norm: Option<&[f32]>, angles: &Angles, rows: &mut Rows) {
        bias(pool, linear, rows);
        let (config, level) = (&self.config, pool.level());
        let row_width = rows.width();
        pool.chunks(rows.values_mut(), row_width, |row, values| {
            let (cos, sin) = angles.row(row);
            let mut unnormed = vec![0.0; config.head_width];
            for head in values.chunks_exact_mut(config.head_width) {
                if let Some(norm) = norm {
                    unnormed.copy_from_slice(head);
                    rms_norm(level, &unnormed, norm, config.norm_epsilon, head);
                }
                let turned = &mut head[..config.rotary_width];
                if config.family.interleaved_rope() {
                    kernels::rotate_pairs(level, cos, sin, turned);
                } else {
                    kernels::rotate_halves(level, cos, sin, turned);
                }
            }
        });
    }

    fn feed_forward(&self, pool: &Pool, space: &mut Workspace, layer: &Layer) {
        self.norm(pool, &space.hidden, &layer.feed_norm, &mut space.normed);
        match &layer.feed {
            Feed::Dense(part) => {
                let Workspace { normed, gate, up, output, .. } = space;
                self.gated(pool, part, normed, (gate, up), output);
            }
            Feed::Experts { router, experts } => self.experts(pool, space, router, experts),
        }
        self.join(pool, layer.feed_post_norm.as_deref(), &space.output, &mut space.hidden);
    }

    fn gated(
        &self,
        pool: &Pool,
        part: &Gated,
        rows: &mut Rows,
        (gate, up): (&mut Rows, &mut Rows),
        output: &mut Rows,
    ) {
        products(
            pool,
            rows,
            [
                Product { matrix: &part.gate, output: &mut *gate },
                Product { matrix: &part.up, output: &mut *up },
            ],
        );
        let kind = if self.config.family.has_post_norms() { Gate::GeluTanh } else { Gate::Silu };
        let (gate, level, width) = (&*gate, pool.level(), up.width());
        pool.chunks(up.values_mut(), width, |row, values| gated(level, kind, gate.row(row), values));
        self.project(pool, &part.down, up, output);
    }

    fn project(&self, pool: &Pool, matrix: &Matrix, rows: &mut Rows, output: &mut Rows) {
        products(pool, rows, [Product { matrix, output }]);
    }

    /// Adds a part's output, normalised where the architecture has it so, to the hidden state.
    fn join(&self, pool: &Pool, norm: Option<&[f32]>, output: &Rows, hidden: &mut Rows) {
        let (level, width, epsilon) = (pool.level(), hidden.width(), self.config.norm_epsilon);
        pool.chunks(hidden.values_mut(), width, |row, values| match norm {
            Some(norm) => {
                let mut normed = vec![0.0; width];
                rms_norm(level, output.row(row), norm, epsilon, &mut normed);
                add(level, &normed, values);
            }
            None => add(level, output.row(row), values),
        });
    }

    fn norm(&self, pool: &Pool, from: &Rows, weight: &[f32], to: &mut Rows) {
        let (level, width, epsilon) = (pool.level(), from.width(), self.config.norm_epsilon);
        pool.chunks(to.reset(from.count(), width), width, |row, values| {
            rms_norm(level, from.row(row), weight, epsilon, values);
        });
    }

    /// The logits of the positions that are wanted.
    fn finish(&self, pool: &Pool, space: &mut Workspace, slots: &[Slot<'_>]) {
        self.last_norm(pool, space, slots);
        if space.normed.count() == 0 {
            space.logits.reset(0, self.weights.output.rows());
            return;
        }
        self.project(pool, &self.weights.output, &mut space.normed, &mut space.logits);
    }

    /// The last norm of the positions that are wanted.
    fn last_norm(&self, pool: &Pool, space: &mut Workspace, slots: &[Slot<'_>]) {
        let mut wanted = Vec::new();
        let mut end = 0;
        for slot in slots {
            let start = end;
            end += slot.tokens.len();
            match slot.want {
                Want::Nothing => {}
                Want::Last => wanted.push(end - 1),
                Want::All => wanted.extend(start..end),
            }
        }
        let (level, width, epsilon) = (pool.level(), self.config.width, self.config.norm_epsilon);
        let (hidden, norm) = (&space.hidden, &self.weights.output_norm);
        pool.chunks(space.normed.reset(wanted.len(), width), width, |row, values| {
            rms_norm(level, hidden.row(wanted[row]), norm, epsilon, values);
        });
    }
}

fn bias(pool: &Pool, linear: &Linear, rows: &mut Rows) {
    let Some(bias) = &linear.bias else { return };
    let (level, width) = (pool.level(), rows.width());
    pool.chunks(rows.values_mut(), width, |_, values| add(level, bias, values));
}
