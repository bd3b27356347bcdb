//! The link under load: a guest that echoes, 200 streams, a gigabyte each way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Emulator, folder};
use crate::tools;

/// Boots the guest of this image and runs the load against it.
pub(super) fn run(image: &Path, load: &[&str]) -> Result<()> {
    let emulator = Emulator::prepare()?;
    tools::build_programs(&["vouchsafe-host", "vouchsafe-processor", "vouchsafe-soak"])?;
    // A short path: sockets have short names.
    let state = std::env::temp_dir().join(format!("vouchsafe-soak-{}", std::process::id()));
    let programs = tools::programs_dir();
    let mut host = Command::new(programs.join("vouchsafe-host"));
    host.args(["run", "--backend", "vm", "--listen", "127.0.0.1:0", "--memory", "1024", "--vcpus", "2"]);
    host.arg("--image").arg(image).arg("--state").arg(&state);
    host.arg("--authority").arg(folder().join("soak-authority"));
    host.arg("--qemu").arg(emulator.qemu).arg("--vsock-backend").arg(emulator.vsock_backend);
    let mut host = Host(host.stdout(Stdio::piped()).spawn().context("vouchsafe-host")?);
    let lines = BufReader::new(host.0.stdout.take().context("its output is piped")?).lines();
    let mut address = None;
    for line in lines {
        let line = line?;
        if let Some(listening) = line.strip_prefix("listening ") {
            address = Some(listening.to_owned());
        }
        if line.starts_with("started ") {
            break;
        }
    }
    let Some(address) = address else { bail!("the host did not start") };
    wait_for_guest(&state, &mut host)?;
    tools::succeed(Command::new(programs.join("vouchsafe-soak")).args(["--to", &address]).args(load))?;
    drop(host);
    std::fs::remove_dir_all(state).context("the host's folder")
}

/// The guest listens as soon as a stream of it comes to an end that was not an error.
fn wait_for_guest(state: &Path, host: &mut Host) -> Result<()> {
    let socket = state.join("guest/vm.vsock");
    for _ in 0..600 {
        if host.0.try_wait()?.is_some() {
            bail!("the host ended");
        }
        if answers(&socket) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    bail!("the guest did not come up")
}

/// Whether the guest grants its session port, as the vsock backend tells it.
fn answers(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut answer = [0; 3];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && stream.write_all(b"CONNECT 5000\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"OK "
}

/// Ends the host, and the guest with it.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}
