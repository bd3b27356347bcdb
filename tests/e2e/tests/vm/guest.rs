//! A guest, its host, and its client, as programs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe_e2e::{program, root, run};

/// An image, as it was built or a copy to be changed.
pub(crate) struct Image {
    folder: PathBuf,
    _copy: Option<TempDir>,
}

impl Image {
    /// The one that was built for the tests.
    pub(crate) fn built() -> Self {
        Self { folder: named("VOUCHSAFE_IMAGE"), _copy: None }
    }

    /// A copy to change.
    pub(crate) fn copy(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&self.folder).unwrap().flatten() {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        Self { folder: copy.path().to_path_buf(), _copy: Some(copy) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join(name)).unwrap()).unwrap()
    }

    /// The digest of the demo model's manifest, computed when the disk was made.
    pub(crate) fn model_manifest(&self) -> String {
        self.json("manifest.json")["disk"]["models"][0]["manifest"].as_str().unwrap().to_owned()
    }

    /// The shipped simulation policy, narrowed to this image on the guest's simulated processor.
    pub(crate) fn policy(&self, guest: &Guest) -> PathBuf {
        self.policy_with_model(guest, &self.model_manifest())
    }

    /// The same with another model.
    pub(crate) fn policy_with_model(&self, guest: &Guest, manifest: &str) -> PathBuf {
        let shipped = fs::read(root().join("policies/simulated.json")).unwrap();
        let mut policy: Value = serde_json::from_slice(&shipped).unwrap();
        let printed = run(Command::new(program("vouchsafe-processor-sim"))
            .arg("root")
            .arg("--authority")
            .arg(&guest.authority));
        let root_sha256 = String::from_utf8(printed.stdout).unwrap();
        policy["trust"]["simulated_roots"] = json!({"require": [root_sha256.trim()]});
        policy["measurements"] = self.json("measurements-tdx.json")["measurements"].clone();
        policy["models"] = json!({"require": [{"name": "vouchsafe-demo", "manifest": manifest}]});
        let path = guest.folder.path().join(format!("policy-{}.json", &manifest[..8]));
        fs::write(&path, serde_json::to_vec_pretty(&policy).unwrap()).unwrap();
        path
    }
}

/// What a command judged.
pub(crate) struct Verdict {
    pub(crate) decision: String,
    pub(crate) code: String,
    /// All of it, JSON.
    pub(crate) text: String,
}

impl Verdict {
    fn of(output: &std::process::Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("no verdict: {text}{}", String::from_utf8_lossy(&output.stderr)));
        let word = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self { decision: word("verdict"), code: word("code"), text }
    }
}

/// One answer's files.
pub(crate) struct Answer(TempDir);

impl Answer {
    pub(crate) fn verify(&self, policy: &Path) -> Verdict {
        let file = |name: &str| self.0.path().join(name);
        Verdict::of(&run(Command::new(program("vouchsafe"))
            .arg("verify")
            .arg(file("chat-001-bundle.json"))
            .arg("--policy")
            .arg(policy)
            .arg("--request")
            .arg(file("chat-001-request.json"))
            .arg("--response")
            .arg(file("chat-001-response.sse"))
            .args(["--format", "json"])))
    }
}

/// A host that ended by itself.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) errors: String,
}

/// A guest and its host; both end with this.
pub(crate) struct Guest {
    host: Child,
    lines: BufReader<ChildStdout>,
    image: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    authority: PathBuf,
    address: String,
    /// Process id of the machine.
    pub(crate) machine: u32,
    /// The boot id.
    pub(crate) boot: String,
}

impl Guest {
    /// Starts one and waits until it serves.
    pub(crate) fn start(image: &Image, arguments: &[&str]) -> Self {
        Self::launch(image, None, arguments).ready()
    }

    /// The same with a simulated authority that outlives it.
    pub(crate) fn start_with(image: &Image, authority: &Path, arguments: &[&str]) -> Self {
        Self::launch(image, Some(authority.join("intel")), arguments).ready()
    }

    /// Starts one that does not come to serve.
    pub(crate) fn start_to_end(image: &Image) -> Ended {
        let mut guest = Self::launch(image, None, &[]);
        let mut errors = String::new();
        guest.host.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        Ended { status: guest.host.wait().unwrap(), errors }
    }

    fn launch(image: &Image, authority: Option<PathBuf>, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority.unwrap_or_else(|| folder.path().join("authority"));
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let (host, lines) = host(image.folder(), folder.path(), &authority, &arguments);
        let image = image.folder().to_path_buf();
        let (address, boot) = (String::new(), String::new());
        Self { host, lines, image, arguments, folder, authority, address, machine: 0, boot }
    }

