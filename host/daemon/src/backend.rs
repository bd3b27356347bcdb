//! The command line's part on how the enclave is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use vouchsafe_collateral::Sources;
use vouchsafe_host::{
    CollateralConfig, EnclaveSource, GuestEnclave, Machine, ProcessEnclave, SimulatedMachine,
};
use vouchsafe_link::Endpoint;

/// How to start the enclave.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// A process on this machine, joined by a Unix socket
    Process,
    /// SIMULATED: a virtual machine with a simulated processor
    Vm,
    /// An AMD SEV-SNP guest
    Snp,
    /// An Intel TDX guest
    Tdx,
}

/// Arguments of backends that start a virtual machine.
#[derive(Args)]
#[command(next_help_heading = "Virtual machines")]
pub(crate) struct GuestArguments {
    /// The folder of the image, as `cargo xtask image` made it
    #[arg(
        long,
        value_name = "DIR",
        required_if_eq_any([("backend", "vm"), ("backend", "snp"), ("backend", "tdx")])
    )]
    image: Option<PathBuf>,
    /// QEMU
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    memory: u64,
    /// Number of vCPUs; part of an SNP guest's launch measurement
    #[arg(long, value_name = "N", default_value_t = 4)]
    vcpus: u32,
    /// Leave the machine running when this program ends, and take over the one that runs
    #[arg(long)]
    keep: bool,
    /// snp, tdx: the guest's context id on this machine's vsock, 3 or more
    #[arg(long, value_name = "CID", default_value_t = 10, value_parser = clap::value_parser!(u32).range(3..))]
    cid: u32,
    /// snp: vCPU type by QEMU's name, part of the launch measurement
    #[arg(long, value_name = "TYPE", default_value = "EPYC-Milan")]
    vcpu_type: String,
    /// snp: place of the encryption bit, CPUID 0x8000001f EBX[5:0]
    #[arg(long, value_name = "N", default_value_t = 51)]
    c_bit_position: u32,
    /// snp: guest policy, in hexadecimal
    #[arg(long, value_name = "HEX", default_value = "0x30000", value_parser = parse_hexadecimal)]
    guest_policy: u64,
    /// tdx: socket of the quote generation service
    #[arg(long, value_name = "PATH", default_value = "/var/run/tdx-qgs/qgs.socket")]
    quote_service: PathBuf,
    /// vm: folder of the simulated authority, made at the first use
    #[arg(long, value_name = "DIR", required_if_eq("backend", "vm"))]
    authority: Option<PathBuf>,
    /// vm: QEMU's accelerator
    #[arg(long, value_name = "NAME", default_value = "tcg")]
    accelerator: String,
    /// vm: the program vhost-device-vsock
    #[arg(long, value_name = "PROGRAM", default_value = "vhost-device-vsock")]
    vsock_backend: PathBuf,
    /// vm: the program vouchsafe-processor-sim; by default the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    processor: Option<PathBuf>,
}

impl GuestArguments {
    /// The guest of this backend, if it is one.
    pub(crate) fn guest(&self, backend: Backend) -> Option<GuestEnclave> {
        let here = std::env::current_exe().ok();
        let machine = match backend {
            Backend::Process => return None,
            Backend::Vm => Machine::Simulated(SimulatedMachine {
                accelerator: self.accelerator.clone(),
                vsock_backend: self.vsock_backend.clone(),
                processor: self.processor.clone().unwrap_or_else(|| {
                    let name = "vouchsafe-processor-sim";
                    here.as_ref().map_or_else(|| name.into(), |here| here.with_file_name(name))
                }),
                authority: self.authority.clone().unwrap_or_default(),
            }),
            Backend::Snp => Machine::Snp {
                cid: self.cid,
                vcpu_type: self.vcpu_type.clone(),
                c_bit_position: self.c_bit_position,
                policy: self.guest_policy,
            },
            Backend::Tdx => Machine::Tdx { cid: self.cid, quote_service: self.quote_service.clone() },
        };
        Some(GuestEnclave {
            // clap requires it.
            image: self.image.clone().unwrap_or_default(),
            machine,
            qemu: self.qemu.clone(),
            memory_mib: self.memory,
            vcpus: self.vcpus,
            keep: self.keep,
            tied_by: here,
        })
    }
}

/// Arguments on endorsements.
#[derive(Args)]
#[command(next_help_heading = "Endorsements")]
pub(crate) struct CollateralArguments {
    /// Fetch no endorsements. By default they are for SNP and TDX guests, and where an address is given
    #[arg(long, conflicts_with_all = ["amd_kds", "intel_pcs", "intel_root_crl", "collateral_cache"])]
    no_collateral: bool,
    /// AMD's Key Distribution Service, or a cache of it: https://kdsintf.amd.com by default
    #[arg(long, value_name = "URL")]
    amd_kds: Option<String>,
    /// Intel's Provisioning Certification Service, or one of its shape:
    /// https://api.trustedservices.intel.com by default
    #[arg(long, value_name = "URL")]
    intel_pcs: Option<String>,
    /// Intel's list of revoked authorities, or a mirror of it
    #[arg(long, value_name = "URL")]
    intel_root_crl: Option<String>,
    /// Folder that endorsements are kept in; `collateral` in the state folder by default
    #[arg(long, value_name = "DIR")]
    collateral_cache: Option<PathBuf>,
}

impl CollateralArguments {
    /// Where endorsements come from, if they are to be fetched.
    pub(crate) fn config(&self, backend: Option<Backend>, state: &Path) -> Option<CollateralConfig> {
        let is_hardware = matches!(backend, Some(Backend::Snp | Backend::Tdx));
        let is_asked = self.amd_kds.is_some() || self.intel_pcs.is_some();
        if self.no_collateral || !(is_hardware || is_asked) {
            return None;
        }
        let defaults = Sources::default();
        let or = |given: &Option<String>, default: String| given.clone().unwrap_or(default);
        Some(CollateralConfig {
            sources: Sources {
                amd_kds: or(&self.amd_kds, defaults.amd_kds),
                intel_pcs: or(&self.intel_pcs, defaults.intel_pcs),
                intel_root_crl: or(&self.intel_root_crl, defaults.intel_root_crl),
            },
            cache: self.collateral_cache.clone().unwrap_or_else(|| state.join("collateral")),
        })
    }
}

/// Which enclave the arguments name.
pub(crate) fn source(
    connect: Option<Endpoint>,
    backend: Option<Backend>,
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
    guest: &GuestArguments,
) -> EnclaveSource {
    if let Some(endpoint) = connect {
        return EnclaveSource::Connect(endpoint);
    }
    match backend.and_then(|backend| guest.guest(backend)) {
        Some(guest) => EnclaveSource::Guest(Box::new(guest)),
        None => EnclaveSource::Process(ProcessEnclave {
            // clap requires it of this backend.
            program: program.unwrap_or_default(),
            arguments,
            tied_by: std::env::current_exe().ok(),
        }),
    }
}

fn parse_hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").ok_or("it does not begin with 0x")?;
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}
