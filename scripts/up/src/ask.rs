//! What the demo does as a client, with the clock running.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use vouchsafe_bundle::{Bundle, Policy, VerifiedBoot};
use vouchsafe_client::{Client, Options, Request};
use vouchsafe_receipt::ExecutionRecord;
use vouchsafe_receipt::stream::data_payloads;
use vouchsafe_translog::TlogProof;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::to_hex;

/// How often to look whether a receipt has settled.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// A client whose enclave was accepted.
pub(crate) struct Session {
    client: Client,
    /// What the evidence established, for display.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// From the first packet to the verdict.
    pub(crate) attestation: Duration,
}

/// A streamed answer with its proof.
pub(crate) struct Asked {
    pub(crate) bundle: Bundle,
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
    /// Retrieves the receipt and its proof later.
    pub(crate) token: Option<String>,
    /// The enclave that answered.
    pub(crate) boot: Arc<VerifiedBoot>,
    /// From sending the request to the first text.
    pub(crate) first_token: Duration,
    pub(crate) completion_tokens: u64,
    pub(crate) tokens_per_second: Option<f64>,
    /// From the last piece of text to the end of the stream with the receipt in it.
    pub(crate) receipt: Duration,
}

/// This machine's clock: the client's own, which it may trust.
pub(crate) fn now() -> Result<UnixSeconds> {
    Ok(vouchsafe_client::now()?)
}

/// A client of the host at `address`.
pub(crate) fn client(address: SocketAddr, policy: &Policy) -> Result<Client> {
    let options = Options {
        address: address.to_string(),
        policy: policy.clone(),
        extra_roots: Vec::new(),
        revocations: None,
        image: None,
    };
    Ok(Client::new(options)?)
}

/// Connects, has the enclave attest for this connection, and judges it.
pub(crate) async fn attest(address: SocketAddr, policy: &Policy) -> Result<Session> {
    let client = client(address, policy)?;
    let begun = Instant::now();
    let attested = client.attest().await?;
    let attestation = begun.elapsed();
    let boot = Arc::clone(&attested.boot);
    let claims = boot.verdict().claims().cloned().unwrap_or(Value::Null);
    let text = |name: &str| claims[name].as_str().unwrap_or("?").to_owned();
    let facts = vec![
        ("processor", format!("{} (simulated), report version {}", text("product"), claims["version"])),
        ("guest measurement", shorten(&text("measurement"))),
        ("TLS key", "the one in the attested boot statement".to_owned()),
        ("receipt key", shorten(&to_hex(&boot.receipt_key().id()))),
    ];
    Ok(Session { client, facts, attestation })
}

/// Asks one question and hands out the answer's text as it is generated.
pub(crate) async fn stream(
    session: &Session,
    model: &str,
    prompt: &str,
    mut on_text: impl FnMut(&str),
) -> Result<Asked> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": true,
        "temperature": 0,
    });
    let request = Request::post_json("/v1/chat/completions", body.to_string());
    let mut reply = session.client.send(&request).await?;
    if !reply.is_stream() {
        let (answer, _) = session.client.finish(reply).await?;
        bail!("the enclave refused ({}): {}", answer.status, String::from_utf8_lossy(&answer.response));
    }
    let mut lines = Vec::new();
    while let Some(chunk) = reply.chunk().await? {
        lines.extend_from_slice(&chunk);
        let complete = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let ready: Vec<u8> = lines.drain(..complete).collect();
        for text in data_payloads(&ready).filter_map(text_of) {
            on_text(&text);
        }
    }
    let (answer, boot) = session.client.judge(reply).await?;
    let bundle = answer.bundle(&boot).context("the answer came without receipt")?;
    let record = answer.opening.as_ref().and_then(|opening| opening.execution.as_ref());
    let record: Option<ExecutionRecord> =
        record.and_then(|opening| serde_json::from_str(&opening.record).ok());
    let completion_tokens = record.and_then(|record| record.usage).map_or(0, |usage| usage.completion_tokens);
    let timings = answer.timings;
    let generating = timings.last_event.saturating_sub(timings.first_event).as_secs_f64();
    let tokens_per_second =
        (completion_tokens > 1 && generating > 0.0).then(|| as_f64(completion_tokens - 1) / generating);
    Ok(Asked {
        bundle,
        request: answer.request.to_vec(),
        response: answer.response.to_vec(),
        token: answer.token.clone(),
        boot,
        first_token: timings.first_event,
        completion_tokens,
        tokens_per_second,
        receipt: timings.complete.saturating_sub(timings.last_event),
    })
}

/// Waits until the receipt that `token` retrieves has settled, and gives the proof.
pub(crate) async fn proof(session: &Session, token: &str, boot: &VerifiedBoot) -> Result<TlogProof> {
    loop {
        if let Some(proof) = session.client.kept(token, boot).await?.proof {
            return Ok(proof);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn text_of(data: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(data).ok()?;
    json["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
}

fn as_f64(count: u64) -> f64 {
    // Token counts are far below 2⁵³.
    count as f64
}

fn shorten(hex: &str) -> String {
    format!("{}…", hex.get(..32).unwrap_or(hex))
}
