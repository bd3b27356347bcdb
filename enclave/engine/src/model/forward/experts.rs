//! A mixture of experts: each token goes through the few that its router scores highest.
//!
//! The scores of the chosen ones become weights by the softmax function; their outputs are added in
//! ascending order of the experts' numbers. Of equal scores the lower number wins. All of it is a row's
//! own affair: what else is in the step changes nothing.

use super::{Transformer, Workspace};
use crate::kernels::{Matrix, Pool, add_scaled, exp};
use crate::model::weights::Gated;

/// One of the experts of one row.
struct Choice {
    expert: usize,
    row: usize,
    weight: f32,
}

impl Transformer {
    /// The feed-forward part's output, from the normalised rows.
    pub(super) fn experts(&self, pool: &Pool, space: &mut Workspace, router: &Matrix, experts: &[Gated]) {
        let Workspace { normed, gate, up, output, router: scores, gathered, expert, .. } = space;
        self.project(pool, router, normed, scores);
        let used = self.config.experts.map_or(0, |experts| experts.used);
        let mut choices = Vec::new();
        for row in 0..normed.count() {
            choose(scores.row(row), used, row, &mut choices);
        }
        choices.sort_by_key(|choice| (choice.expert, choice.row));
        let (level, width) = (pool.level(), normed.width());
        output.reset(normed.count(), width).fill(0.0);
        for together in choices.chunk_by(|a, b| a.expert == b.expert) {
            let to = gathered.reset(together.len(), width);
            for (to, choice) in to.chunks_exact_mut(width).zip(together) {
                to.copy_from_slice(normed.row(choice.row));
            }
            self.gated(pool, &experts[together[0].expert], gathered, (gate, up), expert);
            for (at, choice) in together.iter().enumerate() {
                add_scaled(level, choice.weight, expert.row(at), output.row_mut(choice.row));
            }
        }
    }
}

/// The `used` experts with the highest scores.
fn choose(scores: &[f32], used: usize, row: usize, choices: &mut Vec<Choice>) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order.truncate(used);
    // A score that is no number must show in the result, whichever experts it leaves.
    let greatest = match scores.iter().find(|score| !score.is_finite()) {
        Some(_) => f32::NAN,
        None => order.first().map_or(0.0, |expert| scores[*expert]),
    };
    order.sort_unstable();
    let weights: Vec<f32> = order.iter().map(|expert| exp(scores[*expert] - greatest)).collect();
    let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
    choices.extend(order.into_iter().zip(weights).map(|(expert, weight)| Choice {
        expert,
        row,
        weight: weight / sum,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(scores: &[f32], used: usize) -> Vec<(usize, f32)> {
        let mut choices = Vec::new();
        choose(scores, used, 0, &mut choices);
        choices.into_iter().map(|choice| (choice.expert, choice.weight)).collect()
    }

    #[test]
    fn the_highest_scores_win_and_weights_add_up() {
        let experts = chosen(&[0.5, 3.0, -1.0, 2.0], 2);
        assert_eq!(experts.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [1, 3]);
        let expected = 1.0 / (1.0 + (-1.0_f32).exp());
        assert!((experts[0].1 - expected).abs() < 1e-6);
        assert!((experts[0].1 + experts[1].1 - 1.0).abs() < 1e-6);
        // Ties go to the lower number.
        assert_eq!(chosen(&[1.0; 4], 2), [(0, 0.5), (1, 0.5)]);
        assert_eq!(chosen(&[0.0, -0.0], 1), [(0, 1.0)]);
    }

    #[test]
    fn a_score_that_is_no_number_shows() {
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(chosen(&[1.0, wrong, 2.0], 1).iter().all(|(_, weight)| weight.is_nan()), "{wrong}");
        }
    }
}
