//! Two verdicts by what they do not establish: which of them leaves open what the other shows.
//!
//! A verdict lists what it does not prove in stable words. That a word is missing there is no proof of its
//! opposite, since a verdict that was refused early says little: the other verdict establishes something only
//! where it says so itself, by what it proved, or by a rule that it held and that passed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vouchsafe_verifier::strict_json::{self, Limits};

/// Longest verdict, in bytes.
pub const VERDICT_BYTES_MAX: usize = 4 << 20;
const LIMITS: Limits = Limits { bytes_max: VERDICT_BYTES_MAX, depth_max: 32 };
const IGNORED: &str = "ignored:";

/// Words of what is not proved, each with the word of what proves it.
const PROVED_BY: [(&str, &str); 13] = [
    ("time_unattested", "time"),
    ("unlogged", "logged"),
    ("unwitnessed", "witnessed"),
    ("proof_pending", "logged"),
    ("proof_missing", "logged"),
    ("settled_in_time", "settled_in_time"),
    ("simulated_root", "hardware"),
    ("report_data_not_given", "report_data"),
    ("request_not_given", "request"),
    ("response_not_given", "response"),
    ("execution_opening_missing", "execution"),
    ("stream_cut_off", "response"),
    ("revoked_later", "not_revoked"),
];

/// What is read of a verdict, as `vouchsafe verify --format json` prints it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Its decision.
    decision: String,
    proved: Vec<String>,
    /// By word: the sentence.
    not_proved: BTreeMap<String, String>,
    /// By rule: whether every check of it passed.
    rules: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
struct Statement {
    code: String,
    text: String,
}

impl Judged {
    /// Reads a verdict's JSON.
    ///
    /// # Errors
    /// In words, where it is none.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let value: Value = strict_json::parse(json, LIMITS).map_err(|error| error.to_string())?;
        let statements = |name: &str| -> Result<Vec<Statement>, String> {
            let list = value.get(name).ok_or_else(|| format!("no verdict: it has no {name}"))?;
            serde_json::from_value(list.clone()).map_err(|error| format!("{name}: {error}"))
        };
        let decision =
            value.get("verdict").and_then(Value::as_str).ok_or("no verdict: it decides nothing")?;
        let findings =
            value.get("findings").and_then(Value::as_array).ok_or("no verdict: it has no findings")?;
        let mut rules = BTreeMap::new();
        for finding in findings {
            let text = |name: &str| finding.get(name).and_then(Value::as_str);
            let (Some(rule), Some(outcome)) = (text("rule"), text("outcome")) else {
                return Err("a finding without a rule or an outcome".into());
            };
            *rules.entry(rule.to_owned()).or_insert(true) &= outcome == "passed";
        }
        Ok(Self {
            decision: decision.to_owned(),
            proved: statements("proved")?.into_iter().map(|one| one.code).collect(),
            not_proved: statements("not_proved")?.into_iter().map(|one| (one.code, one.text)).collect(),
            rules,
        })
    }

    /// By what it establishes what another leaves open under this word; `None` where it does not.
    fn establishes(&self, word: &str) -> Option<String> {
        if self.not_proved.contains_key(word) {
            return None;
        }
        if let Some(rule) = word.strip_prefix(IGNORED) {
            return self.rules.get(rule).filter(|passed| **passed).map(|_| format!("rule {rule}"));
        }
        let (_, by) = PROVED_BY.iter().find(|(unproved, _)| *unproved == word)?;
        self.proved.iter().any(|proved| proved == by).then(|| (*by).to_owned())
    }
}

/// Something that a verdict leaves unproved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Open {
    /// The stable word.
    pub code: String,
    /// The sentence.
    pub text: String,
    /// What establishes it in the other verdict: what that proved, or a rule that it held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub established_by: Option<String>,
}

/// What came of comparing two verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The decisions, the first's and the second's.
    pub decisions: [String; 2],
    /// What the first leaves unproved and the second establishes.
    pub second_establishes: Vec<Open>,
    /// What the second leaves unproved and the first establishes.
    pub first_establishes: Vec<Open>,
    /// What one leaves unproved and the other says nothing of.
    pub unsaid: Vec<Open>,
    /// What both leave unproved: the words.
    pub both: Vec<String>,
}

/// Compares two verdicts.
pub fn compare(first: &Judged, second: &Judged) -> Comparison {
    let mut unsaid = Vec::new();
    let mut open = |of: &Judged, other: &Judged| {
        let mut established = Vec::new();
        for (code, text) in of.not_proved.iter().filter(|(code, _)| !other.not_proved.contains_key(*code)) {
            let established_by = other.establishes(code);
            let is_established = established_by.is_some();
            let one = Open { code: code.clone(), text: text.clone(), established_by };
            if is_established { established.push(one) } else { unsaid.push(one) }
        }
        established
    };
    let (second_establishes, first_establishes) = (open(first, second), open(second, first));
    let both =
        first.not_proved.keys().filter(|code| second.not_proved.contains_key(*code)).cloned().collect();
    let decisions = [first.decision.clone(), second.decision.clone()];
    Comparison { decisions, second_establishes, first_establishes, unsaid, both }
}
