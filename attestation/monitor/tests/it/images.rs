//! Released images in the log: they are listed with the boots of each, and what those released who may not is told.

use vouchsafe_monitor::{Appraisal, Violation, status};
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::{ImageManifest, SignedImage, image_leaf};
use vouchsafe_verifier::encoding::{Hex, to_hex};
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::enclave::{Enclave, GOOD, WANTED};
use crate::log::{Log, T, Watching};
use crate::revoked::Authority;

fn release(authority: &Authority, name: &str, byte: u8) -> Vec<u8> {
    release_at(T, authority, name, byte)
}

fn release_at(time: u64, authority: &Authority, name: &str, byte: u8) -> Vec<u8> {
    let digests = ImageDigests::SevSnp { measurement: Hex([byte; 48]) };
    let one = ImageMeasurement { name: "<b>1 vCPU".into(), digests };
    let issued = Moment(UnixSeconds(time));
    let manifest = ImageManifest::new(name.into(), issued, Hex([byte; 32]), vec![one]).unwrap();
    let mut signed = SignedImage::unsigned(manifest).unwrap();
    signed.add(authority.sign(&signed.pae()));
    image_leaf(&signed)
}

#[test]
fn images_are_listed_with_their_boots_and_a_strangers_is_not_believed() {
    let (mut log, authority) = (Log::new(), Authority::get());
    let mut watching = Watching::new(&log);
    let mut publish = |log: &mut Log, leaves: Vec<Vec<u8>>| {
        leaves.into_iter().for_each(|leaf| log.add(leaf));
        log.publish(log.time + 1);
        watching.monitor.poll(log.time * 1000).unwrap().violations
    };
    let codes = |found: &[Violation]| found.iter().map(Violation::code).collect::<Vec<_>>();
    let first = release(authority, "1.0", 1);
    assert_eq!(codes(&publish(&mut log, vec![first])), [""; 0]);
    // The same manifest again, under a signature of its own: nothing new.
    assert_eq!(codes(&publish(&mut log, vec![release(authority, "1.0", 1)])), [""; 0]);
    // So does the same image, which somebody else released at another time.
    assert_eq!(codes(&publish(&mut log, vec![release_at(T + 60, authority, "1.0", 1)])), [""; 0]);
    let stranger = publish(&mut log, vec![release(&Authority::new(), "1.1", 2)]);
    assert_eq!(codes(&stranger), ["image_unverified"]);
    assert!(stranger[0].to_string().contains("entry 3"), "{}", stranger[0]);
    // A name stands for one image.
    assert_eq!(codes(&publish(&mut log, vec![release(authority, "1.0", 3)])), ["image_renamed"]);
    // A boot is of the image that it measures to, whatever else has that name.
    let early = Enclave::new();
    log.add_logged(&early.boot(GOOD));
    log.add_logged(&early.epoch(&early.boot(GOOD), 0));
    assert_eq!(codes(&publish(&mut log, vec![release(authority, "2.0", 4)])), [""; 0]);

    // A boot is held to what was released before it, and not to what comes with it or after.
    let enclave = Enclave::new();
    log.add_logged(&enclave.boot(GOOD));
    log.add_logged(&enclave.epoch(&enclave.boot(GOOD), 0));
    assert_eq!(codes(&publish(&mut log, vec![release(authority, "3.0", 5)])), [""; 0]);
    let mut watching = watching.restart(&log);
    assert_eq!(watching.poll(&log), [""; 0]);
    let state = watching.monitor.state();
    let names: Vec<_> = state.images().iter().map(|image| image.manifest.release.as_str()).collect();
    assert_eq!(names, ["1.0", "1.0", "2.0", "3.0"]);
    let boot = &state.boots()[&Hex(enclave.id).to_string()];
    let Some(Appraisal::Accepted(accepted)) = &boot.appraisal else { panic!("{:?}", boot.appraisal) };
    assert_eq!((accepted.release.as_deref(), accepted.images.as_slice()), (Some("2.0"), &[7][..]));

    // People and programs see them.
    let folder = tempfile::tempdir().unwrap();
    status::write(folder.path(), &watching.monitor, "http://log", T).unwrap();
    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    for text in ["Released images", "released as 2.0", "&lt;b&gt;1 vCPU", &"04".repeat(48), "1 in the log"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<b>1 vCPU"));
    let json = std::fs::read(folder.path().join("images.json")).unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 4);
    assert_eq!((&listed[2]["release"], &listed[2]["index"]), (&"2.0".into(), &7.into()));
    let boots: Vec<_> = (0..4).map(|at| listed[at]["boots"].as_array().unwrap().clone()).collect();
    assert_eq!(boots.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 1, 0]);
    assert_eq!((&boots[1][0], &boots[2][0]), (&to_hex(&early.id).into(), &to_hex(&enclave.id).into()));
    assert_eq!(listed[2]["measurements"][0]["digests"]["measurement"], "04".repeat(48));
}

/// Who releases thousands of images can have a monitor lose track. It says so, and accuses nobody for it.
#[test]
fn more_images_than_are_followed_are_told_of_and_held_against_no_boot() {
    const IMAGES_MAX: usize = 1 << 12;
    let authority = Authority::get();
    let followed = |images: usize| {
        let mut log = Log::new();
        for place in 0..images {
            log.add(release(authority, &format!("{place}"), 1));
        }
        log.add(release(authority, "wanted", 2));
        log.add(release(authority, "another", 3));
        let enclave = Enclave::new();
        let boot = enclave.boot(WANTED);
        log.add_logged(&boot);
        log.add_logged(&enclave.epoch_with(&boot, 0, WANTED, None));
        log.publish(T);
        let mut watching = Watching::new(&log);
        let first = watching.poll(&log);
        log.add(enclave.word(log.checkpoint(), false));
        log.publish(T + 61);
        let last = watching.poll(&log);
        (first, last, watching.restart(&log).monitor.state().images().len())
    };
    assert_eq!(followed(IMAGES_MAX - 2), (vec![], vec![], IMAGES_MAX));
    assert_eq!(followed(IMAGES_MAX), (vec!["images_unfollowed"], vec![], IMAGES_MAX));
    // As long as all are followed, a boot of none is named.
    let (mut log, enclave) = (Log::new(), Enclave::new());
    log.add_logged(&enclave.boot(WANTED));
    log.publish(T);
    let mut watching = Watching::new(&log);
    assert_eq!(watching.poll(&log), [""; 0], "endorsements may still come");
    log.add(enclave.word(log.checkpoint(), false));
    log.publish(T + 61);
    assert_eq!(watching.poll(&log).first(), Some(&"boot_refused"));
}
