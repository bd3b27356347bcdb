//! A transparency log with three witnesses on this machine, for the receipts to settle into.
//!
//! They are programs of their own, as they would be on machines of their own. Keys come first, since
//! the enclave's measured configuration names them; the log itself starts when the policy is known that
//! decides which boots it admits.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use vouchsafe_bundle::Policy;

use crate::launch;

/// How many witnesses there are.
const WITNESSES: usize = 3;
/// Longest wait for one of the programs to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The keys of a log and its witnesses, made in a folder or found there.
pub struct Keys {
    programs: PathBuf,
    folder: PathBuf,
    /// The log's verifier key.
    pub log: String,
    /// The witnesses' verifier keys.
    pub witnesses: Vec<String>,
}

/// A running log. Dropping it kills the log and its witnesses.
pub struct Log {
    programs: Vec<Program>,
    /// Where anyone can read it.
    pub url: String,
}

/// A program that said where it listens.
struct Program {
    child: Child,
    address: String,
    /// Keeps the pipe open, so that the program never fails to write.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Keys {
    /// How many of them must cosign a checkpoint.
    pub const QUORUM: usize = 2;

    /// Makes the keys, or reads those of an earlier run.
    pub async fn make(programs: &Path, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log_program = launch::program(programs, "vouchsafe-log")?;
        let witness_program = launch::program(programs, "vouchsafe-witness")?;
        let origin = ["--origin".to_owned(), "localhost/log".to_owned()];
        let log = verifier_key(&log_program, "--dir", &folder.join("log"), &origin).await?;
        let mut witnesses = Vec::new();
        for number in 1..=WITNESSES {
            let name = ["--name".to_owned(), format!("localhost/witness-{number}")];
            witnesses.push(verifier_key(&witness_program, "--state", &witness(folder, number), &name).await?);
        }
        Ok(Self { programs: programs.to_path_buf(), folder: folder.to_path_buf(), log, witnesses })
    }

    /// Writes the section `settlement` of the enclave's configuration and says where.
    pub fn write_configuration(&self) -> Result<PathBuf> {
        let path = self.folder.join("settlement.json");
        let section = json!({"log": {"key": self.log, "witnesses": self.witnesses, "quorum": Self::QUORUM}});
        std::fs::write(&path, section.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The folder of the files that the log serves.
    pub fn log_files(&self) -> PathBuf {
        self.folder.join("log/public")
    }

    /// The command that runs witness `number`, from 1 on, listening at an address.
    ///
    /// # Errors
    /// Where the program is missing.
    pub fn witness(&self, number: usize, listen: &str) -> Result<Command> {
        let mut command = Command::new(launch::program(&self.programs, "vouchsafe-witness")?);
        command.arg("serve").arg("--state").arg(witness(&self.folder, number));
        command.args(["--listen", listen, "--log", &self.log]);
        Ok(command)
    }

    /// Writes the policy that boots have to satisfy whom the log admits, and says where.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_admission(&self, policy: &Policy) -> Result<PathBuf> {
        let path = self.folder.join("admission.json");
        std::fs::write(&path, policy.to_json())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The command that runs the log, listening at an address, with its witnesses at theirs. It admits boots that
    /// satisfy the policy at `admission`.
    ///
    /// # Errors
    /// Where the program is missing.
    pub fn log(&self, listen: &str, witnesses: &[String], admission: &Path) -> Result<Command> {
        let mut command = Command::new(launch::program(&self.programs, "vouchsafe-log")?);
        command.arg("serve").arg("--dir").arg(self.folder.join("log"));
        command
            .args(["--listen", listen, "--quorum", &Self::QUORUM.to_string(), "--admission"])
            .arg(admission);
        for (address, key) in witnesses.iter().zip(&self.witnesses) {
            command.args(["--witness", &format!("http://{address}={key}")]);
        }
        Ok(command)
    }

    /// Starts the witnesses and the log. The log admits boots that satisfy `policy`.
    ///
    /// # Errors
    /// Where one of them does not start.
    pub async fn serve(&self, policy: &Policy) -> Result<Log> {
        const ANY: &str = "127.0.0.1:0";
        let (mut programs, mut addresses) = (Vec::new(), Vec::new());
        for number in 1..=self.witnesses.len() {
            let program = Program::start(self.witness(number, ANY)?).await;
            let program = program.with_context(|| format!("witness {number}"))?;
            addresses.push(program.address.clone());
            programs.push(program);
        }
        let log = Program::start(self.log(ANY, &addresses, &self.write_admission(policy)?)?)
            .await
            .context("the log")?;
        let url = format!("http://{}", log.address);
        programs.push(log);
        Ok(Log { programs, url })
    }
}

impl Log {
    /// Asks every program to end, the log first, and waits for them.
    pub async fn stop(self) -> Result<()> {
        for program in self.programs.into_iter().rev() {
            launch::end(program.child).await?;
        }
        Ok(())
    }
}

impl Program {
    async fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // A Ctrl-C at the terminal is not for these: what the enclave signs last has yet to settle.
        command.process_group(0);
        let mut child = command.spawn().context("cannot be started")?;
        let complaints = launch::Complaints::collect(child.stderr.take());
        let stdout = child.stdout.take().context("its output is not piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("listening ") {
                    return Ok(address.to_owned());
                }
            }
            bail!("it ended before it listened")
        };
        match tokio::time::timeout(START_TIMEOUT, listens).await.context("it did not start in time")? {
            Ok(address) => Ok(Self { child, address, _lines: lines }),
            Err(error) => {
                complaints.show().await;
                Err(error)
            }
        }
    }
}

fn witness(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("witness-{number}"))
}

/// The verifier key of what lives in `place`, which is made where it is missing.
async fn verifier_key(program: &Path, option: &str, place: &Path, naming: &[String]) -> Result<String> {
    let mut command = Command::new(program);
    if place.exists() {
        command.arg("vkey").arg(option).arg(place);
    } else {
        command.arg("init").arg(option).arg(place).args(naming);
    }
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} has no key ({}): {}", place.display(), output.status, complaint.trim());
    }
    Ok(String::from_utf8(output.stdout).context("a verifier key")?.trim().to_owned())
}
