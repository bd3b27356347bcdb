//! Running the built programs as a user would: what the end-to-end tests share.
//!
//! The programs are taken from the folder `VOUCHSAFE_PROGRAMS`, which `cargo xtask check` sets after
//! building them, or from `target/release`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// One of our programs.
///
/// # Panics
/// When it was not built: an end-to-end test without its program shows nothing.
pub fn program(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("VOUCHSAFE_PROGRAMS").map_or_else(|| root().join("target/release"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `cargo xtask check programs tests`", path.display());
    path
}

/// The folder of fixtures that are not ours to commit, or `None` where it is absent.
///
/// # Panics
/// When it is absent and `CI` is `true`: there it is required.
pub fn fixtures(test: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("VOUCHSAFE_FIXTURES").map_or_else(|| root().join("../shared"), PathBuf::from);
    if folder.join("reference").is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs {}", folder.display());
    eprintln!("NOT RUN: {test}: {} is absent", folder.display());
    None
}

/// A prepared path that `cargo xtask check` passes in, or `None` where the tests run without it.
///
/// # Panics
/// When it is absent and `CI` is `true`.
pub fn prepared(variable: &str, test: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs {variable}");
    eprintln!("NOT RUN: {test}: {variable} is not set; `cargo xtask check tests` sets it");
    None
}

/// A running `vouchsafe-up`, stopped when dropped.
pub struct Up {
    child: Child,
    /// The OpenAI-compatible endpoint, `http://127.0.0.1:PORT/v1`.
    pub endpoint: String,
    /// Where the untrusted host listens for attested TLS.
    pub host: String,
    /// The policy that the endpoint verifies against.
    pub policy: PathBuf,
    /// The log that receipts settle into; empty where it was started without one.
    pub log: String,
    /// State folder of this run, with `receipts/` in it.
    pub state: tempfile::TempDir,
}

impl Up {
    /// Starts enclave, host and endpoint, and waits until they answer.
    ///
    /// # Panics
    /// When they do not start.
    pub fn start(arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(program("vouchsafe-up"))
            .args(["--listen", "127.0.0.1:0", "--state"])
            .arg(state.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("vouchsafe-up starts");
        let (mut endpoint, mut host, mut policy, mut log) = (None, None, None, String::new());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        loop {
            let line = lines.next().expect("vouchsafe-up ended before it was ready").expect("text");
            // The examples come behind everything that they name.
            if line == "curl" {
                break;
            }
            match line.trim().split_once(char::is_whitespace).map(|(name, rest)| (name, rest.trim())) {
                Some(("endpoint", rest)) => endpoint = Some(rest.to_owned()),
                Some(("host", rest)) => host = Some(rest.to_owned()),
                Some(("policy", rest)) => policy = Some(PathBuf::from(rest)),
                Some(("log", rest)) => log = rest.to_owned(),
                _ => {}
            }
        }
        // Later output is of no interest, but the pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            endpoint: endpoint.unwrap_or_default(),
            host: host.unwrap_or_default(),
            policy: policy.unwrap_or_default(),
            log,
            state,
        }
    }

    /// Sends the interrupt that Ctrl-C sends, to the whole process group as a terminal does, and gives how
    /// the program ended.
    ///
    /// # Panics
    /// When the program cannot be signalled.
    pub fn interrupt(&mut self) -> std::process::ExitStatus {
        let group = format!("-{}", self.child.id());
        assert!(Command::new("kill").args(["-INT", "--", &group]).status().expect("kill").success());
        self.child.wait().expect("the program ends")
    }

    /// Posts JSON to a path below the endpoint with `curl`, which prints body and status.
    ///
    /// # Panics
    /// When curl cannot be started or prints something else.
    pub fn curl(&self, path: &str, body: &str) -> (u16, String) {
        self.curl_with(path, body, "accept: */*")
    }

    /// The same with one more header line.
    ///
    /// # Panics
    /// As [`Self::curl`].
    pub fn curl_with(&self, path: &str, body: &str, header: &str) -> (u16, String) {
        let output = run(Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "120", "--write-out", "\n%{http_code}"])
            .args(["--header", header])
            .args(["--header", "content-type: application/json", "--data-binary", body])
            .arg(format!("{}{path}", self.endpoint)));
        let text = String::from_utf8(output.stdout).expect("text");
        let (body, status) = text.rsplit_once('\n').expect("a status line");
        (status.parse().expect("a status"), body.to_owned())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
            let _ = self.child.wait();
        }
    }
}

/// Runs a command to its end, whatever its status.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()))
}
