//! The programs that make a guest, with their arguments: pure, so that they can be shown and tested.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use vouchsafe_link::Endpoint;

/// How to start a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestEnclave {
    /// The folder that `cargo xtask image` made.
    pub image: PathBuf,
    /// What kind of machine.
    pub machine: Machine,
    /// QEMU for x86-64.
    pub qemu: PathBuf,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Leave the machine running when this program ends, and take over one that runs.
    pub keep: bool,
    /// As [`crate::ProcessEnclave::tied_by`].
    pub tied_by: Option<PathBuf>,
}

/// What kind of machine a guest gets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Machine {
    /// SIMULATED: an ordinary machine, by default emulated in software, with a simulated processor.
    Simulated(SimulatedMachine),
    /// AMD SEV-SNP.
    Snp {
        /// The guest's context id on the kernel's vsock.
        cid: u32,
        /// vCPU type by QEMU's name: part of the launch measurement.
        vcpu_type: String,
        /// Place of the encryption bit in page tables: CPUID 0x8000001f, EBX bits 5 to 0.
        c_bit_position: u32,
        /// Guest policy, as the report states it.
        policy: u64,
    },
    /// Intel TDX.
    Tdx {
        /// The guest's context id on the kernel's vsock.
        cid: u32,
        /// Where the quote generation service listens.
        quote_service: PathBuf,
    },
}

/// What a simulated machine needs besides QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedMachine {
    /// QEMU's accelerator: `tcg`, or `kvm` where the machine has it.
    pub accelerator: String,
    /// The program `vhost-device-vsock`.
    pub vsock_backend: PathBuf,
    /// The program `vouchsafe-processor-sim`.
    pub processor: PathBuf,
    /// Folder of the simulated authority.
    pub authority: PathBuf,
}

/// The folder of a guest's sockets, its copies of what it boots, and its logs.
pub(crate) const FOLDER_NAME: &str = "guest";
/// The longest of the sockets' names.
pub(crate) const SOCKET_NAME_LONGEST: &str = "vm.vsock_5002";
const VSOCK: &str = "vm.vsock";
const VHOST: &str = "vhost.sock";
/// Where the vsock backend takes connections to the simulated processor's port.
const PROCESSOR: &str = SOCKET_NAME_LONGEST;
/// The guest's serial output.
pub(crate) const SERIAL: &str = "serial.log";
/// Context id in a simulated machine, whose vsock reaches nobody else.
const SIMULATED_CID: u32 = 3;

/// What a guest boots, in copies that nobody changes between being measured and being run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booted {
    pub(crate) firmware: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) command_line: String,
    /// The disk is not copied: the guest checks every block of it.
    pub(crate) disk: PathBuf,
}

/// A program to start, and how to see that it is ready for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The socket that it makes.
    pub(crate) socket: Option<PathBuf>,
    /// The file of its output.
    pub(crate) log: &'static str,
}

