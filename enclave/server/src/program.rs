//! What the production program and the simulated one have in common: arguments, start-up, signals.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use vouchsafe_link::{CONTROL_PORT, Endpoint, FramedStream, Listener};
use vouchsafe_platform::Attester;

use crate::control::{self, Stage, Subject};
use crate::models::{self, ModelSource, Progress};
use crate::{Config, Models, ServeError, Server, SettlementConfig, report};

/// How long the host gets to read the last words.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);
/// Longest configuration file, in bytes.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Least time between two lines of progress; what loads faster says nothing.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of both programs.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The measured configuration, JSON; defaults where absent
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The measured configuration's section `settlement`, JSON, in place of the one in --config
    #[arg(long, value_name = "FILE")]
    pub settlement: Option<PathBuf>,
    /// What to serve.
    #[command(flatten)]
    pub models: ModelOptions,
}

/// Arguments that name models.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelOptions {
    /// A model to serve: a GGUF file, or a folder of safetensors
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Name to serve the model under, where not the file's own
    #[arg(long)]
    pub name: Option<String>,
    /// A sentence-embedding model to serve: a folder in the layout of sentence-transformers, or a GGUF file
    #[arg(long, value_name = "PATH")]
    pub embedding_model: Option<PathBuf>,
    /// Name to serve the embedding model under, where not the folder's
    #[arg(long, value_name = "NAME")]
    pub embedding_name: Option<String>,
}

impl ModelOptions {
    /// What these arguments name, with `own_model` where they name no model that writes text.
    pub fn sources(&self, own_model: Option<ModelSource>) -> Vec<ModelSource> {
        let mut sources = Vec::new();
        match &self.model {
            Some(path) => sources.push(ModelSource::Text { path: path.clone(), name: self.name.clone() }),
            None => sources.extend(own_model),
        }
        if let Some(path) = &self.embedding_model {
            let name = self.embedding_name.clone();
            sources.push(ModelSource::Embedding { path: path.clone(), name });
        }
        sources
    }
}

/// Reads the measured configuration; defaults where no file is named.
///
/// # Errors
/// [`ServeError::File`] or [`ServeError::Config`].
pub fn read_config(options: &Options) -> Result<Config, ServeError> {
    let mut config = match &options.config {
        None => Config::default(),
        Some(path) => Config::parse(&read(path)?)?,
    };
    if let Some(path) = &options.settlement {
        config.settlement = SettlementConfig::parse(&read(path)?)?;
    }
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    let failed = |source| ServeError::File { path: path.display().to_string(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > CONFIG_BYTES_MAX {
        return Err(ServeError::Config(format!("{length} bytes, at most {CONFIG_BYTES_MAX} are accepted")));
    }
    std::fs::read(path).map_err(failed)
}

/// Runs an enclave until it is told to end. `own_model` is served where no model is named, and
/// `attester` is asked for once the configuration is known.
pub fn run(
    link: &Endpoint,
    options: &Options,
    own_model: Option<ModelSource>,
    attester: impl FnOnce(&Config) -> Result<Arc<dyn Attester>, ServeError>,
) -> ExitCode {
    report::silence_panics();
    let result = read_config(options)
        .and_then(|config| run_until_told(link, options.models.sources(own_model), config, attester));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}

/// Serves these models until the program is told to end.
pub(crate) fn run_until_told(
    link: &Endpoint,
    sources: Vec<ModelSource>,
    config: Config,
    attester: impl FnOnce(&Config) -> Result<Arc<dyn Attester>, ServeError>,
) -> Result<(), ServeError> {
    let attester = attester(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ServeError::System { action: "cannot start the runtime", source })?;
    let result = runtime.block_on(serve(link, sources, config, attester));
    // A model that is still being loaded must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn serve(
    link: &Endpoint,
    sources: Vec<ModelSource>,
    config: Config,
    attester: Arc<dyn Attester>,
) -> Result<(), ServeError> {
    let mut told_to_end = Ending::new()?;
    let ending = Arc::clone(&told_to_end.host);
    let listener = Listener::bind(link).await?;
    let first = Stage::Loading { stage: "models".into(), done: 0, total: 0 };
    let (stage, watched) = watch::channel(first);
    let server = Arc::new(OnceLock::new());
    let subject = Subject { stage: watched, server: Arc::clone(&server), ending };
    let mut accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, subject)));

    let started = tokio::select! {
        () = told_to_end.wait() => return Ok(()),
        started = start(sources, config, attester, &stage) => started,
    };
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            let (code, message) = (error.code(), error.to_string());
            stage.send_replace(Stage::Failed { code, message });
            drop(stage);
            // The control connection ends by itself once it has said so.
            let _ = timeout(LAST_WORDS_MAX, &mut accepting).await;
            return Err(error);
        }
    };
    let started = server.get_or_init(|| started);
    if started.settles() {
        stage.send_replace(Stage::Loading { stage: "settlement".into(), done: 0, total: 0 });
        report::note("waiting for the log to prove that it holds the boot record");
        tokio::select! {
            () = told_to_end.wait() => return Ok(()),
            () = started.settle() => {}
        }
    }
    stage.send_replace(Stage::Ready);
    report::ready(&started.boot_id());

    told_to_end.wait().await;
    report::note("ending: answering what is in progress");
    started.stop().await;
    let outbox = started.context().issuer.outbox();
    // Receipts that settle had their time before.
    if !started.settles() {
        let _ = timeout(LAST_WORDS_MAX, outbox.settled()).await;
    }
    let lost = outbox.dropped();
    if lost > 0 {
        report::note(&format!("{lost} receipts gave way before the host took them"));
    }
    Ok(())
}

