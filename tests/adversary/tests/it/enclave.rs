//! The real enclave library behind a socket, with a simulated processor, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use vouchsafe_adversary::{Action, Honest, Host, Meddler, Record, Records};
use vouchsafe_bundle::{Policy, Verdict};
use vouchsafe_client::{Answer, Client, Error, Options, Request};
use vouchsafe_enclave::{Config, Models, Server};
use vouchsafe_link::{Endpoint, FramedStream, Listener, SESSION_PORT};
use vouchsafe_simulator::amd::SnpMachine;

use crate::machine::{MODEL, Simulated, manifest, policy, snp};
use crate::model::Echo;

/// A booted enclave and the endpoint that hosts dial.
pub(crate) struct Enclave {
    pub(crate) endpoint: Endpoint,
    pub(crate) server: Arc<Server>,
    /// Lets the next word `gate` of an answer pass.
    pub(crate) gate: Arc<Notify>,
    accepting: JoinHandle<()>,
}

impl Drop for Enclave {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What an enclave is started with.
pub(crate) struct Boot {
    pub(crate) machine: SnpMachine,
    pub(crate) model: &'static str,
    pub(crate) config: &'static str,
}

impl Default for Boot {
    fn default() -> Self {
        Self { machine: snp(), model: MODEL, config: "{}" }
    }
}

impl Boot {
    pub(crate) async fn start(self) -> Enclave {
        let (echo, mut models) = (Echo::default(), Models::new());
        let gate = Arc::clone(&echo.gate);
        models.add_text(manifest(self.model), Arc::new(echo)).unwrap();
        let config = Config::parse(self.config.as_bytes()).unwrap();
        let server = Server::start(config, Arc::new(Simulated(self.machine)), models).await.unwrap();
        let server = Arc::new(server);
        let mut listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).await.unwrap();
        let endpoint = listener.endpoint().clone();
        let serving = Arc::clone(&server);
        let accepting = tokio::spawn(async move {
            loop {
                let (port, stream) = listener.accept().await;
                if port == SESSION_PORT {
                    serving.session(FramedStream::new(stream));
                }
            }
        });
        Enclave { endpoint, server, gate, accepting }
    }
}

impl Enclave {
    pub(crate) async fn honest() -> Self {
        Boot::default().start().await
    }

    pub(crate) async fn configured(config: &'static str) -> Self {
        Boot { config, ..Boot::default() }.start().await
    }

    /// An honest host in front of it: the control.
    pub(crate) async fn host(&self) -> Host {
        Host::start(Honest(self.endpoint.clone())).await.unwrap()
    }

    /// A host that decides over every TLS record.
    pub(crate) async fn records(&self, decide: impl FnMut(Record) -> Action + Send + 'static) -> Host {
        Host::start(Records::new(self.endpoint.clone(), decide)).await.unwrap()
    }

    /// That an honest host's client is served, whatever was tried before.
    pub(crate) async fn serves(&self) {
        let host = self.host().await;
        let answer = ask(&host, "still here").await.unwrap();
        assert!(answer.is_accepted(), "{:?}", answer.verdict.map(|verdict| verdict.to_json()));
    }
}

pub(crate) async fn meddled(meddler: impl Meddler) -> Host {
    Host::start(meddler).await.unwrap()
}

pub(crate) fn client(address: SocketAddr) -> Client {
    client_of(address, policy())
}

pub(crate) fn client_of(address: SocketAddr, policy: Policy) -> Client {
    Client::new(Options {
        address: address.to_string(),
        policy,
        extra_roots: Vec::new(),
        revocations: None,
        image: None,
    })
    .unwrap()
}

/// A chat request whose answer is its text.
pub(crate) fn question(text: &str) -> Request {
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    Request::post_json("/v1/chat/completions", with_model(&body, MODEL))
}

pub(crate) fn stream(text: &str) -> Request {
    let body = format!(r#"{{"stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    Request::post_json("/v1/chat/completions", with_model(&body, MODEL))
}

pub(crate) fn with_model(body: &str, model: &str) -> String {
    body.replacen('{', &format!(r#"{{"model":"{model}","#), 1)
}

/// Asks over a new connection.
pub(crate) async fn ask(host: &Host, text: &str) -> Result<Answer, Error> {
    client(host.address).ask(&question(text)).await.map(|(answer, _)| answer)
}

/// The codes of what a verdict leaves open.
pub(crate) fn not_proved(verdict: &Verdict) -> Vec<&str> {
    verdict.not_proved().iter().map(|statement| statement.code.as_str()).collect()
}
