//! The confidential VM under emulation: built, booted, attested, asked, attacked, restarted.
//!
//! Started by `cargo xtask image --test`, which builds the image and names the programs; by itself every
//! test here is left out, since a boot under emulation takes its time. What is simulated is the processor:
//! firmware, kernel, initial RAM disk and disk are those that a TDX host would start, but for the attester
//! in the enclave program.

mod guest;

use std::fs;
use std::time::{Duration, Instant};

use guest::{Guest, Image, Verdict};

#[test]
#[ignore = "boots a guest: run by `cargo xtask image --test`"]
fn first_verified_answer() {
    let image = Image::built();
    let begun = Instant::now();
    let mut guest = Guest::start(&image, &[]);
    let ready = begun.elapsed();
    let policy = image.policy(&guest);
    let verdict = guest.attest(&policy);
    assert_eq!(verdict.decision, "accepted", "{}", verdict.text);
    let answer = guest.chat(&policy, "What is a receipt?");
    let answered = begun.elapsed();

    // Offline, from the files alone; and the digest in the receipt is the one computed from the disk's
    // files before anything was booted.
    let verdict = answer.verify(&policy);
    assert_eq!(verdict.decision, "accepted", "{}", verdict.text);
    assert!(verdict.text.contains("simulated"), "a simulated verdict must say so: {}", verdict.text);
    let manifest = image.model_manifest();
    assert!(verdict.text.contains(&manifest), "{manifest} is not in {}", verdict.text);
    let other = image.policy_with_model(&guest, &"ab".repeat(32));
    assert_eq!(answer.verify(&other).code, "model_mismatch");

    // Asked to end, the guest ends by itself, in order.
    let status = guest.stop();
    assert!(status.success(), "{status}");
    assert!(guest.serial().contains("ended in order"), "{}", guest.serial());

    let bytes = |name: &str| fs::metadata(image.folder().join(name)).unwrap().len();
    println!("start to ready                  {:.1} s", ready.as_secs_f64());
    println!("start to first verified answer  {:.1} s", answered.as_secs_f64());
    println!("initial RAM disk                {} bytes", bytes("initrd"));
    println!("disk                            {} bytes", bytes("disk.img"));
    println!("kernel                          {} bytes", bytes("vmlinuz"));
}

#[test]
#[ignore = "boots a guest: run by `cargo xtask image --test`"]
fn what_is_not_the_image_is_refused() {
    let image = Image::built();
    let authority = tempfile::tempdir().unwrap();
    let attested = |changed: &Image| {
        let guest = Guest::start_with(changed, authority.path(), &[]);
        guest.attest(&image.policy(&guest))
    };
    // A control: the image itself is believed.
    assert_eq!(attested(&image.copy()).decision, "accepted");
    // The host changes the command line: the guest boots, and nobody believes it.
    let changed = image.copy();
    let line = fs::read_to_string(image.folder().join("cmdline")).unwrap();
    fs::write(changed.folder().join("cmdline"), format!("{line} loglevel=7")).unwrap();
    assert_refused(&attested(&changed));
    // The host puts another program beside ours: an archive appended to the initial RAM disk, which the
    // kernel unpacks too.
    let changed = image.copy();
    let mut initrd = fs::read(image.folder().join("initrd")).unwrap();
    initrd.resize(initrd.len().next_multiple_of(4), 0);
    initrd.extend_from_slice(&guest::archive("added", b"by the host"));
    fs::write(changed.folder().join("initrd"), initrd).unwrap();
    assert_refused(&attested(&changed));
}

fn assert_refused(verdict: &Verdict) {
    let found = (verdict.decision.as_str(), verdict.code.as_str());
    assert_eq!(found, ("rejected", "tdx_register_mismatch"), "{}", verdict.text);
}

#[test]
#[ignore = "boots a guest: run by `cargo xtask image --test`"]
fn a_flipped_byte_on_the_disk_ends_the_guest() {
    let image = Image::built().copy();
    let disk = image.folder().join("disk.img");
    let mut bytes = fs::read(&disk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&disk, bytes).unwrap();
    let ended = Guest::start_to_end(&image);
    assert_eq!(ended.status.code(), Some(3), "{}", ended.errors);
    assert!(ended.errors.contains("enclave_ended"), "{}", ended.errors);
    assert!(ended.errors.contains("verity") || ended.errors.contains("corrupt"), "{}", ended.errors);
}

#[test]
#[ignore = "boots a guest: run by `cargo xtask image --test`"]
fn a_guest_that_is_killed_is_noticed_and_restarted() {
    let image = Image::built();
    let mut guest = Guest::start(&image, &["--restart"]);
    let first = guest.boot.clone();
    let killed = Instant::now();
    guest.kill_machine();
    let line = guest.line("restarting");
    assert!(killed.elapsed() < Duration::from_secs(2), "{line} after {:?}", killed.elapsed());
    guest.wait_until_ready();
    assert_ne!(guest.boot, first, "another boot has another key");
    let policy = image.policy(&guest);
    assert_eq!(guest.attest(&policy).decision, "accepted");
}

#[test]
#[ignore = "boots a guest: run by `cargo xtask image --test`"]
fn a_host_that_is_restarted_finds_its_guest() {
    let image = Image::built();
    let mut guest = Guest::start(&image, &["--keep"]);
    let (boot, machine) = (guest.boot.clone(), guest.machine);
    guest.kill_host();
    guest.start_host_again();
    assert_eq!((&guest.boot, guest.machine), (&boot, machine), "the same boot in the same machine");
    let policy = image.policy(&guest);
    assert_eq!(guest.chat(&policy, "Hello").verify(&policy).decision, "accepted");
    guest.kill_machine();
}
