//! Released images: several sign one manifest, and a policy says whose signatures count.

use serde_json::Value;
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::{ImageManifest, SignedImage};
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::common::sound_snp;
use crate::program::{file, run};

pub(crate) fn unsigned() -> String {
    let digests = ImageDigests::SevSnp { measurement: Hex([7; 48]) };
    let one = ImageMeasurement { name: "1 vCPU".into(), digests };
    let issued = Moment(UnixSeconds(1_800_000_000));
    let manifest = ImageManifest::new("1.0".into(), issued, Hex([1; 32]), vec![one]).unwrap();
    SignedImage::unsigned(manifest).unwrap().to_json()
}

#[test]
fn an_image_is_signed_by_one_after_another_and_verified() {
    let own = tempfile::tempdir().unwrap();
    let path = |name: &str| own.path().join(name).display().to_string();
    let public = ["a", "b"].map(|name| {
        let made = run(&["keygen", "--out", &path(name)]);
        file(own.path(), &format!("{name}.pub"), made.out)
    });
    let image = file(own.path(), "release.json", unsigned());
    let half = file(own.path(), "half.json", run(&["sign", &image, "--key", &path("a")]).out);
    let whole = file(own.path(), "whole.json", run(&["sign", &half, "--key", &path("b")]).out);
    let verify =
        |file: &str| run(&["verify", file, "--key", &public[0], "--key", &public[1], "--threshold", "2"]);
    let verified = verify(&whole);
    assert_eq!(verified.code, 0, "{}", verified.err);
    let manifest: Value = serde_json::from_str(&verified.out).unwrap();
    assert_eq!((&manifest["release"], &manifest["version"]), (&"1.0".into(), &1.into()));
    let refused = verify(&half);
    assert_eq!(refused.code, 10);
    assert!(refused.err.contains("signers_too_few"), "{}", refused.err);
    // A list of revocations needs no proof to be handed out.
    let log = "http://127.0.0.1:1";
    let text =
        file(own.path(), "list.json", r#"{"payloadType":"application/vnd.vouchsafe.revocation.v1+json"}"#);
    let proof = run(&["submit", &text, "--log", log, "--out", &path("out")]);
    assert!(proof.code == 30 && proof.err.contains("--out is for images"), "{}", proof.err);
    let unreachable = run(&["submit", &whole, "--log", log, "--out", &path("out")]);
    assert_eq!(unreachable.code, 30, "{}", unreachable.err);
    assert!(!own.path().join("out").exists());
}

#[test]
fn who_may_release_is_put_into_a_policy() {
    let own = tempfile::tempdir().unwrap();
    let made = run(&["keygen", "--out", own.path().join("a").to_str().unwrap()]);
    let public = file(own.path(), "a.pub", made.out);
    let policy = file(own.path(), "policy.json", sound_snp().to_string());
    let put = run(&["releasers", &policy, "--key", &public, "--threshold", "1"]);
    assert_eq!(put.code, 0, "{}", put.err);
    let value: Value = serde_json::from_str(&put.out).unwrap();
    assert_eq!(value["images"]["released"]["require"]["threshold"], 1);
    assert_eq!(value["$comment"], sound_snp()["$comment"], "comments stay");
    let with = file(own.path(), "with.json", &put.out);
    assert_eq!(run(&["diff", &policy, &with]).code, 0, "it only narrows");
    assert_eq!(run(&["diff", &with, &policy]).code, 10, "and back it widens");
    let explained = run(&["explain", &with]);
    assert!(explained.out.contains("image was released: 1 of 1 keys"), "{}", explained.out);
    let too_many = run(&["releasers", &policy, "--key", &public, "--threshold", "2"]);
    assert!(too_many.code == 30 && too_many.err.contains("policy_contradiction"), "{}", too_many.err);
    let mut logless = sound_snp();
    logless["log"]["inclusion"] = serde_json::json!({"ignore": "for a test"});
    logless["witnesses"]["quorum"] = serde_json::json!({"ignore": "for a test"});
    let logless = file(own.path(), "logless.json", logless.to_string());
    let refused = run(&["releasers", &logless, "--key", &public, "--threshold", "1"]);
    assert!(refused.err.contains("require log.inclusion too"), "{}", refused.err);
}
