//! Clients that ask without pause, believe nothing that does not verify, and remember every answer.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderName, HeaderValue};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng as _};
use serde_json::json;
use tokio::sync::watch;
use vouchsafe_bundle::VerifiedBoot;
use vouchsafe_client::{Answer as Received, Error, Request};
use vouchsafe_receipt::stream::ASSURANCE_NAME;
use vouchsafe_receipt::{Assurance, Settlement, VerifiedReceipt, receipt_leaf_hash};
use vouchsafe_verifier::crypto::Ring;

use crate::account::Answer;
use crate::installation::Installation;

/// Longest wait for an answer; a client that gives up received none.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Pause after a refusal or a failure.
const PAUSE: Duration = Duration::from_millis(100);
const PROMPTS: [&str; 4] =
    ["What is a receipt?", "What does a witness do?", "Who sees a prompt?", "What is measured?"];

/// What clients received.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answers: Vec<Answer>,
    /// Answers that did not verify.
    pub(crate) wrong: Vec<String>,
    /// Streams that were cut off before their receipt: no answers, and their clients know.
    cut: u64,
    /// What went wrong otherwise, by its code.
    failures: BTreeMap<String, u64>,
    /// Receipts that a boot may leave unsettled, as each says.
    pub(crate) unsettled_max: u64,
}

pub(crate) struct Client {
    random: ChaCha8Rng,
    client: vouchsafe_client::Client,
    model: String,
    tally: Tally,
}

impl Client {
    pub(crate) fn new(number: u64, seed: u64, client: vouchsafe_client::Client, model: String) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number + 1);
        Self { random, client, model, tally: Tally::default() }
    }

    /// Asks until told to stop.
    pub(crate) async fn run(mut self, is_stopping: watch::Receiver<bool>) -> Tally {
        while !*is_stopping.borrow() {
            let settled = self.random.next_u32().is_multiple_of(5);
            let is_stream = self.random.next_u32().is_multiple_of(2);
            let prompt = PROMPTS[self.random.next_u32() as usize % PROMPTS.len()];
            let request = request(&self.model, prompt, is_stream, settled);
            let before = self.tally.answers.len();
            match tokio::time::timeout(ANSWER_MAX, self.client.ask(&request)).await {
                Ok(Ok((answer, boot))) => self.tally.received(&answer, &boot),
                Ok(Err(error)) => self.tally.failed(&error),
                Err(_) => self.tally.fail("gave up waiting"),
            }
            if self.tally.answers.len() == before {
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.tally
    }
}

impl Tally {
    fn received(&mut self, answer: &Received, boot: &VerifiedBoot) {
        match record(answer, boot) {
            Ok(Some(answer)) => self.answers.push(answer),
            Ok(None) if answer.status.is_success() => self.cut += 1,
            Ok(None) => self.fail(answer.status.as_str()),
            Err(error) => self.wrong.push(format!("{error:#}")),
        }
        if let Settlement::Log(log) = &boot.boot_statement().settlement {
            self.unsettled_max = log.unsettled_max;
        }
    }

    fn failed(&mut self, error: &Error) {
        // Nothing here lies: what a client refuses to believe would be a fault of ours.
        if error.is_refusal() {
            self.wrong.push(format!("{}: {error}", error.code()));
        } else {
            self.fail(error.code());
        }
    }

    fn fail(&mut self, why: &str) {
        *self.failures.entry(why.to_owned()).or_default() += 1;
    }

    /// Takes another client's.
    pub(crate) fn add(&mut self, other: Self) {
        self.answers.extend(other.answers);
        self.wrong.extend(other.wrong);
        self.cut += other.cut;
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
        self.unsettled_max = self.unsettled_max.max(other.unsettled_max);
    }
}

/// What is remembered of an answer; `None` where there is no receipt to it.
fn record(answer: &Received, boot: &VerifiedBoot) -> Result<Option<Answer>> {
    let Some(receipt) = &answer.receipt else { return Ok(None) };
    if !answer.is_accepted() {
        let why = answer.verdict.as_ref().and_then(|verdict| verdict.code()).unwrap_or("incomplete");
        anyhow::bail!("a receipt was not accepted: {why}");
    }
    let verified = VerifiedReceipt::verify(receipt, boot.receipt_key(), &Ring).context("a receipt")?;
    let payload = verified.payload();
    Ok(Some(Answer {
        boot: payload.boot.0,
        seq: payload.seq,
        leaf: receipt_leaf_hash(receipt, &Ring),
        is_settled: payload.assurance == Assurance::Settled,
    }))
}

fn request(model: &str, prompt: &str, is_stream: bool, settled: bool) -> Request {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": is_stream,
        "max_completion_tokens": 24,
    });
    let mut request = Request::post_json("/v1/chat/completions", body.to_string());
    if settled {
        request.headers.push((HeaderName::from_static(ASSURANCE_NAME), HeaderValue::from_static("settled")));
    }
    request
}

/// Asks until an answer has settled, and gives the boot that answered.
pub(crate) async fn recover(installation: &Installation) -> Result<[u8; 32]> {
    let (client, model) = (installation.client()?, installation.model());
    let boot = Arc::new(std::sync::Mutex::new(None));
    installation
        .wait("an answer settles again", async || {
            let request = request(&model, PROMPTS[0], false, true);
            let Ok(Ok((answer, by))) = tokio::time::timeout(ANSWER_MAX, client.ask(&request)).await else {
                return Ok(false);
            };
            let Some(answer) = record(&answer, &by)? else { return Ok(false) };
            if let Ok(mut boot) = boot.lock() {
                *boot = Some(answer.boot);
            }
            Ok(true)
        })
        .await?;
    let boot = boot.lock().ok().and_then(|boot| *boot);
    boot.context("no boot answered")
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = self.answers.iter().filter(|answer| answer.is_settled).count();
        let boots: std::collections::BTreeSet<_> = self.answers.iter().map(|answer| answer.boot).collect();
        let failures: Vec<_> = self.failures.iter().map(|(why, count)| format!("{why} {count}")).collect();
        writeln!(
            f,
            "{} answers with receipts of {} boots, {settled} of them asked for as settled; {} streams cut off",
            self.answers.len(),
            boots.len(),
            self.cut
        )?;
        write!(f, "asked in vain: {}", if failures.is_empty() { "never".into() } else { failures.join(", ") })
    }
}
