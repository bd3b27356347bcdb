//! The main job, shown once: start, attest, ask, verify, tamper.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use vouchsafe_bundle::Verdict;
use vouchsafe_up::{pin, settle};

use crate::Started;
use crate::ask::{self, Asked};
use crate::show::{self, BAD, GOOD, QUIET, WARN};
use crate::tamper::Accepted;

/// What each tampered variant must be refused with; anything else is a failure of the demo.
const EXPECTED_CODES: [&str; 4] = [
    "response_mismatch",
    "receipt_signature_invalid",
    "snp_report_signature_invalid",
    "measurement_mismatch",
];
/// What a tampered proof must be refused with, where there is a log.
const EXPECTED_PROOF_CODE: &str = "inclusion_invalid";
/// Longest wait for the log to prove the answer's receipt.
const SETTLED_TIMEOUT: Duration = Duration::from_secs(60);

/// Said before anything starts, since loading can take a while.
pub(crate) fn introduce() {
    anstream::println!("Vouchsafe: an answer, and the proof of where it came from.");
    anstream::println!(
        "{WARN}Simulated SEV-SNP: the same bytes as a processor's, under a throwaway root.{WARN:#}"
    );
}

pub(crate) async fn run(started: Started, prompt: &str) -> Result<()> {
    let Started { running, log, policy, expected, startup, .. } = &started;
    show_start(expected, log.as_ref(), *startup);

    show::heading("Attest: who is at the other end, before anything is sent");
    let session = ask::attest(running.address, policy).await?;
    show_attested(&session);

    show::heading("Ask, over the session that was just attested");
    let model = &expected.models.first().context("no model is served")?.name;
    anstream::println!("  {QUIET}question{QUIET:#}  {prompt}");
    anstream::print!("  {QUIET}answer{QUIET:#}    ");
    let mut line = Typewriter::new(12, 88);
    let mut asked = ask::stream(&session, model, prompt, |text| line.write(text)).await?;
    anstream::println!();

    let gap = match log {
        Some(_) => Some(wait_for_proof(&session, &mut asked).await?),
        None => None,
    };

    show::heading("Verify: the receipt, from one file, offline");
    let accepted = Accepted {
        bundle: &asked.bundle,
        policy,
        request: &asked.request,
        response: &asked.response,
        at: ask::now()?,
    };
    let begun = Instant::now();
    let verdict = accepted.verdict();
    let verification = begun.elapsed();
    show_verdict(&verdict);
    if !verdict.is_accepted() {
        bail!("the demo's own receipt was not accepted");
    }
    show_times(*startup, session.attestation, &asked, gap, verification);

    show::heading("Tamper: one byte at a time");
    let mut codes = Vec::new();
    for variant in accepted.tampered()? {
        let code = variant.verdict.code().unwrap_or("accepted");
        let style = if variant.verdict.is_accepted() { BAD } else { GOOD };
        show::marked(style, variant.verdict.decision().as_str(), &format!("{code:<28} {}", variant.what));
        codes.push(code);
    }
    let mut due = EXPECTED_CODES.to_vec();
    if log.is_some() {
        due.push(EXPECTED_PROOF_CODE);
    }
    if codes != due {
        bail!("tampering was answered with {codes:?} where {due:?} are due");
    }
    drop(session);
    started.stop().await?;
    anstream::println!(
        "\nEverything that was started has ended. `cargo demo --stay` keeps an endpoint running."
    );
    Ok(())
}

/// Waits until the receipt is in the log under the eyes of enough witnesses, and takes the proof along.
async fn wait_for_proof(session: &ask::Session, asked: &mut Asked) -> Result<Duration> {
    show::heading("Settle: the receipt becomes public, the content does not");
    let token = asked.token.as_deref().context("the answer came without a token")?;
    let answered = Instant::now();
    let proof = tokio::time::timeout(SETTLED_TIMEOUT, ask::proof(session, token, &asked.boot))
        .await
        .context("the receipt did not settle in time")??;
    let gap = answered.elapsed();
    let checkpoint = proof.claimed_checkpoint();
    show::row("place in the log", &format!("leaf {} of {}", proof.index(), checkpoint.size()));
    show::row("answered to witnessed", &format!("{} by this program's clock", show::time(gap)));
    asked.bundle = asked.bundle.clone().with_proof(proof);
    Ok(gap)
}