impl GuestEnclave {
    /// The name of the image's firmware for this machine.
    pub(crate) fn firmware_name(&self) -> &'static str {
        match self.machine {
            Machine::Snp { .. } => "OVMF.amdsev.fd",
            Machine::Simulated(_) | Machine::Tdx { .. } => "OVMF.tdx.fd",
        }
    }

    /// Where the guest's program listens, seen from here.
    pub(crate) fn endpoint(&self, folder: &Path) -> Endpoint {
        match &self.machine {
            Machine::Simulated(_) => Endpoint::Unix(folder.join(VSOCK)),
            Machine::Snp { cid, .. } | Machine::Tdx { cid, .. } => Endpoint::Vsock(*cid),
        }
    }

    /// The programs in the order of their start; QEMU is the last.
    pub(crate) fn programs(&self, booted: &Booted, folder: &Path) -> Vec<Program> {
        let mut programs = Vec::new();
        if let Machine::Simulated(machine) = &self.machine {
            programs.push(processor(machine, booted, folder));
            programs.push(vsock_backend(machine, folder));
        }
        programs.push(self.qemu(booted, folder));
        programs
    }

    fn qemu(&self, booted: &Booted, folder: &Path) -> Program {
        let memory = format!("{}M", self.memory_mib);
        let backend = format!("memory-backend-memfd,id=ram,size={memory},share=on,prealloc=off");
        // Devices of a confidential guest use memory that it shares on purpose.
        let shared = "disable-legacy=on,iommu_platform=on";
        let mut line = Line::default();
        line.words("-nodefaults -no-user-config -no-reboot -display none -monitor none -parallel none");
        line.words(&format!("-smp {} -m {memory}", self.vcpus)).option("-object", &backend);
        match &self.machine {
            Machine::Simulated(machine) => {
                // Multi-threaded emulation, of every instruction that QEMU knows.
                let (accelerator, cpu) = match machine.accelerator.as_str() {
                    "tcg" => ("tcg,thread=multi", "max"),
                    other => (other, "host"),
                };
                line.option("-accel", accelerator).option("-cpu", cpu);
                line.words("-machine q35,memory-backend=ram,vmport=off");
                let socket = path_option("socket,id=vsock,path=", &folder.join(VHOST));
                line.option("-chardev", socket);
                line.option("-device", format!("vhost-user-vsock-pci,chardev=vsock,{shared}"));
            }
            Machine::Snp { cid, vcpu_type, c_bit_position, policy } => {
                line.option("-accel", "kvm").option("-cpu", vcpu_type);
                line.words("-machine q35,confidential-guest-support=sev,memory-backend=ram,vmport=off");
                line.option(
                    "-object",
                    format!(
                        "sev-snp-guest,id=sev,cbitpos={c_bit_position},reduced-phys-bits=1,kernel-hashes=on,policy={policy:#x}"
                    ),
                );
                line.option("-device", format!("vhost-vsock-pci,guest-cid={cid},{shared}"));
            }
            Machine::Tdx { cid, quote_service } => {
                line.option("-accel", "kvm").option("-cpu", "host");
                line.words(
                    "-machine q35,confidential-guest-support=tdx,memory-backend=ram,kernel-irqchip=split,smm=off,hpet=off,vmport=off",
                );
                // Only JSON can name a socket inside an object.
                let tdx = serde_json::json!({
                    "qom-type": "tdx-guest",
                    "id": "tdx",
                    "sept-ve-disable": true,
                    "quote-generation-socket": {"type": "unix", "path": quote_service},
                });
                line.option("-object", tdx.to_string());
                line.option("-device", format!("vhost-vsock-pci,guest-cid={cid},{shared}"));
            }
        }
        let disk = path_option("if=none,id=disk,format=raw,readonly=on,file=", &booted.disk);
        line.option("-drive", disk);
        line.option("-device", format!("virtio-blk-pci,drive=disk,{shared}"));
        line.option("-bios", &booted.firmware).option("-kernel", &booted.kernel);
        line.option("-initrd", &booted.initrd).option("-append", &booted.command_line);
        let mut serial = OsString::from("file:");
        serial.push(folder.join(SERIAL));
        line.option("-serial", serial);
        Program { path: self.qemu.clone(), arguments: line.0, socket: None, log: "qemu.log" }
    }
}

fn processor(machine: &SimulatedMachine, booted: &Booted, folder: &Path) -> Program {
    let socket = folder.join(PROCESSOR);
    let mut line = Line::default();
    line.words("serve").option("--authority", &machine.authority).option("--listen", &socket);
    line.option("--firmware", &booted.firmware).option("--kernel", &booted.kernel);
    line.option("--initrd", &booted.initrd).option("--append", &booted.command_line);
    let path = machine.processor.clone();
    Program { path, arguments: line.0, socket: Some(socket), log: "processor.log" }
}

fn vsock_backend(machine: &SimulatedMachine, folder: &Path) -> Program {
    let socket = folder.join(VHOST);
    let mut vm = OsString::from(format!("guest-cid={SIMULATED_CID},socket="));
    vm.push(&socket);
    vm.push(",uds-path=");
    vm.push(folder.join(VSOCK));
    let mut line = Line::default();
    line.option("--vm", vm);
    let path = machine.vsock_backend.clone();
    Program { path, arguments: line.0, socket: Some(socket), log: "vsock.log" }
}

/// QEMU reads commas in values as separators; doubled ones stand for themselves.
fn path_option(before: &str, path: &Path) -> OsString {
    OsString::from(format!("{before}{}", path.to_string_lossy().replace(',', ",,")))
}

/// Arguments being collected.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn words(&mut self, words: &str) -> &mut Self {
        self.0.extend(words.split(' ').map(OsString::from));
        self
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.push(name.into());
        self.0.push(value.into());
        self
    }
}

/// A command line as a shell would read it.
pub(crate) fn shown(program: &Program) -> String {
    let quoted = |word: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@+".contains(c);
        match !word.is_empty() && word.chars().all(is_plain) {
            true => word.to_owned(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    };
    let words = std::iter::once(program.path.to_string_lossy())
        .chain(program.arguments.iter().map(|argument| argument.to_string_lossy()));
    words.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
