//! Everything that runs: an enclave, its host, a log, three witnesses.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use vouchsafe_bundle::Policy;
use vouchsafe_client::Options;
use vouchsafe_translog::TrustedLog;
use vouchsafe_up::settle::Keys;
use vouchsafe_up::{launch, pin};
use vouchsafe_verifier::crypto::Ring;

use crate::log::LogFiles;
use crate::program::{Kind, Program};

/// Longest wait until everything works, at the start and at the end.
const ORDER_MAX: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);
/// The host's count of what it has yet to bring into the log.
const UNSETTLED: &str = "vouchsafe_host_unsettled ";

pub(crate) struct Installation {
    pub(crate) programs: Vec<Program>,
    pub(crate) log: Arc<LogFiles>,
    address: SocketAddr,
    metrics: SocketAddr,
    policy: Policy,
    model: String,
}

impl Installation {
    /// Starts everything and waits until a client accepts the enclave.
    pub(crate) async fn start(state: &Path, authority: Option<&Path>) -> Result<Self> {
        let folder =
            std::env::current_exe()?.parent().map(PathBuf::from).context("this program has no folder")?;
        let keys = Arc::new(Keys::make(&folder, &state.join("settlement")).await?);
        let authority = authority.map_or_else(pin::default_authority, |folder| Ok(folder.to_path_buf()))?;
        let arguments: Vec<OsString> = vec![
            "--authority".into(),
            authority.into(),
            "--settlement".into(),
            keys.write_configuration()?.into(),
        ];
        let enclave = launch::program(&folder, "vouchsafe-enclave-sim")?;
        let expected = pin::measure(&enclave, &arguments).await?;
        let policy = pin::policy(&expected, Some(&keys))?;
        let model = expected.models.first().context("no model is served")?.name.clone();
        // Their addresses stay: whoever is started again is found where it was.
        let places = Places::free()?;

        let mut programs = Vec::new();
        for (number, at) in (1..).zip(places.witnesses) {
            let keys = Arc::clone(&keys);
            let recipe = move || keys.witness(number, &at.to_string());
            programs.push(Program::new(Kind::Witness(number), Box::new(recipe)));
        }
        let witnesses: Vec<String> = places.witnesses.iter().map(SocketAddr::to_string).collect();
        let (of_log, admission) = (Arc::clone(&keys), keys.write_admission(&policy)?);
        let recipe = move || of_log.log(&places.log.to_string(), &witnesses, &admission);
        programs.push(Program::new(Kind::Log, Box::new(recipe)));
        let link = state.join("link");
        let endpoint = format!("unix:{}", link.display());
        let (host, host_state, at) =
            (launch::program(&folder, "vouchsafe-host")?, state.join("host"), endpoint.clone());
        let recipe = move || {
            let mut command = Command::new(&host);
            command.args(["run", "--connect", &at, "--listen", &places.host.to_string(), "--state"]);
            command.arg(&host_state).args(["--log", &format!("http://{}", places.log)]);
            command.args(["--metrics", &places.metrics.to_string()]);
            Ok(command)
        };
        programs.push(Program::new(Kind::Host, Box::new(recipe)));
        let recipe = move || {
            // What was killed left its socket behind.
            let _ = std::fs::remove_file(&link);
            let mut command = Command::new(&enclave);
            command.args(["--link", &endpoint]).args(&arguments);
            Ok(command)
        };
        programs.push(Program::new(Kind::Enclave, Box::new(recipe)));
        for program in &mut programs {
            program.start()?;
        }
        let trusted = TrustedLog::parse(&keys.log, &keys.witnesses, Keys::QUORUM, &Ring)?;
        let log = Arc::new(LogFiles { folder: keys.log_files(), trusted });
        let (address, metrics) = (places.host, places.metrics);
        let started = Self { programs, log, address, metrics, policy, model };
        started
            .wait("a client accepts the enclave", async || {
                started.client()?.attest().await.map(|_| true).or(Ok(false))
            })
            .await?;
        Ok(started)
    }

    /// A client of its own.
    pub(crate) fn client(&self) -> Result<vouchsafe_client::Client> {
        Ok(vouchsafe_client::Client::new(Options {
            address: self.address.to_string(),
            policy: self.policy.clone(),
            extra_roots: Vec::new(),
            revocations: None,
            image: None,
        })?)
    }

    pub(crate) fn model(&self) -> String {
        self.model.clone()
    }

    /// Waits until the host has brought everything into the log.
    pub(crate) async fn settled(&self) -> Result<()> {
        self.wait("everything is settled", async || {
            let text = scrape(self.metrics).await.unwrap_or_default();
            Ok(text.lines().any(|line| line.strip_prefix(UNSETTLED) == Some("0")))
        })
        .await
    }

    /// Waits until something holds.
    pub(crate) async fn wait(&self, what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !holds().await? {
            if begun.elapsed() > ORDER_MAX {
                bail!("waited {} s in vain: {what}", ORDER_MAX.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Ends everything in order: the enclave first, so that its last word settles.
    pub(crate) async fn stop(mut self) -> Result<()> {
        for program in self.programs.iter_mut().rev() {
            if program.kind == Kind::Host {
                // The enclave has said its last word by now; the host has to bring it into the log.
                tokio::time::sleep(LOOK).await;
            }
            program.stop().await?;
        }
        Ok(())
    }
}

/// Addresses on this machine.
struct Places {
    witnesses: [SocketAddr; 3],
    log: SocketAddr,
    host: SocketAddr,
    metrics: SocketAddr,
}

impl Places {
    fn free() -> Result<Self> {
        // All are held until each is known, so that none is given twice.
        let held: Vec<TcpListener> =
            (0..6).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let at: Vec<SocketAddr> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let [one, two, three, log, host, metrics] = at.try_into().ok().context("six addresses")?;
        Ok(Self { witnesses: [one, two, three], log, host, metrics })
    }
}

/// What a metrics endpoint says.
async fn scrape(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
