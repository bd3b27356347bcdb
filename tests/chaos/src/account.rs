//! The account: what became of the receipt of each answer.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use vouchsafe_verifier::encoding::to_hex;

/// An answer that a client received and believed, by its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The boot that signed.
    pub(crate) boot: [u8; 32],
    /// Its position in that boot's sequence.
    pub(crate) seq: u64,
    /// Its leaf hash.
    pub(crate) leaf: [u8; 32],
    /// Whether it was held back until it was in the log.
    pub(crate) is_settled: bool,
}

/// What the log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    /// How often each leaf hash is in it.
    pub(crate) leaves: BTreeMap<[u8; 32], u64>,
    /// The positions of each boot's receipts.
    pub(crate) receipts: BTreeMap<[u8; 32], BTreeSet<u64>>,
}

/// What became of the answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Answers whose receipts are in the log.
    pub(crate) logged: u64,
    /// Answers whose receipts ended with their boot, as its promise allows.
    pub(crate) ended_with_boot: u64,
    /// Everything else.
    pub(crate) violations: Vec<String>,
}

/// Accounts for every answer. `alive` is the boot that was never killed, of which nothing may be missing; of others
/// up to `unsettled_max` of the newest may be.
pub(crate) fn account(answers: &[Answer], logged: &Logged, alive: &[u8; 32], unsettled_max: u64) -> Account {
    let mut account = Account { logged: 0, ended_with_boot: 0, violations: Vec::new() };
    for (leaf, times) in logged.leaves.iter().filter(|(_, times)| **times > 1) {
        account.violations.push(format!("leaf {} is in the log {times} times", to_hex(leaf)));
    }
    for answer in answers {
        if logged.leaves.contains_key(&answer.leaf) {
            account.logged = account.logged.saturating_add(1);
            continue;
        }
        // What comes after everything of its boot that is in the log.
        let end = logged
            .receipts
            .get(&answer.boot)
            .and_then(BTreeSet::last)
            .map_or(0, |last| last.saturating_add(1));
        let is_newest = (end..end.saturating_add(unsettled_max)).contains(&answer.seq);
        let why = match () {
            () if answer.is_settled => "was given as settled",
            () if answer.boot == *alive => "its boot was not killed",
            () if !is_newest => "it is not among the newest that its boot promised",
            () => {
                account.ended_with_boot = account.ended_with_boot.saturating_add(1);
                continue;
            }
        };
        account.violations.push(format!(
            "the receipt at {} of boot {} is not in the log: {why} (the log has its boot's up to {end})",
            answer.seq,
            to_hex(&answer.boot)
        ));
    }
    account
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "answers accounted for: {} in the log, {} ended with a killed boot among its newest; lost: {}",
            self.logged,
            self.ended_with_boot,
            self.violations.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: [u8; 32] = [1; 32];
    const ALIVE: [u8; 32] = [2; 32];

    fn answer(boot: [u8; 32], seq: u8) -> Answer {
        let mut leaf = boot;
        leaf[31] = seq;
        leaf[30] = 0xff;
        Answer { boot, seq: seq.into(), leaf, is_settled: false }
    }

    fn logged(answers: &[Answer]) -> Logged {
        let mut logged = Logged::default();
        for answer in answers {
            *logged.leaves.entry(answer.leaf).or_default() += 1;
            logged.receipts.entry(answer.boot).or_default().insert(answer.seq);
        }
        logged
    }

    #[test]
    fn each_answer_is_in_the_log_or_among_the_newest_of_a_killed_boot() {
        let answers: Vec<_> = (0..6).map(|seq| answer(KILLED, seq)).collect();
        let account = account(&answers, &logged(&answers[..4]), &ALIVE, 2);
        assert_eq!(account, Account { logged: 4, ended_with_boot: 2, violations: vec![] });
    }

    #[test]
    fn there_is_no_third_case() {
        let answers: Vec<_> = (0..6).map(|seq| answer(KILLED, seq)).collect();
        let violations = |answers: &[Answer], logged: &Logged, alive: &[u8; 32], max: u64| {
            account(answers, logged, alive, max).violations
        };
        // More of the newest than the boot promised.
        let more = violations(&answers, &logged(&answers[..3]), &ALIVE, 2);
        assert!(
            more.len() == 1 && more[0].contains("at 5") && more[0].contains("not among the newest"),
            "{more:?}"
        );
        // A hole, however small.
        let holed: Vec<_> = answers.iter().filter(|answer| answer.seq != 2).cloned().collect();
        let hole = violations(&answers, &logged(&holed), &ALIVE, 100);
        assert!(hole.len() == 1 && hole[0].contains("at 2"), "{hole:?}");
        // Of a boot that nobody killed.
        let kept = violations(&answers, &logged(&answers[..5]), &KILLED, 100);
        assert!(kept.len() == 1 && kept[0].contains("was not killed"), "{kept:?}");
        // One that was given as settled.
        let settled = [Answer { is_settled: true, ..answer(KILLED, 0) }];
        assert!(violations(&settled, &Logged::default(), &ALIVE, 100)[0].contains("given as settled"));
        // One twice.
        let twice = [answers[0].clone(), answers[0].clone()];
        let doubled = violations(&twice, &logged(&twice), &ALIVE, 100);
        assert!(doubled.len() == 1 && doubled[0].contains("2 times"), "{doubled:?}");
    }
}
