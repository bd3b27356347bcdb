//! `vouchsafe proxy`: an OpenAI-compatible endpoint on this machine in front of a verified enclave.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use vouchsafe_client::Client;
use vouchsafe_client::proxy::{Proxy, Served};

use super::{Format, enclave};
use crate::failure::Failure;
use crate::output::{DIM, GREEN, RED, YELLOW, clean};

/// Serve an OpenAI-compatible endpoint on this machine in front of a verified enclave
///
/// Nothing is forwarded to an enclave that the policy does not accept, and no answer is passed on as
/// complete before its receipt was accepted. Ends with Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the operator's host listens
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    enclave: enclave::Enclave,
    /// Where programs on this machine connect; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8787", value_parser = loopback)]
    listen: SocketAddr,
    /// Keep the bundle of every answer here, with request and response beside it
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let client = arguments.enclave.client(&arguments.to)?;
    enclave::runtime()?.block_on(serve(client, arguments))
}

async fn serve(client: Arc<Client>, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match enclave::attest(&client, Format::Text, false).await {
        Ok(Ok(attested)) => {
            let how = if attested.boot.simulated() { ", by simulated evidence" } else { "" };
            anstream::println!("{GREEN}accepted{GREEN:#}  the enclave at {}{how}", clean(&arguments.to));
        }
        Ok(Err(code)) => return Ok(code),
        // It may come later. Until then programs are told so.
        Err(Failure::Enclave(error)) if !error.is_refusal() => {
            anstream::println!("{YELLOW}waiting{YELLOW:#}   {}", clean(&error.to_string()));
        }
        Err(failure) => return Err(failure),
    }
    let own = |what: &str, error: std::io::Error| Failure::Own(format!("{what}: {error}"));
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| own(&format!("can't listen on {}", arguments.listen), error))?;
    let address = listener.local_addr().map_err(|error| own("can't listen", error))?;
    anstream::println!("endpoint  http://{address}/v1");
    if let Some(folder) = &arguments.receipts {
        anstream::println!("receipts  {}", enclave::shown(folder));
    }
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| own("can't listen for signals", error))?;
    let proxy = Proxy::new(client, arguments.receipts.clone(), Arc::new(report));
    tokio::select! {
        served = proxy.serve(listener) => match served {
            Ok(never) => match never {},
            Err(error) => Err(own("the endpoint failed", error)),
        },
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
    }
}

/// One line for each answer.
fn report(served: Served) {
    let (style, word) = match served.accepted {
        Some(true) => (GREEN, "accepted"),
        Some(false) => (RED, "rejected"),
        None => (DIM, "-"),
    };
    let code = served.code.map(|code| format!("  {code}")).unwrap_or_default();
    let bundle = served.bundle.map(|file| format!("  {}", file.display())).unwrap_or_default();
    let (status, path) = (served.status.as_u16(), served.path);
    anstream::println!("{style}{word:<8}{style:#}  {status} {}", clean(&format!("{path}{code}{bundle}")));
}

/// Prompts travel to this endpoint in the clear, so they must not leave the machine on the way.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected an address as 127.0.0.1:8787".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!("{address} is not a loopback address, and this endpoint speaks plain HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_in_the_clear_stay_on_this_machine() {
        assert!(loopback("127.0.0.1:0").is_ok() && loopback("[::1]:8787").is_ok());
        assert!(loopback("0.0.0.0:8787").unwrap_err().contains("not a loopback"));
        assert!(loopback("localhost").is_err());
    }
}
