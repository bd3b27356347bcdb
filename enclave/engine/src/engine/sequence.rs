//! One running sequence: its cache, its sampler, its text.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use llguidance::toktrie::SimpleVob;

use super::Savings;
use super::draft::Read;
use super::kept::{Kept, Left};
use super::lookup::Guesser;
use super::worker::Job;
use crate::model::{KvCache, KvStore, Slot, Want};
use crate::sampling::{Choice, Sampler, StopMatcher};
use crate::tokenizer::{Decoder, Tokenizer};
use crate::{Constraint, Event, Finish, FinishReason, Timing, TokenInfo, TopToken, Usage};

/// A request that runs.
pub(super) struct Sequence {
    job: Job,
    cache: KvCache,
    sampler: Sampler,
    /// The rest of the form that the answer must have.
    constraint: Option<Constraint>,
    decoder: Decoder,
    text: StopMatcher,
    /// Prompt tokens read.
    read: usize,
    /// Prompt tokens that the step under way reads.
    reading: usize,
    /// The newest token, not read yet.
    last: Option<u32>,
    /// Prompt and answer so far.
    history: Vec<u32>,
    /// While it generates, what the step under way reads: the newest token, and guesses.
    fed: Vec<u32>,
    guesser: Guesser,
    /// Guesses for the next step.
    guesses: Vec<u32>,
    /// What the draft has read of it.
    draft: Option<Read>,
    generated: u32,
    started: Instant,
    first_token: Option<Instant>,
}

impl Sequence {
    /// Takes a request out of the queue.
    pub(super) fn start(
        mut job: Job,
        store: &Arc<KvStore>,
        tokenizer: &Tokenizer,
        kept: &mut Kept,
    ) -> Result<Self, Box<(Job, FinishReason)>> {
        let request = &job.request;
        let sampler = Sampler::new(
            request.sampling.clone(),
            request.seed,
            &request.prompt,
            request.logprobs.map(usize::from),
        );
        let decoder = tokenizer.decoder(&request.prompt);
        let text = StopMatcher::new(request.stop.clone());
        let constraint = job.request.constraint.take();
        let request = &job.request;
        let started = Event::Started { prompt_tokens: count(request.prompt.len()), seed: request.seed };
        if (job.sink)(started).is_break() {
            return Err(Box::new((job, FinishReason::Cancelled)));
        }
        let reused = job.request.reuse.and_then(|key| kept.take(key, &job.request.prompt));
        let cache = reused.unwrap_or_else(|| KvCache::new(store));
        let guesser = Guesser::new(std::mem::take(&mut job.request.expected), job.request.speculate);
        Ok(Self {
            read: cache.length(),
            history: job.request.prompt.clone(),
            job,
            cache,
            sampler,
            constraint,
            decoder,
            text,
            reading: 0,
            last: None,
            fed: Vec::new(),
            guesser,
            guesses: Vec::new(),
            draft: None,
            generated: 0,
            started: Instant::now(),
            first_token: None,
        })
    }

    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    /// Prompt tokens that are still to be read; 0 when it generates.
    pub(super) fn unread(&self) -> usize {
        self.job.request.prompt.len().saturating_sub(self.read)
    }

    /// Guesses what it can from what is there.
    pub(super) fn guess(&mut self) {
        self.guesses.clear();
        if self.last.is_some() {
            let (generated, room) = (self.generated(), self.room());
            self.guesser.guess(&self.history, generated, room, &mut self.guesses);
        }
    }

    /// How many guesses a draft may offer: 0 where there are some already, or none are asked for.
    pub(super) fn guesses_wanted(&self) -> usize {
        if self.last.is_none() || !self.job.request.speculate || !self.guesses.is_empty() {
            return 0;
        }
        self.guesser.count().min(self.room())
    }

    /// Prompt and answer so far.
    pub(super) fn history(&self) -> &[u32] {
        &self.history
    }

    pub(super) fn take_read(&mut self) -> Option<Read> {
        self.draft.take()
    }

    /// Takes a draft's guesses, and what it has read.
    pub(super) fn offer(&mut self, guesses: Vec<u32>, read: Read) {
        self.guesses = guesses;
        self.draft = Some(read);
    }

    fn generated(&self) -> usize {
        usize::try_from(self.generated).unwrap_or(usize::MAX)
    }

    /// How many guesses there is room for: the last token of the answer is never read.
    fn room(&self) -> usize {
        self.job.answer_max.saturating_sub(self.generated()).saturating_sub(1)
    }