/// Loads the models and boots.
async fn start(
    sources: Vec<ModelSource>,
    config: Config,
    attester: Arc<dyn Attester>,
    stage: &watch::Sender<Stage>,
) -> Result<Server, ServeError> {
    let loaded = tokio::task::spawn_blocking({
        let (config, stage) = (config.clone(), stage.clone());
        let mut lines = Lines::default();
        move || -> Result<Models, ServeError> {
            models::load(&sources, &config, &mut |progress| {
                let Progress { model, done, total } = progress.clone();
                stage.send_replace(Stage::Loading { stage: model, done, total });
                if lines.is_due() {
                    report::loading(&progress);
                }
            })
        }
    });
    let models = loaded.await.map_err(|_| ServeError::Stopped("loading"))??;
    Server::start(config, attester, models).await
}

/// Thins out progress to what somebody may want to read.
struct Lines {
    said: Instant,
}

impl Default for Lines {
    fn default() -> Self {
        Self { said: Instant::now() }
    }
}

impl Lines {
    fn is_due(&mut self) -> bool {
        let is_due = self.said.elapsed() >= PROGRESS_INTERVAL;
        if is_due {
            self.said = Instant::now();
        }
        is_due
    }
}

/// Hands the host's connections on: sessions once the enclave has booted, control from the start.
async fn accept(mut listener: Listener, subject: Subject) {
    let mut control: Option<AbortOnDropHandle<()>> = None;
    let mut stage = subject.stage.clone();
    loop {
        let (port, stream) = tokio::select! {
            accepted = listener.accept() => accepted,
            // Start-up failed: the control connection says so, and there is nothing to accept any more.
            () = ended(&mut stage) => {
                if let Some(control) = control {
                    let _ = control.await;
                }
                return;
            }
        };
        if port == CONTROL_PORT {
            // The newest connection counts; the one before is dropped here.
            control = Some(AbortOnDropHandle::new(tokio::spawn(control::serve(stream, subject.clone()))));
        } else if let Some(server) = subject.server.get() {
            server.session(FramedStream::new(stream));
        }
    }
}

/// Resolves when no stage will follow.
async fn ended(stage: &mut watch::Receiver<Stage>) {
    while stage.changed().await.is_ok() {}
}

/// What ends the program: signals, and the host's word.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
    host: Arc<Notify>,
}

impl Ending {
    fn new() -> Result<Self, ServeError> {
        let listen = |kind| {
            signal(kind).map_err(|source| ServeError::System { action: "cannot listen for signals", source })
        };
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, host: Arc::default() })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = self.host.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_file_is_read_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, br#"{"operator":"example"}"#).unwrap();
        let models = || ModelOptions { model: None, name: None, embedding_model: None, embedding_name: None };
        let read = |config: Option<&Path>, settlement: Option<&Path>| {
            let (config, settlement) = (config.map(Path::to_owned), settlement.map(Path::to_owned));
            read_config(&Options { config, settlement, models: models() })
        };
        assert_eq!(read(Some(&path), None).unwrap().operator.as_deref(), Some("example"));
        assert_eq!(read(None, None).unwrap(), Config::default());
        assert_eq!(read(None, Some(&path)).unwrap_err().code(), "config");
        std::fs::write(&path, vec![b' '; 70_000]).unwrap();
        assert_eq!(read(Some(&path), None).unwrap_err().code(), "config");
        assert_eq!(read(Some(&folder.path().join("none")), None).unwrap_err().code(), "file");
    }
}