fn show_start(expected: &pin::Expected, log: Option<&(settle::Log, settle::Keys)>, startup: Duration) {
    show::heading("Start: programs that share nothing but sockets");
    show::row("vouchsafe-enclave-sim", "the enclave: TLS, API, model, receipt key");
    show::row("vouchsafe-host", "the host: forwards ciphertext, keeps receipts");
    if let Some((_, keys)) = log {
        show::row("vouchsafe-log", "the transparency log");
        let witnesses = keys.witnesses.len();
        let quorum = settle::Keys::QUORUM;
        show::row(
            "vouchsafe-witness",
            &format!("{witnesses} of them, {quorum} must cosign; all on this machine"),
        );
    }
    for model in &expected.models {
        show::row(
            "model",
            &format!("{} {QUIET}{}…{QUIET:#}", model.name, short(&model.manifest.to_string())),
        );
    }
    show::row("ready after", &show::time(startup));
}

fn show_attested(session: &ask::Session) {
    show::marked(GOOD, "accepted", "the evidence, for a nonce derived from this very TLS session");
    for (name, value) in &session.facts {
        show::row(name, value);
    }
}

fn show_verdict(verdict: &Verdict) {
    let style = if verdict.is_accepted() { GOOD } else { BAD };
    let code = verdict.code().unwrap_or_default();
    show::marked(
        style,
        verdict.decision().as_str(),
        &format!("{code}{}", if verdict.simulated() { "simulated evidence" } else { "" }),
    );
    anstream::println!("\n  {GOOD}proved{GOOD:#}");
    for statement in verdict.proved() {
        anstream::println!("    {:<24} {}", statement.code, show::wrapped(&statement.text, 29, 72));
    }
    anstream::println!("\n  {WARN}not proved{WARN:#}");
    for statement in verdict.not_proved().iter().filter(|s| !s.code.starts_with("ignored")) {
        anstream::println!("    {:<24} {}", statement.code, show::wrapped(&statement.text, 29, 72));
    }
    let ignored = verdict.not_proved().iter().filter(|s| s.code.starts_with("ignored")).count();
    if ignored > 0 {
        anstream::println!(
            "    {:<24} {ignored} rules that this policy ignores, each with its reason",
            "ignored"
        );
    }
}

fn show_times(
    startup: Duration,
    attestation: Duration,
    asked: &Asked,
    gap: Option<Duration>,
    verification: Duration,
) {
    show::heading("Times");
    show::row("start, model loaded", &show::time(startup));
    show::row("connect and attest", &show::time(attestation));
    show::row("first token", &show::time(asked.first_token));
    let rate = asked
        .tokens_per_second
        .map_or_else(|| "too few tokens to say".into(), |rate| format!("{rate:.0} tokens/s"));
    show::row("generation", &format!("{} tokens, {rate}", asked.completion_tokens));
    show::row("receipt after last event", &show::time(asked.receipt));
    if let Some(gap) = gap {
        show::row("answered to witnessed", &show::time(gap));
    }
    show::row("offline verification", &show::time(verification));
}

fn short(hex: &str) -> &str {
    hex.get(..16).unwrap_or(hex)
}

/// Prints text as it arrives, wrapped at word boundaries.
struct Typewriter {
    indent: usize,
    width: usize,
    column: usize,
}

impl Typewriter {
    fn new(indent: usize, width: usize) -> Self {
        Self { indent, width, column: 0 }
    }

    fn write(&mut self, text: &str) {
        let mut out = anstream::stdout().lock();
        for piece in text.split_inclusive(' ') {
            let length = piece.trim_end().chars().count();
            if self.column + length > self.width {
                let _ = write!(out, "\n{}", " ".repeat(self.indent));
                self.column = 0;
            }
            let _ = write!(out, "{piece}");
            self.column += piece.chars().count();
        }
        let _ = out.flush();
    }
}
