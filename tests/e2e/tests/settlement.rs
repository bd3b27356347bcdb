//! What the log shows of a running endpoint: a monitor follows it and asks questions of its own, a bundle
//! is assembled by a receipt's token, the status page is looked at in a browser.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vouchsafe_e2e::{Up, prepared, program, run};

/// A monitor of the log that an endpoint's receipts settle into.
struct Monitor {
    child: Child,
    folder: PathBuf,
}

impl Monitor {
    fn start(up: &Up, folder: &Path, model: &str) -> Self {
        let keys = std::fs::read(up.state.path().join("settlement/settlement.json")).unwrap();
        let keys: Value = serde_json::from_slice(&keys).unwrap();
        let mut command = Command::new(program("vouchsafe-monitor"));
        command.args(["run", "--log", &up.log, "--key", keys["log"]["key"].as_str().unwrap()]);
        for witness in keys["log"]["witnesses"].as_array().unwrap() {
            command.args(["--witness", witness.as_str().unwrap()]);
        }
        command.args(["--quorum", "2", "--poll-ms", "100", "--policy"]).arg(&up.policy);
        command.args(["--canary", &up.host, "--canary-model", model, "--canary-interval", "1"]);
        for part in ["state", "status", "mirror"] {
            command.arg(format!("--{part}")).arg(folder.join(part));
        }
        Self { child: command.spawn().unwrap(), folder: folder.into() }
    }

    fn metrics(&self) -> String {
        std::fs::read_to_string(self.folder.join("status/metrics.prom")).unwrap_or_default()
    }

