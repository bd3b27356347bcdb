//! Documents of revocations, and following lists of them with care.

use serde_json::{Value, json};
use vouchsafe_policy::diff::Direction;
use vouchsafe_policy::follow::{FollowError, Followed, Follower};
use vouchsafe_policy::revocations::{Document, sign};
use vouchsafe_policy::signed::{Signers, SigningKey, trusted};
use vouchsafe_receipt::revocation::RevocationsInForce;
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::crypto::Ring;

use crate::program::{Run, file, run};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOUR: u64 = 3600;

fn later(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

fn boot(number: u8, at: &str) -> Value {
    let id = format!("{number:02x}").repeat(32);
    json!({"name": format!("boot {number}"), "revokes": {"boot": id}, "at": at, "reason": "a leak"})
}

fn list(serial: u64, revocations: &[Value], keys: &[SigningKey]) -> String {
    let document = json!({"version": 1, "revocations": revocations}).to_string();
    let document = Document::parse(document.as_bytes()).unwrap();
    let mut list = document.release(serial, NOW, later(1000 * HOUR)).unwrap();
    keys.iter().for_each(|key| sign(&mut list, key).unwrap());
    list.to_json()
}

fn one_key() -> (Vec<SigningKey>, Signers) {
    let key = SigningKey::generate().unwrap().0;
    let signers = trusted(&[key.spki().to_vec()], 1).unwrap();
    (vec![key], signers)
}

fn code(result: Result<Followed, FollowError>) -> &'static str {
    match result.unwrap_err() {
        FollowError::Refused { error } => error.code(),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_revoked_takes_effect_at_once_and_what_is_not_any_more_waits() {
    let (keys, signers) = one_key();
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    let take = |text: &str, at| follower.take_revocations(text.as_bytes(), &signers, at, 48 * HOUR);
    let in_force = || {
        let json = std::fs::read(own.path().join("revocations.json")).unwrap();
        let list = RevocationsInForce::parse(&json).unwrap().verify(&signers, &Ring).unwrap();
        let names = list.list().revocations.iter().map(|one| format!("{}@{}", one.name, one.at.0));
        (list.list().serial, names.collect::<Vec<_>>())
    };
    let (early, late) = ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z");
    let first = list(1, &[], &keys);
    assert_eq!(take(&first, NOW).unwrap(), Followed::First(Vec::new()));
    assert_eq!(take(&first, NOW).unwrap(), Followed::Current);
    // The same content, renewed, replaces what ages.
    assert_eq!(take(&list(2, &[], &keys), NOW).unwrap(), Followed::Applied(Vec::new()));
    assert_eq!(in_force().0, 2);
    for (serial, revocations) in [(3, vec![boot(1, late)]), (4, vec![boot(1, early), boot(2, late)])] {
        let Followed::Applied(changes) = take(&list(serial, &revocations, &keys), NOW).unwrap() else {
            panic!("{serial} waits")
        };
        assert!(changes.iter().all(|change| change.direction == Direction::Narrows), "{changes:?}");
        assert_eq!((changes.len() as u64, in_force().0), (serial - 2, serial));
    }
    // What revokes something more and leaves something out does the one at once and the other later.
    let both = list(5, &[boot(1, late), boot(3, early)], &keys);
    let Followed::Pending { applied, waiting } = take(&both, NOW).unwrap() else { panic!("taken whole") };
    assert!(applied.iter().all(|change| change.direction == Direction::Narrows), "{applied:?}");
    assert_eq!((applied.len(), waiting.len()), (1, 2), "{applied:?} {waiting:?}");
    assert!(waiting.iter().all(|one| one.until == later(48 * HOUR)), "{waiting:?}");
    let held = |at: &str, which: u8| format!("boot {which}@{at}");
    assert_eq!(
        in_force(),
        (5, vec![held(late, 1), held(early, 3), held(early, 1), held(late, 2)]),
        "the new list, and of the old one what it takes back"
    );
    // Renewed every day, it neither grows old nor begins to wait anew, and what is asked for later waits by itself.
    let day = |serial, days: u64, revocations: &[Value]| {
        take(&list(serial, revocations, &keys), later(24 * days * HOUR)).unwrap()
    };
    let Followed::Pending { applied, waiting } = day(6, 1, &[boot(1, late)]) else { panic!("taken whole") };
    assert_eq!((applied.len(), waiting.len(), in_force().0), (0, 3, 6));
    let Followed::Pending { waiting, .. } = day(7, 2, &[boot(1, late)]) else { panic!("taken whole") };
    assert_eq!((waiting.len(), waiting[0].until), (1, later(72 * HOUR)));
    assert_eq!(in_force(), (7, vec![held(late, 1), held(early, 3)]));
    // Whoever serves nothing any more does not hold it up.
    let resumed = |at| follower.resume_revocations(&signers, at, 48 * HOUR).unwrap();
    assert!(matches!(resumed(later(72 * HOUR)), Some(Followed::Applied(_))));
    assert_eq!((in_force(), resumed(later(72 * HOUR))), ((7, vec![held(late, 1)]), None));

    assert_eq!(code(take(&first, later(1))), "release_rollback");
    assert_eq!(code(take(&list(7, &[], &keys), later(1))), "release_fork");
    assert_eq!(code(take(&list(8, &[], &one_key().0), later(1))), "signers_too_few");
    assert_eq!(code(take(&list(8, &[], &keys), later(1000 * HOUR))), "release_expired");
    assert_eq!(code(take(&list(8, &[], &keys), UnixSeconds(NOW.0 - 1))), "release_from_future");
    assert_eq!(code(take("{}", NOW)), "envelope_malformed");
    assert_eq!(in_force().0, 7, "what is refused changes nothing");
    std::fs::write(own.path().join("revocations-seen.json"), "{").unwrap();
    let broken = take(&list(8, &[], &keys), NOW).unwrap_err();
    assert!(matches!(broken, FollowError::State { .. }), "{broken}");
}

#[test]
fn what_is_revoked_stays_so_whoever_may_sign_next() {
    let ((old, old_signers), (new, new_signers)) = (one_key(), one_key());
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    let take = |text: &str, signers| follower.take_revocations(text.as_bytes(), signers, NOW, 48 * HOUR);
    let at = "2027-01-01T00:00:00Z";
    let Followed::First(changes) = take(&list(1, &[boot(1, at)], &old), &old_signers).unwrap() else {
        panic!("compared with something")
    };
    assert_eq!(changes.len(), 1, "the first list is shown whole");
    let followed = take(&list(2, &[], &new), &new_signers).unwrap();
    assert!(matches!(&followed, Followed::Pending { waiting, .. } if waiting.len() == 1), "{followed:?}");
    let json = std::fs::read(own.path().join("revocations.json")).unwrap();
    let in_force = RevocationsInForce::parse(&json).unwrap().verify(&new_signers, &Ring).unwrap();
    assert_eq!(in_force.list().revocations.len(), 1, "still revoked");
}

#[test]
fn a_policy_and_its_revocations_are_followed_apart() {
    let (keys, signers) = one_key();
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    let text = list(9, &[boot(1, "2027-01-01T00:00:00Z")], &keys);
    follower.take_revocations(text.as_bytes(), &signers, NOW, 0).unwrap();
    assert!(follower.current().unwrap().is_none());
    // The serial of one says nothing of the other's.
    let document = crate::common::sound_snp().to_string();
    let release = vouchsafe_policy::signed::Release::new(1, NOW, later(HOUR), document.as_bytes()).unwrap();
    let mut signed = vouchsafe_policy::signed::SignedPolicy::unsigned(&release);
    signed.sign(&keys[0]).unwrap();
    assert!(follower.take(signed.to_json().as_bytes(), &signers, NOW, 0).is_ok());
    // And neither passes for the other.
    let as_list = follower.take_revocations(signed.to_json().as_bytes(), &signers, NOW, 0);
    assert_eq!(code(as_list), "payload_type_wrong");
    assert_eq!(code(follower.take(text.as_bytes(), &signers, NOW, 0)), "signed_policy_malformed");
}

#[test]
fn everything_that_can_be_revoked_can_be_said() {
    let own = tempfile::tempdir().unwrap();
    let revoke = |words: &[&str]| -> Run {
        let fixed =
            ["revoke", "--new", "--name", "matter", "--at", "2027-01-01T00:00:00Z", "--reason", "broken"];
        run(&[fixed.as_slice(), words].concat())
    };
    let hex = |bytes: usize| "ab".repeat(bytes);
    let key = SigningKey::generate().unwrap().0;
    let spki = vouchsafe_verifier::encoding::to_base64(key.spki());
    let pem = file(
        own.path(),
        "key.pub",
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &spki[..64], &spki[64..]),
    );
    let id = vouchsafe_verifier::encoding::to_hex(&key.id());
    for (words, revokes) in [
        (vec!["--boot", &hex(32)], json!({"boot": hex(32)})),
        (vec!["--receipt-key", &hex(32)], json!({"receipt_key": hex(32)})),
        (vec!["--receipt-key", &pem], json!({"receipt_key": id})),
        (vec!["--chip-id", &hex(64)], json!({"chip_id": hex(64)})),
        (vec!["--ppid", &hex(16)], json!({"ppid": hex(16)})),
        (vec!["--measurement", &hex(48)], json!({"measurement": hex(48)})),
        (vec!["--product", "Milan"], json!({"product": "Milan"})),
        (vec!["--fmspc", &hex(6)], json!({"fmspc": hex(6)})),
        (
            vec!["--mrtd", &hex(48), "--rtmr2", &hex(48)],
            json!({"registers": {"mrtd": hex(48), "rtmr2": hex(48)}}),
        ),
    ] {
        let said = revoke(&words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.err);
        let document: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(document["revocations"][0]["revokes"], revokes);
    }
    for (words, code) in [
        (vec![], 10),
        (vec!["--boot", "ab"], 2),
        (vec!["--boot", &hex(32), "--fmspc", &hex(6)], 2),
        (vec!["--boot", &hex(32), "--mrtd", &hex(48)], 2),
        (vec!["--product", "Rome"], 2),
        (vec!["--receipt-key", "/nonexistent"], 30),
    ] {
        assert_eq!(revoke(&words).code, code, "{words:?}");
    }
    // One after the other into one document; the same thing twice is a contradiction.
    let first = file(own.path(), "first.json", revoke(&["--boot", &hex(32)]).out);
    let again = run(&[
        "revoke",
        "--list",
        &first,
        "--name",
        "other",
        "--at",
        "2027-02-01T00:00:00Z",
        "--reason",
        "again",
        "--boot",
        &hex(32),
    ]);
    assert_eq!(again.code, 10, "{}", again.out);
    assert!(again.err.contains("revoke the same"), "{}", again.err);
    let both = run(&[
        "revoke",
        "--list",
        &first,
        "--name",
        "other",
        "--at",
        "2027-02-01T00:00:00Z",
        "--reason",
        "again",
        "--fmspc",
        &hex(6),
    ]);
    assert_eq!(serde_json::from_str::<Value>(&both.out).unwrap()["revocations"].as_array().unwrap().len(), 2);
    for text in ["", "{}", r#"{"version":2,"revocations":[]}"#, r#"{"version":1,"revocations":[],"more":0}"#]
    {
        let bad = file(own.path(), "bad.json", text);
        let refused = run(&[
            "revoke",
            "--list",
            &bad,
            "--name",
            "n",
            "--at",
            "2027-02-01T00:00:00Z",
            "--reason",
            "r",
            "--fmspc",
            &hex(6),
        ]);
        assert_eq!(refused.code, 10, "{text}: {}", refused.err);
        assert!(refused.err.contains("payload_malformed"), "{text}: {}", refused.err);
    }
}

#[test]
fn who_may_revoke_is_put_into_a_policy() {
    let own = tempfile::tempdir().unwrap();
    let made = run(&["keygen", "--out", own.path().join("a").to_str().unwrap()]);
    let public = file(own.path(), "a.pub", made.out);
    let mut without = crate::common::sound_snp();
    without["revocations"]["list"] = json!({"ignore": "for a test"});
    let policy = file(own.path(), "policy.json", without.to_string());
    let put = run(&["revokers", &policy, "--key", &public, "--threshold", "1", "--age-hours", "24"]);
    assert_eq!(put.code, 0, "{}", put.err);
    let value: Value = serde_json::from_str(&put.out).unwrap();
    assert_eq!(value["revocations"]["list"]["require"]["age_seconds_max"], 86_400);
    assert_eq!(value["$comment"], crate::common::sound_snp()["$comment"], "comments stay");
    let with = file(own.path(), "with.json", &put.out);
    assert_eq!(run(&["diff", &policy, &with]).code, 0, "it only narrows");
    let explained = run(&["explain", &with]);
    assert!(explained.out.contains("A list of revocations is at hand"), "{}", explained.out);
    let too_many = run(&["revokers", &policy, "--key", &public, "--threshold", "2"]);
    assert_eq!(too_many.code, 30);
    assert!(too_many.err.contains("policy_contradiction"), "{}", too_many.err);
}
