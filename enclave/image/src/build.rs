//! Putting an image together.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use vouchsafe_measure::firmware::without_secure_boot;

use crate::manifest::{Entry, Manifest};
use crate::packages::{self, Unpacked};
use crate::{Build, disk, initrd};

/// The command line but for the disk's root.
///
/// The serial console is where the guest says why it ends; nothing reads from it. An oops is an end, and
/// every end is a panic that ends the machine at once. Modules must be signed by Debian's build of this
/// very kernel, and what bypasses the kernel's own integrity is locked down. Seeds that the host hands
/// over do not count as randomness. Whether the timer of an emulated chipset keeps time is not tried: under
/// a loaded emulator the trial fails, and KVM's guests skip it anyway.
const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 oops=panic module.sig_enforce=1 \
    lockdown=confidentiality random.trust_bootloader=off no_timer_check";

/// Builds the image into `arguments.out` and says how large its parts are.
pub(crate) fn run(arguments: &Build) -> Result<()> {
    build(arguments)?;
    println!("image      {}", arguments.out.display());
    for name in ["vmlinuz", "initrd", "disk.img"] {
        let bytes = arguments.out.join(name).metadata()?.len();
        println!("{name:<10} {bytes:>10} bytes");
    }
    Ok(())
}

fn build(arguments: &Build) -> Result<()> {
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    if fs::read_dir(out)?.next().is_some() {
        bail!("{} is not empty", out.display());
    }
    let packages = Unpacked::new(&arguments.packages)?;
    let (kernel, modules) = packages.kernel()?;
    let enclave = fs::read(&arguments.enclave).with_context(|| arguments.enclave.display().to_string())?;
    let initrd = initrd::build(&enclave, &modules)?;
    let disk = disk::build(arguments, &packages)?;
    let command_line = format!(
        "{COMMAND_LINE} vouchsafe.root={} vouchsafe.blocks={}",
        disk.manifest.root, disk.manifest.blocks
    );
    let firmware = packages.file("firmware-tdx", "usr/share/ovmf/OVMF.inteltdx.ms.fd")?;
    let firmware = without_secure_boot(&fs::read(firmware)?)
        .map_err(|error| anyhow::anyhow!("the TDX firmware: {error} ({})", error.code()))?;
    let snp_firmware = fs::read(packages.file("firmware-snp", "usr/share/ovmf/OVMF.amdsev.fd")?)?;
    let contents: [(&str, &[u8]); 6] = [
        ("vmlinuz", &fs::read(kernel)?),
        ("initrd", &initrd.bytes),
        ("cmdline", command_line.as_bytes()),
        ("disk.img", &disk.bytes),
        ("OVMF.amdsev.fd", &snp_firmware),
        ("OVMF.tdx.fd", &firmware),
    ];
    let mut files = Vec::new();
    for (name, content) in contents {
        fs::write(out.join(name), content).with_context(|| out.join(name).display().to_string())?;
        files.push(Entry::new(name, content));
    }
    for name in measure(arguments, &command_line)? {
        files.push(Entry::of_file(&name, &out.join(&name))?);
    }
    let manifest = Manifest {
        version: 1,
        builder: concat!("vouchsafe-image ", env!("CARGO_PKG_VERSION")),
        compiler: arguments.compiler.clone(),
        packages: packages.packages.clone(),
        command_line,
        files,
        initrd: initrd.entries,
        disk: disk.manifest,
    };
    let mut json = serde_json::to_vec_pretty(&manifest)?;
    json.push(b'\n');
    fs::write(out.join("manifest.json"), json)?;
    Ok(())
}

/// Writes what a guest must measure to beside the image, and gives the files' names. The program that
/// anyone can run again later does it.
fn measure(arguments: &Build, command_line: &str) -> Result<Vec<String>> {
    let here = std::env::current_exe()?;
    let program = here.with_file_name("vouchsafe-measure");
    let out = &arguments.out;
    let measured = |name: String, technology: &str, firmware: &str, more: &[String]| -> Result<String> {
        let mut command = Command::new(&program);
        command.arg(technology).arg("--firmware").arg(out.join(firmware));
        command.arg("--kernel").arg(out.join("vmlinuz")).arg("--initrd").arg(out.join("initrd"));
        command.args(["--append", command_line, "--name", "vouchsafe"]).args(more);
        fs::write(out.join(&name), packages::run(&mut command)?)?;
        Ok(name)
    };
    let mut names = vec![measured("measurements-tdx.json".into(), "tdx", "OVMF.tdx.fd", &[])?];
    for vcpus in &arguments.vcpus {
        let count = ["--vcpus".to_owned(), vcpus.to_string()];
        names.push(measured(format!("measurements-snp-{vcpus}.json"), "snp", "OVMF.amdsev.fd", &count)?);
    }
    Ok(names)
}
