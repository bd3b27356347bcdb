//! Many requests at once, honest and not: whatever the order, no two checkpoints of one log that were
//! cosigned contradict each other.

use std::sync::Mutex;

use proptest::prelude::*;

use crate::common::{Log, NOW, ORIGIN, leaves, request, root, witness};

const SIZE_MAX: usize = 24;

/// A request for the tree of `size` leaves of one of three histories, which part ways at `fork`.
#[derive(Debug, Clone)]
struct Asked {
    branch: u8,
    fork: usize,
    old: usize,
    size: usize,
}

fn asked() -> impl Strategy<Value = Asked> {
    (0..3_u8, 0..SIZE_MAX, 0..SIZE_MAX, 0..SIZE_MAX).prop_map(|(branch, fork, one, other)| Asked {
        branch,
        fork,
        old: one.min(other),
        size: one.max(other),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_two_cosigned_checkpoints_contradict_each_other(
        plans in prop::collection::vec(prop::collection::vec(asked(), 1..40), 3),
        restart in any::<bool>(),
    ) {
        let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
        let cosigned = Mutex::new(Vec::<(u64, u64, Vec<[u8; 32]>)>::new());
        for round in 0..=usize::from(restart) {
            let witness = witness(folder.path(), &[&log]);
            std::thread::scope(|scope| {
                for plan in &plans {
                    scope.spawn(|| {
                        for (place, Asked { branch, fork, old, size }) in plan.iter().enumerate() {
                            if place % 2 != round {
                                continue;
                            }
                            let leaves = leaves(*branch, *fork, *size);
                            let body = request(&log, &leaves, *old).to_string();
                            if let Ok(done) = witness.add_checkpoint(body.as_bytes(), NOW) {
                                cosigned.lock().unwrap().push((done.size(), done.time().0, leaves));
                            }
                        }
                    });
                }
            });
        }
        let cosigned = cosigned.into_inner().unwrap();
        for (size, _, leaves) in &cosigned {
            for (other_size, _, other) in &cosigned {
                if size <= other_size {
                    prop_assert_eq!(root(leaves), root(&other[..leaves.len()]));
                }
            }
        }
    }
}

/// The race that the specification describes: both were consistent when they came, one at a time wins.
#[test]
fn of_two_requests_from_one_size_exactly_one_is_cosigned() {
    for _ in 0..50 {
        let (folder, log) = (tempfile::tempdir().unwrap(), Log::new(ORIGIN, 1));
        let witness = witness(folder.path(), &[&log]);
        witness.add_checkpoint(request(&log, &leaves(0, 0, 2), 0).to_string().as_bytes(), NOW).unwrap();
        let done: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = [5, 3, 7, 4]
                .map(|size| request(&log, &leaves(0, 0, size), 2).to_string())
                .into_iter()
                .map(|body| scope.spawn(|| witness.add_checkpoint({ body }.as_bytes(), NOW).is_ok()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
    }
}