    /// What it reads in the next step: its newest token and its guesses, or up to `share` tokens of its
    /// prompt.
    pub(super) fn slot(&mut self, share: usize) -> Slot<'_> {
        self.fed.clear();
        self.fed.extend(self.last);
        if self.last.is_some() {
            self.reading = 0;
            self.fed.append(&mut self.guesses);
            return Slot { tokens: &self.fed, cache: &mut self.cache, want: Want::All };
        }
        let cache = &mut self.cache;
        let unread = self.job.request.prompt.get(self.read..).unwrap_or_default();
        let tokens = unread.get(..share).unwrap_or(unread);
        self.reading = tokens.len();
        let want = if tokens.len() == unread.len() { Want::Last } else { Want::Nothing };
        Slot { tokens, cache, want }
    }

    /// Notes that the step is done. Returns how many rows of logits it left.
    pub(super) fn stepped(&mut self) -> usize {
        self.read = self.read.saturating_add(self.reading);
        self.reading = 0;
        if self.unread() > 0 { 0 } else { self.fed.len().max(1) }
    }

    /// Whether the token just chosen, from row `row` of the step's, is what was guessed.
    pub(super) fn guessed(&self, row: usize) -> bool {
        self.last.is_some() && self.fed.get(row.saturating_add(1)).copied() == self.last
    }

    /// Forgets what was read of guesses that were wrong: `rows` rows of the step's were of use.
    pub(super) fn settle(&mut self, rows: usize, savings: &mut Savings) {
        let (guessed, right) = (self.fed.len().saturating_sub(1), rows.saturating_sub(1));
        if guessed == 0 {
            return;
        }
        let before = self.cache.length().saturating_sub(self.fed.len());
        self.cache.truncate(before.saturating_add(rows));
        self.guesser.learn(guessed, right);
        let count = |tokens: usize| u64::try_from(tokens).unwrap_or(u64::MAX);
        savings.tokens_guessed = savings.tokens_guessed.saturating_add(count(guessed));
        savings.guesses_right = savings.guesses_right.saturating_add(count(right));
    }

    /// Prompt tokens that were there already.
    pub(super) fn reused(&self) -> usize {
        self.read
    }

    /// What it leaves to later requests with its key.
    pub(super) fn leave(&mut self) -> Option<Left> {
        let key = self.job.request.reuse?;
        let mut tokens = std::mem::take(&mut self.history);
        tokens.truncate(self.cache.length());
        Some(Left { key, tokens, cache: self.cache.take() })
    }

    /// Chooses a token and delivers what it brings. `Break` says why the sequence is over.
    pub(super) fn choose(&mut self, logits: &mut [f32], tokenizer: &Tokenizer) -> ControlFlow<FinishReason> {
        let chosen = match &mut self.constraint {
            None => self.sampler.choose(logits),
            Some(constraint) => match constraint.allowed() {
                Ok(allowed) => self.sampler.choose_among(logits, |token| allows(&allowed, token)),
                Err(_) => return ControlFlow::Break(FinishReason::Failed(FORM_TOO_COSTLY)),
            },
        };
        let Ok(choice) = chosen else { return ControlFlow::Break(FinishReason::Failed(NOT_FINITE)) };
        self.first_token.get_or_insert_with(Instant::now);
        self.generated = self.generated.saturating_add(1);
        self.last = Some(choice.token);
        self.history.push(choice.token);
        self.take(choice, tokenizer)
    }

    fn take(&mut self, choice: Choice, tokenizer: &Tokenizer) -> ControlFlow<FinishReason> {
        if tokenizer.is_end(choice.token) {
            return self.end(FinishReason::Stop);
        }
        let mut is_complete = false;
        if let Some(constraint) = &mut self.constraint {
            if constraint.take(choice.token).is_err() {
                return ControlFlow::Break(FinishReason::Failed(FORM_TOO_COSTLY));
            }
            is_complete = constraint.is_complete();
        }
        let text = self.decoder.push(tokenizer, choice.token);
        let token = token_info(choice, tokenizer);
        self.text.push(token, &text, self.decoder.is_waiting());
        let (delta, stop) = self.text.release();
        self.deliver(delta)?;
        if let Some(stop) = stop {
            return ControlFlow::Break(FinishReason::StopString(stop));
        }
        if is_complete {
            return self.end(FinishReason::Stop);
        }
        if self.generated() >= self.job.answer_max {
            return self.end(FinishReason::Length);
        }
        ControlFlow::Continue(())
    }

    /// Delivers what is held back.
    fn end(&mut self, reason: FinishReason) -> ControlFlow<FinishReason> {
        let rest = self.decoder.finish();
        self.text.push_rest(&rest);
        let (delta, stop) = self.text.flush();
        self.deliver(delta)?;
        ControlFlow::Break(stop.map_or(reason, FinishReason::StopString))
    }

    fn deliver(&mut self, delta: crate::TextDelta) -> ControlFlow<FinishReason> {
        if delta.text.is_empty() && delta.tokens.is_empty() {
            return ControlFlow::Continue(());
        }
        (self.job.sink)(Event::Text(delta)).map_break(|()| FinishReason::Cancelled)
    }

    /// Tells the sink that it is over.
    pub(super) fn finish(mut self, reason: FinishReason) {
        let now = Instant::now();
        let first = self.first_token.unwrap_or(now);
        let finish = Finish {
            reason,
            usage: Usage {
                prompt_tokens: count(self.job.request.prompt.len()),
                completion_tokens: self.generated,
            },
            timing: Timing {
                queued: self.started.duration_since(self.job.submitted),
                prefill: first.duration_since(self.started),
                decode: now.duration_since(first),
            },
        };
        let _ = (self.job.sink)(Event::Finished(finish));
    }
}

fn token_info(choice: Choice, tokenizer: &Tokenizer) -> TokenInfo {
    TokenInfo {
        id: choice.token,
        bytes: tokenizer.bytes(choice.token),
        logprob: choice.logprob,
        top: choice
            .top
            .into_iter()
            .map(|(id, logprob)| TopToken { id, bytes: tokenizer.bytes(id), logprob })
            .collect(),
    }
}

/// A number of tokens: a context's length is a `u32`, and a prompt is no longer.
pub(super) fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Whether a form allows a token. Logits may have more places than the vocabulary.
fn allows(allowed: &SimpleVob, token: u32) -> bool {
    usize::try_from(token).is_ok_and(|at| at < allowed.len()) && allowed.is_allowed(token)
}

const FORM_TOO_COSTLY: &str = "the answer's form takes too much work";
const NOT_FINITE: &str = "the logits are not finite";
