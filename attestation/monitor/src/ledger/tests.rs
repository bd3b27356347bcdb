//! Named trees, more of them than are followed.

use vouchsafe_translog::note::{Algorithm, VerifierKey};

use super::*;
use crate::appraise::Accepted;
use crate::source::Fetch;

struct Nothing;

impl Source for Nothing {
    fn get(&self, _: &str, _: usize) -> Result<Vec<u8>, Fetch> {
        Err(Fetch::Missing)
    }

    fn name(&self) -> String {
        "nothing".into()
    }
}

impl Appraise for Nothing {
    fn boot(
        &self,
        _: &AttestedStatement,
        _: Option<&Endorsements>,
        _: &[Image],
        _: UnixSeconds,
    ) -> Result<Accepted, Refused> {
        Err(Refused { code: "none".into(), why: "none".into() })
    }

    fn epoch(
        &self,
        _: LoggedEpoch<'_>,
        _: Option<&Endorsements>,
        _: &[Image],
        _: UnixSeconds,
    ) -> Result<(), Refused> {
        Err(Refused { code: "none".into(), why: "none".into() })
    }
}

#[test]
fn more_named_trees_than_are_followed_are_told_of_once() {
    let key = |name, algorithm, byte| VerifierKey::new(name, algorithm, [byte; 32], &Ring).unwrap();
    let log = key("log.example", Algorithm::Ed25519, 7);
    let trusted = TrustedLog::new(log, vec![key("w.example", Algorithm::CosignatureV1, 8)], 1).unwrap();
    let mut ledger = Ledger {
        source: &Nothing,
        appraise: &Nothing,
        time: 0,
        tailing: false,
        mirror: None,
        trusted: &trusted,
        times: BTreeMap::new(),
        named_max: 2,
        waiting: 0,
        is_unfollowed: false,
        violations: Vec::new(),
    };
    let mut state = State::new("log");
    let tree = |size, byte| CheckpointRef { size, root: Hex([byte; 32]), time: 0 };
    for (index, named) in (10..).zip([tree(1, 1), tree(2, 1), tree(3, 1), tree(2, 2), tree(4, 1)]) {
        ledger.named(&mut state, index, Hex([0; 32]), named);
    }
    assert_eq!(ledger.violations, [Violation::TreesUnfollowed { index: 12 }]);
    // A second root of a size that is followed contradicts the first, and is kept.
    assert_eq!(state.named.keys().collect::<Vec<_>>(), [&1, &2]);
    assert_eq!(state.named[&2].len(), 2);
    // When those were looked up, there is room, and the next overflow is told of again.
    state.named.clear();
    state.unfollowed_tree = None;
    for (index, size) in (20..).zip(1..=3) {
        ledger.named(&mut state, index, Hex([0; 32]), tree(size, 1));
    }
    assert_eq!(ledger.violations.last(), Some(&Violation::TreesUnfollowed { index: 22 }));
}
