//! Answers that must have a form: JSON by a schema, or calls of tools.
//!
//! A form is compiled once per request into a [`Constraint`], outside the engine's thread. While the
//! answer is generated it says for each position which tokens continue an answer of that form, and only
//! those are drawn from. What it allows depends on the form and the vocabulary alone, so that answers
//! stay reproducible. Grammars are the crate `llguidance`'s; which forms there are, and how much of a
//! client's schema is compiled at all, is decided here: see [`schema`](self::schema).
//!
//! JSON is written as Python's `json.dumps` writes it, with one space behind commas and colons and none
//! elsewhere: a model that is unsure could otherwise fill its whole answer with white space.

mod grammar;
mod schema;

use std::fmt;
use std::sync::{Arc, OnceLock};

use llguidance::api::{GrammarInit, ParserLimits};
use llguidance::toktrie::{InferenceCapabilities, SimpleVob, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use thiserror::Error;

use crate::tokenizer::Tokenizer;
use crate::tools::ToolUse;

/// What an answer must be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerForm {
    /// A JSON schema that the answer's text must satisfy. With tools: the text of an answer that calls none.
    pub schema: Option<serde_json::Value>,
    /// The tools that the answer may or must call.
    pub tools: Option<ToolUse>,
}

/// A compiled form, at the beginning of an answer.
pub struct Constraint {
    form: AnswerForm,
    matcher: Matcher,
}

/// Why a form cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// More than a bound allows.
    #[error("{what} has more than {max} {unit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The bound.
        max: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// A schema that cannot be satisfied, that asks for what no grammar here expresses, or that is too costly.
    #[error("the schema cannot be enforced: {0}")]
    Schema(String),
    /// A tool's name or the choice among tools is not acceptable.
    #[error("{0}")]
    Tools(&'static str),
    /// The model names no token that ends an answer.
    #[error("this model has no end-of-answer token, without which no form can be enforced")]
    NoEnd,
    /// The vocabulary does not work as one.
    #[error("this model's vocabulary cannot be used to enforce a form")]
    Vocabulary,
}

/// The grammar's bounds were exceeded in the middle of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooCostly;

impl Constraint {
    /// The tokens that may come next. Where the form is complete, those that end the answer.
    pub(crate) fn allowed(&mut self) -> Result<SimpleVob, TooCostly> {
        self.matcher.compute_mask_or_eos().map_err(|_| TooCostly)
    }

    /// Takes the token that was chosen.
    pub(crate) fn take(&mut self, token: u32) -> Result<(), TooCostly> {
        self.matcher.consume_token(token).map_err(|_| TooCostly)
    }

    /// Whether nothing but the end can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }
}

impl Clone for Constraint {
    /// Shares nothing: sequences must not lengthen each other's computation.
    fn clone(&self) -> Self {
        Self { form: self.form.clone(), matcher: self.matcher.deep_clone() }
    }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Constraint").field("form", &self.form).finish_non_exhaustive()
    }
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        self.form == other.form
    }
}

/// Compiles forms for one vocabulary.
pub(crate) struct Grammars {
    tokenizer: Arc<Tokenizer>,
    /// Made at first use: most requests ask for no form.
    factory: OnceLock<Result<ParserFactory, ConstraintError>>,
}

impl Grammars {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, factory: OnceLock::new() }
    }

    /// Compiles a form; `None` where it asks for nothing. Takes up to some hundred milliseconds.
    pub(crate) fn compile(&self, form: &AnswerForm) -> Result<Option<Constraint>, ConstraintError> {
        let Some(grammar) = grammar::of(form)? else { return Ok(None) };
        let factory = self.factory.get_or_init(|| factory(&self.tokenizer)).as_ref().map_err(Clone::clone)?;
        let parser = factory.create_parser_from_init(GrammarInit::Serialized(grammar), 0, 0);
        let mut matcher = Matcher::new(parser);
        // A schema that nothing satisfies may show only when the first token is asked for.
        let first = matcher.compute_mask();
        if let Some(problem) = matcher.get_error() {
            return Err(ConstraintError::Schema(brief(&problem)));
        }
        match first {
            Ok(allowed) if !allowed.is_zero() => Ok(Some(Constraint { form: form.clone(), matcher })),
            _ => Err(ConstraintError::Schema("nothing satisfies it".to_owned())),
        }
    }
}

fn factory(tokenizer: &Arc<Tokenizer>) -> Result<ParserFactory, ConstraintError> {
    let ends: Vec<TokenId> = tokenizer.ends().collect();
    let end = *ends.first().ok_or(ConstraintError::NoEnd)?;
    let words: Vec<Vec<u8>> = (0..tokenizer.size()).map(|id| tokenizer.bytes(id)).collect();
    let trie = TokTrie::from(&TokRxInfo::new(tokenizer.size(), end), &words).with_eos_tokens(&ends);
    let environment: llguidance::toktrie::TokEnv = Arc::new(Vocabulary(trie));
    let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &[])
        .map_err(|_| ConstraintError::Vocabulary)?;
    factory.quiet();
    *factory.limits_mut() = LIMITS;
    Ok(factory)
}

/// A problem's first line, as far as an error should repeat it.
fn brief(problem: &str) -> String {
    problem.lines().next().unwrap_or_default().chars().take(PROBLEM_CHARS_MAX).collect()
}

/// The vocabulary as `llguidance` wants it. Every token is drawn by the sampler, so that no text is ever
/// tokenised for it.
struct Vocabulary(TokTrie);

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(bytes)
    }

    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}

/// Bounds on one form's work, in the library's own units. By its documentation compiling takes at most
/// some 4 ms for regular expressions, a position some 10 ms, and all states at most 20 MB.
const LIMITS: ParserLimits = ParserLimits {
    max_items_in_row: 2000,
    initial_lexer_fuel: 200_000,
    step_lexer_fuel: 100_000,
    step_max_items: 20_000,
    max_lexer_states: 10_000,
    max_grammar_size: 100_000,
    precompute_large_lexemes: false,
    verbose_errors: false,
};

const PROBLEM_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests;
