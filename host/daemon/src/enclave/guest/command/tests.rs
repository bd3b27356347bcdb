//! The commands that start a guest, as they are shown.

use std::path::Path;

use super::*;

fn guest(machine: Machine) -> GuestEnclave {
    GuestEnclave {
        image: "/image".into(),
        machine,
        qemu: "qemu-system-x86_64".into(),
        memory_mib: 2048,
        vcpus: 2,
        keep: false,
        tied_by: None,
    }
}

fn booted() -> Booted {
    Booted {
        firmware: "/run/fw.fd".into(),
        kernel: "/run/vmlinuz".into(),
        initrd: "/run/initrd".into(),
        command_line: "console=ttyS0 quiet".into(),
        disk: "/image/disk.img".into(),
    }
}

fn lines(machine: Machine) -> Vec<String> {
    guest(machine).programs(&booted(), Path::new("/run")).iter().map(shown).collect()
}

const COMMON: &str = "qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -monitor none \
    -parallel none -smp 2 -m 2048M -object memory-backend-memfd,id=ram,size=2048M,share=on,prealloc=off";
const DEVICES: &str = "-drive if=none,id=disk,format=raw,readonly=on,file=/image/disk.img \
    -device virtio-blk-pci,drive=disk,disable-legacy=on,iommu_platform=on -bios /run/fw.fd -kernel /run/vmlinuz \
    -initrd /run/initrd -append 'console=ttyS0 quiet' -serial file:/run/serial.log";

fn simulated() -> Machine {
    Machine::Simulated(SimulatedMachine {
        accelerator: "tcg".into(),
        vsock_backend: "vhost-device-vsock".into(),
        processor: "vouchsafe-processor-sim".into(),
        authority: "/authority".into(),
    })
}

#[test]
fn a_simulated_guest_is_three_programs_on_private_sockets() {
    let expected = [
        "vouchsafe-processor-sim serve --authority /authority --listen /run/vm.vsock_5002 \
         --firmware /run/fw.fd --kernel /run/vmlinuz --initrd /run/initrd --append 'console=ttyS0 quiet'"
            .to_owned(),
        "vhost-device-vsock --vm guest-cid=3,socket=/run/vhost.sock,uds-path=/run/vm.vsock".to_owned(),
        format!(
            "{COMMON} -accel tcg,thread=multi -cpu max -machine q35,memory-backend=ram,vmport=off \
             -chardev socket,id=vsock,path=/run/vhost.sock \
             -device vhost-user-vsock-pci,chardev=vsock,disable-legacy=on,iommu_platform=on {DEVICES}"
        ),
    ];
    assert_eq!(lines(simulated()), expected);
    assert_eq!(guest(simulated()).endpoint(Path::new("/run")), Endpoint::Unix("/run/vm.vsock".into()));
}

#[test]
fn hardware_guests_are_qemu_alone() {
    let snp = Machine::Snp { cid: 10, vcpu_type: "EPYC-v4".into(), c_bit_position: 51, policy: 0x30000 };
    let vsock = "-device vhost-vsock-pci,guest-cid=10,disable-legacy=on,iommu_platform=on";
    let expected = format!(
        "{COMMON} -accel kvm -cpu EPYC-v4 \
         -machine q35,confidential-guest-support=sev,memory-backend=ram,vmport=off \
         -object sev-snp-guest,id=sev,cbitpos=51,reduced-phys-bits=1,kernel-hashes=on,policy=0x30000 \
         {vsock} {DEVICES}"
    );
    assert_eq!(guest(snp.clone()).endpoint(Path::new("/run")), Endpoint::Vsock(10));
    assert_eq!(lines(snp), [expected]);
    let tdx = Machine::Tdx { cid: 10, quote_service: "/var/run/tdx-qgs/qgs.socket".into() };
    let [line] = <[String; 1]>::try_from(lines(tdx)).unwrap();
    assert!(line.contains("confidential-guest-support=tdx"), "{line}");
    assert!(line.contains(r#""path":"/var/run/tdx-qgs/qgs.socket""#), "{line}");
    assert!(line.contains(vsock) && line.ends_with(DEVICES), "{line}");
}

#[test]
fn what_a_shell_or_qemu_would_split_is_kept_together() {
    let disk = Booted { disk: "/a b/it's,here.img".into(), ..booted() };
    let program = guest(simulated()).programs(&disk, Path::new("/run")).pop().unwrap();
    assert!(
        program.arguments.iter().any(|word| word.to_string_lossy().ends_with("file=/a b/it's,,here.img"))
    );
    assert!(
        shown(&program).contains(r"'if=none,id=disk,format=raw,readonly=on,file=/a b/it'\''s,,here.img'")
    );
}
