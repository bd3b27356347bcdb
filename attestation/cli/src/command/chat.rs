//! `vouchsafe chat`: talk to a verified enclave in the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use vouchsafe_bundle::VerifiedBoot;
use vouchsafe_client::{Answer, Client, Request};
use vouchsafe_receipt::stream::data_payloads;

use super::{Format, enclave};
use crate::failure::Failure;
use crate::output::{BOLD, DIM, GREEN, RED, YELLOW, clean};

/// Talk to a verified enclave in the terminal
///
/// Every line is a message; the verdict stands under each answer. Ends with the input. Exit status: 0
/// when every answer was accepted, 10 when one was not, else as `vouchsafe attest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the operator's host listens
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    enclave: enclave::Enclave,
    /// The model to ask; default: the first that is served
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A system message to begin with
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Write the bundle of each answer here, numbered, with request and response beside it
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let client = arguments.enclave.client(&arguments.to)?;
    let runtime = enclave::runtime()?;
    let attested = match runtime.block_on(enclave::attest(&client, Format::Text, false))? {
        Ok(attested) => attested,
        Err(code) => return Ok(code),
    };
    let how = if attested.boot.simulated() { ", by simulated evidence" } else { "" };
    anstream::eprintln!(
        "{GREEN}accepted{GREEN:#}  the enclave at {}{YELLOW}{how}{YELLOW:#}",
        clean(&arguments.to)
    );
    let model = match &arguments.model {
        Some(model) => model.clone(),
        None => runtime.block_on(first_model(&client))?,
    };
    anstream::eprintln!("{DIM}model {}; end with Ctrl-D{DIM:#}", clean(&model));
    let mut chat = Chat::new(client, model, arguments);
    let mut lines = stdin().lock().lines();
    let mut all_accepted = true;
    loop {
        if stdin().is_terminal() {
            anstream::eprint!("\n{BOLD}>{BOLD:#} ");
        }
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|error| Failure::Own(format!("can't read: {error}")))?;
        if !line.trim().is_empty() {
            all_accepted &= runtime.block_on(chat.ask(line.trim()))?;
        }
    }
    Ok(if all_accepted { ExitCode::SUCCESS } else { ExitCode::from(10) })
}

/// The first model that the enclave serves.
async fn first_model(client: &Client) -> Result<String, Failure> {
    let (answer, _) = client.ask(&Request::get("/v1/models")).await?;
    let list: Value = serde_json::from_slice(&answer.response).unwrap_or_default();
    let first = list["data"][0]["id"].as_str();
    first.map(str::to_owned).ok_or_else(|| Failure::Own("the enclave names no model; give --model".into()))
}

/// A conversation.
struct Chat {
    client: Arc<Client>,
    model: String,
    messages: Vec<Value>,
    receipts: Option<PathBuf>,
    answers: usize,
}

impl Chat {
    fn new(client: Arc<Client>, model: String, arguments: &Arguments) -> Self {
        let system = arguments.system.iter().map(|text| json!({"role": "system", "content": text}));
        Self { client, model, messages: system.collect(), receipts: arguments.receipts.clone(), answers: 0 }
    }

    /// Asks, shows the answer as it comes and the verdict under it. Gives whether it was accepted; an
    /// answer that was not does not become part of the conversation.
    async fn ask(&mut self, text: &str) -> Result<bool, Failure> {
        self.messages.push(json!({"role": "user", "content": text}));
        let body = json!({"model": self.model, "messages": self.messages, "stream": true});
        let request = Request::post_json("/v1/chat/completions", body.to_string());
        let mut reply = self.client.send(&request).await?;
        if !reply.is_stream() {
            let (answer, _) = self.client.finish(reply).await?;
            self.messages.pop();
            anstream::eprintln!("{RED}refused{RED:#}  {}", clean(&refusal(&answer)));
            return Ok(true);
        }
        let (mut said, mut lines) = (String::new(), Vec::new());
        let broke = loop {
            let chunk = match reply.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            lines.extend_from_slice(&chunk);
            let whole = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let ready: Vec<u8> = lines.drain(..whole).collect();
            for text in data_payloads(&ready).filter_map(content) {
                show(&text)?;
                said.push_str(&text);
            }
        };
        show("\n")?;
        let (answer, boot) = self.client.judge(reply).await?;
        let accepted = broke.is_none() && answer.is_accepted();
        if accepted {
            self.messages.push(json!({"role": "assistant", "content": said}));
        } else {
            self.messages.pop();
        }
        verdict(&answer, broke.as_ref());
        self.keep(&answer, &boot)?;
        Ok(accepted)
    }

    /// Writes what was signed, if anything was, where the user wants it.
    fn keep(&mut self, answer: &Answer, boot: &VerifiedBoot) -> Result<(), Failure> {
        let (Some(folder), Ok(bundle)) = (&self.receipts, answer.bundle(boot)) else { return Ok(()) };
        let own = |error: std::io::Error| Failure::Own(format!("can't write {}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(own)?;
        self.answers += 1;
        let name = |suffix: &str| folder.join(format!("chat-{:03}-{suffix}", self.answers));
        std::fs::write(name("request.json"), &answer.request).map_err(own)?;
        std::fs::write(name("response.sse"), &answer.response).map_err(own)?;
        std::fs::write(name("bundle.json"), bundle.to_json()).map_err(own)
    }
}

fn content(data: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(data).ok()?;
    event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
}

/// Prints text as it comes, without what could control the terminal.
fn show(text: &str) -> Result<(), Failure> {
    let lines: Vec<String> = text.split('\n').map(clean).collect();
    let mut out = stdout().lock();
    write!(out, "{}", lines.join("\n"))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Own(format!("can't write: {error}")))
}

/// One line under the answer.
fn verdict(answer: &Answer, broke: Option<&vouchsafe_client::Error>) {
    let verdict = answer.verdict.as_ref();
    let simulated = if verdict.is_some_and(|verdict| verdict.simulated()) { ", simulated" } else { "" };
    let seconds = answer.timings.complete.as_secs_f64();
    if let Some(error) = broke {
        let is_prefix_proved = verdict.is_some_and(|verdict| verdict.is_accepted());
        let what = if is_prefix_proved { "; what came before the last signed head is proved" } else { "" };
        let text = format!("{error} ({}){what}", error.code());
        return anstream::eprintln!("{RED}broken off{RED:#}  {}", clean(&text));
    }
    match verdict.filter(|_| answer.receipt.is_some()) {
        Some(verdict) if verdict.is_accepted() => {
            let receipt = verdict.receipt().map(|receipt| format!("receipt {}, ", receipt.seq));
            let receipt = receipt.unwrap_or_default();
            anstream::eprintln!("{GREEN}accepted{GREEN:#}{DIM}  {receipt}{seconds:.1} s{simulated}{DIM:#}");
        }
        Some(verdict) => {
            let (code, detail) = (verdict.code().unwrap_or_default(), verdict.detail().unwrap_or_default());
            let decision = verdict.decision();
            anstream::eprintln!("{RED}{decision}{RED:#}  {BOLD}{code}{BOLD:#}  {}", clean(detail));
        }
        None => anstream::eprintln!("{RED}rejected{RED:#}  {BOLD}receipt_missing{BOLD:#}"),
    }
}

/// What an enclave says that answers with an error.
fn refusal(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.response).unwrap_or_default();
    let message = body["error"]["message"].as_str().map(str::to_owned);
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(&answer.response).into_owned());
    format!("{}: {message}", answer.status)
}
