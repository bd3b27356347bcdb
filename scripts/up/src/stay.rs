//! Staying up: an OpenAI-compatible endpoint until Ctrl-C.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use vouchsafe_client::proxy::{Proxy, Served};

use crate::show::{self, BAD, GOOD, QUIET, WARN};
use crate::{Arguments, Started, ask};

pub(crate) async fn run(started: Started, arguments: &Arguments) -> Result<()> {
    let Started { mut running, log, policy, expected, state, .. } = started;
    let policy_file = state.join("policy.json");
    tokio::fs::write(&policy_file, policy.to_json()).await.context("cannot write the policy")?;
    let client = Arc::new(ask::client(running.address, &policy)?);
    client.attest().await?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let endpoint = format!("http://{}/v1", listener.local_addr()?);
    let receipts = state.join("receipts");
    let model = expected.models.first().map_or("MODEL", |model| model.name.as_str());

    anstream::println!("{GOOD}accepted{GOOD:#}  the enclave, {WARN}by simulated evidence{WARN:#}\n");
    show::row("endpoint", &endpoint);
    show::row("host", &running.address.to_string());
    show::row("policy", &policy_file.display().to_string());
    show::row("receipts", &receipts.display().to_string());
    if let Some((log, _)) = &log {
        show::row("log", &log.url);
        show::row(
            "",
            "a saved bundle gets its proof by `vouchsafe bundle FILE --log URL`, or at once where the",
        );
        show::row("", "request says `vouchsafe-assurance: settled`");
    }
    show_examples(&endpoint, model);

    let proxy = Proxy::new(client, Some(receipts), Arc::new(report));
    let mut terminated = signal(SignalKind::terminate())?;
    let ended = tokio::select! {
        served = proxy.serve(listener) => served.map(|never| match never {}).context("the endpoint failed"),
        ended = running.ended() => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminated.recv() => Ok(()),
    };
    anstream::println!("\n{QUIET}stopping{QUIET:#}");
    running.stop().await?;
    if let Some((log, _)) = log {
        log.stop().await?;
    }
    ended
}

fn show_examples(endpoint: &str, model: &str) {
    anstream::println!(
        r#"
{QUIET}curl{QUIET:#}
  curl {endpoint}/chat/completions -H 'content-type: application/json' -d '
    {{"model": "{model}", "messages": [{{"role": "user", "content": "What does a receipt prove?"}}]}}'

{QUIET}Python, with the package openai{QUIET:#}
  from openai import OpenAI
  client = OpenAI(base_url="{endpoint}", api_key="unused")
  answer = client.chat.completions.create(model="{model}",
      messages=[{{"role": "user", "content": "What does a receipt prove?"}}])
  print(answer.choices[0].message.content)

Every answer below was verified before it was passed on. Ctrl-C stops everything.
"#
    );
}

fn report(served: Served) {
    let (style, word) = match served.accepted {
        Some(true) => (GOOD, "accepted"),
        Some(false) => (BAD, "rejected"),
        None => (QUIET, "no receipt"),
    };
    let code = served.code.unwrap_or_default();
    let bundle = served.bundle.map(|file| file.display().to_string()).unwrap_or_default();
    show::marked(style, word, &format!("{} {} {code}{bundle}", served.status.as_u16(), served.path));
}