    fn ready(mut self) -> Self {
        self.wait_for_host();
        self
    }

    fn wait_for_host(&mut self) {
        self.address = self.line("listening");
        // Nobody reads what it says to people, and its pipe must not fill up.
        let mut errors = self.host.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            eprint!("{text}");
        });
        self.wait_until_ready();
    }

    pub(crate) fn wait_until_ready(&mut self) {
        let started = self.line("started");
        let pid = started.split(' ').next().and_then(|word| word.strip_prefix("pid=")).unwrap();
        self.machine = pid.parse().unwrap();
        self.boot = self.line("ready");
    }

    /// The rest of the next line of the host's that begins with `word`.
    pub(crate) fn line(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.lines.read_line(&mut line).unwrap();
            assert!(count > 0, "the host ended before it said {word:?}; serial log:\n{}", self.serial());
            if let Some(rest) = line.trim().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// What the guest wrote to its serial console.
    pub(crate) fn serial(&self) -> String {
        let log = fs::read(self.folder.path().join("s/guest/serial.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(crate) fn attest(&self, policy: &Path) -> Verdict {
        let mut command = Command::new(program("vouchsafe"));
        Verdict::of(&run(command.args(["attest", &self.address, "--format", "json", "--policy"]).arg(policy)))
    }

    pub(crate) fn chat(&self, policy: &Path, prompt: &str) -> Answer {
        let answer = tempfile::tempdir().unwrap();
        let mut chat = Command::new(program("vouchsafe"))
            .args(["chat", "--to", &self.address, "--policy"])
            .arg(policy)
            .arg("--receipts")
            .arg(answer.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        chat.stdin.take().unwrap().write_all(format!("{prompt}\n").as_bytes()).unwrap();
        let output = chat.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Answer(answer)
    }

    /// Asks the host to stop and waits for it; the serial log goes into view before the folder goes.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        // The folder of the guest goes with an orderly end: its log is kept from now on.
        let log = self.folder.path().join("s/guest/serial.log");
        let kept = self.folder.path().join("serial.log");
        fs::hard_link(&log, &kept).unwrap();
        signal("-TERM", self.host.id());
        let status = self.host.wait().unwrap();
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::rename(kept, log).unwrap();
        status
    }

    pub(crate) fn kill_machine(&self) {
        signal("-KILL", self.machine);
    }

    pub(crate) fn kill_host(&mut self) {
        signal("-KILL", self.host.id());
        self.host.wait().unwrap();
    }

    pub(crate) fn start_host_again(&mut self) {
        let (host, lines) = host(&self.image, self.folder.path(), &self.authority, &self.arguments);
        (self.host, self.lines) = (host, lines);
        self.wait_for_host();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.host.try_wait().ok().flatten().is_none() {
            signal("-TERM", self.host.id());
            let _ = self.host.wait();
        }
    }
}

fn host(
    image: &Path,
    folder: &Path,
    authority: &Path,
    arguments: &[String],
) -> (Child, BufReader<ChildStdout>) {
    let mut host = Command::new(program("vouchsafe-host"))
        .args(["run", "--backend", "vm", "--listen", "127.0.0.1:0", "--memory", "1024", "--vcpus", "2"])
        .arg("--image")
        .arg(image)
        .arg("--state")
        .arg(folder.join("s"))
        .arg("--authority")
        .arg(authority)
        .arg("--qemu")
        .arg(named("VOUCHSAFE_QEMU"))
        .arg("--vsock-backend")
        .arg(named("VOUCHSAFE_VSOCK_BACKEND"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap());
    (host, lines)
}

/// What `cargo xtask` prepared for these tests.
fn named(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.unwrap_or_else(|| panic!("{variable} is not set: `cargo xtask image --test` sets it")).into()
}

fn signal(name: &str, id: u32) {
    // It fails where the process has ended, which is the aim as a rule.
    let _ = Command::new("kill").args([name, &id.to_string()]).stderr(Stdio::null()).status();
}

/// A cpio archive ("newc") of one file.
pub(crate) fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content, mode) in [(name, content, 0o100_644), ("TRAILER!!!", &b""[..], 0)] {
        let length = name.len() + 1;
        out.extend_from_slice(b"070701");
        let fields = [1, mode, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, length, 0];
        fields.iter().for_each(|field| out.extend_from_slice(format!("{field:08x}").as_bytes()));
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}