    /// A metric's value, once it is there.
    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_monitor_follows_a_real_enclave_and_anyone_can_prove_an_answer() {
    let up = Up::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let models = run(Command::new("curl").args(["--silent", &format!("{}/models", up.endpoint)]));
    let models: Value = serde_json::from_slice(&models.stdout).unwrap();
    let model = models["data"][0]["id"].as_str().unwrap();
    let monitor = Monitor::start(&up, folder.path(), model);

    // An answer whose holder kept nothing but the question, the answer and the token.
    let request = folder.path().join("request.json");
    let (response, head) = (folder.path().join("response.json"), folder.path().join("head"));
    let body = json!({"model": model, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello?"}]});
    std::fs::write(&request, body.to_string()).unwrap();
    let asked = run(Command::new("curl")
        .args(["--silent", "--fail", "--header", "content-type: application/json", "--dump-header"])
        .arg(&head)
        .arg("--output")
        .arg(&response)
        .arg("--data-binary")
        .arg(format!("@{}", request.display()))
        .arg(format!("{}/chat/completions", up.endpoint)));
    assert!(asked.status.success(), "{asked:?}");
    let head = std::fs::read_to_string(head).unwrap();
    let token = head.lines().find_map(|line| line.strip_prefix("vouchsafe-token: ")).unwrap().trim();
    let bundle = folder.path().join("bundle.json");
    let assemble = |more: &[&str]| {
        let mut command = Command::new(program("vouchsafe"));
        command.args(["bundle", "--token", "-", "--to", &up.host, "--policy"]).arg(&up.policy);
        command.args(more).arg("--out").arg(&bundle);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
        child.wait_with_output().unwrap()
    };
    // From the enclave alone, once it has the proof; and with one made of the log's tiles.
    wait("the proof", || assemble(&[]).status.success());
    let of_enclave: Value = serde_json::from_slice(&std::fs::read(&bundle).unwrap()).unwrap();
    assert!(of_enclave["proof"].is_string(), "{of_enclave}");
    let of_log = assemble(&["--log", &up.log]);
    assert!(of_log.status.success(), "{}", String::from_utf8_lossy(&of_log.stderr));

    wait("three probes that settled", || {
        monitor.metric("vouchsafe_monitor_gap_seconds_bucket{stage=\"witnessed_audited\",le=\"+Inf\"}") >= 3
    });
    let metrics = monitor.metrics();
    assert!(metrics.contains("vouchsafe_monitor_violations_total 0\n"), "{metrics}");
    let mirror = folder.path().join("mirror");
    assert_eq!(monitor.stop(), Some(0), "{metrics}");

    // The mirror proves it as the log does. Without anything running, in ten years, it still verifies.
    let host = up.host.clone();
    let (policy, state) = (folder.path().join("policy.json"), up.policy.clone());
    std::fs::copy(state, &policy).unwrap();
    drop(up);
    let gone = run(Command::new(program("vouchsafe"))
        .args(["bundle", "--token", token, "--to", &host, "--policy"])
        .arg(&policy));
    assert!(!gone.status.success(), "nobody is there any more");
    let again = run(Command::new(program("vouchsafe"))
        .arg("bundle")
        .arg(&bundle)
        .arg("--log")
        .arg(&mirror)
        .arg("--out")
        .arg(&bundle));
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let verify = |more: &[&str]| {
        let mut command = Command::new(program("vouchsafe"));
        command.arg("verify").arg(&bundle).arg("--policy").arg(&policy).args(["--format", "json"]);
        command.arg("--request").arg(&request).arg("--response").arg(&response).args(more);
        let output = run(&mut command);
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), verdict)
    };
    let (code, verdict) = verify(&["--at", "2060-01-01T00:00:00Z", "--as-logged"]);
    assert_eq!((code, &verdict["as_logged"]["verdict"]), (Some(0), &json!("accepted")), "{verdict:#}");
    assert_eq!(verdict["assurance"], "settled");
    assert_eq!(verify(&["--at", "2060-01-01T00:00:00Z"]).0, Some(10));

    let page = folder.path().join("status/index.html");
    let text = std::fs::read_to_string(&page).unwrap();
    for part in ["entries verified", "own probes", "cosigning", "simulated: no hardware vouches", model] {
        assert!(text.contains(part), "{part} is not on the page");
    }
    look_at(&page);
}

/// Widths of a phone and of a desk, in CSS pixels.
const WIDTHS: [u32; 2] = [360, 1280];

/// Shows the page in a browser: nothing to scroll sideways, nothing refused or missed. The page's own
/// policy lets no script run, so that what is seen needs none.
fn look_at(page: &Path) {
    let Some(chromium) = prepared("VOUCHSAFE_CHROMIUM", "the status page in a browser") else { return };
    let frames: String = WIDTHS
        .iter()
        .map(|width| format!("<iframe src=index.html width={width} height=900></iframe>"))
        .collect();
    let measure = "const frames = [...document.querySelectorAll('iframe')];
        window.onload = () => document.body.dataset.seen = JSON.stringify(frames.map(frame => {
            const page = frame.contentDocument.documentElement;
            return [page.clientWidth, page.scrollWidth, frame.contentDocument.body.innerText.length,
                frame.contentDocument.querySelectorAll('svg circle').length];
        }));";
    let bytes = std::fs::read(page).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("default-src 'none'; style-src"));
    let outer = format!("<!doctype html><link rel=icon href=data:,><body>{frames}<script>{measure}</script>");
    let address = serve(vec![("/", outer.into_bytes()), ("/index.html", bytes)]);
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(["--window-size=1800,1000", "--virtual-time-budget=5000", &format!("http://{address}/")]);
    let output = run(&mut command);
    let (dom, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("CONSOLE"), "{said}");
    let seen = dom.split("data-seen=\"").nth(1).and_then(|rest| rest.split('"').next());
    let seen: Vec<[u64; 4]> =
        serde_json::from_str(seen.unwrap_or_else(|| panic!("nothing was seen: {dom}\n{said}"))).unwrap();
    for (width, [client, scroll, text, points]) in WIDTHS.into_iter().zip(seen) {
        assert!(scroll <= client && client <= width.into(), "at {width}: {scroll} of {client} pixels");
        assert!(text > 500 && points > 0, "at {width}: {text} characters, {points} points of the plot");
    }
}

/// Serves these documents until the test ends.
fn serve(documents: Vec<(&'static str, Vec<u8>)>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(request) = lines.next() else { continue };
            lines.find(String::is_empty);
            let path = request.split(' ').nth(1).unwrap_or_default();
            let document = documents.iter().find(|(known, _)| *known == path);
            let (status, body) = document.map_or(("404 Not Found", &[][..]), |(_, body)| ("200 OK", body));
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    address
}
