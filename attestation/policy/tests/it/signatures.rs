//! Signed releases: thresholds, dates, serials, and taking new ones with care.

use serde_json::{Value, json};
use vouchsafe_policy::diff::{Change, Direction};
use vouchsafe_policy::follow::{FollowError, Followed, Follower, Waiting};
use vouchsafe_policy::signed::{self, Error, Release, Seen, SignedPolicy, Signers, SigningKey};
use vouchsafe_verifier::UnixSeconds;
use vouchsafe_verifier::encoding::Hex;

use crate::common::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOUR: u64 = 3600;

fn later(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

fn keys(count: usize) -> Vec<SigningKey> {
    (0..count).map(|_| SigningKey::generate().unwrap().0).collect()
}

fn trusted(keys: &[SigningKey], threshold: usize) -> Signers {
    let spkis: Vec<_> = keys.iter().map(|key| key.spki().to_vec()).collect();
    signed::trusted(&spkis, threshold).unwrap()
}

fn release(serial: u64, document: &Value) -> Release {
    Release::new(serial, NOW, later(1000 * HOUR), document.to_string().as_bytes()).unwrap()
}

fn sealed(release: &Release, keys: &[SigningKey]) -> SignedPolicy {
    let mut signed = SignedPolicy::unsigned(release);
    for key in keys {
        signed.sign(key).unwrap();
    }
    SignedPolicy::parse(signed.to_json().as_bytes()).unwrap()
}

fn code(result: Result<impl Sized, Error>) -> &'static str {
    result.map(drop).unwrap_err().code()
}

#[test]
fn so_many_of_the_trusted_keys_must_have_signed() {
    let (mine, others) = (keys(3), keys(2));
    let release = release(1, &sound_snp());
    let two_of_three = trusted(&mine, 2);
    let verify = |keys: &[SigningKey]| sealed(&release, keys).verify(&two_of_three, NOW, None);
    let verified = verify(&mine[..2]).unwrap();
    assert_eq!(verified.policy(), &parse(&sound_snp()));
    assert_eq!(code(verify(&mine[..1])), "signed_policy_threshold");
    assert_eq!(code(verify(&others)), "signed_policy_threshold");
    // Others may sign as well, which counts for nothing and does no harm.
    let mut all = sealed(&release, &others);
    assert_eq!(code(all.verify(&two_of_three, NOW, None)), "signed_policy_threshold");
    for key in &mine[..2] {
        all.sign(key).unwrap();
    }
    assert!(all.verify(&two_of_three, NOW, None).is_ok());
    // One key counts once, however often it signs.
    let mut again = sealed(&release, &mine[..1]);
    again.sign(&mine[0]).unwrap();
    assert_eq!(code(again.verify(&two_of_three, NOW, None)), "signed_policy_threshold");
}

#[test]
fn every_byte_of_an_envelope_counts() {
    let mine = keys(1);
    let one = trusted(&mine, 1);
    let text = sealed(&release(1, &sound_snp()), &mine).to_json();
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert!(SignedPolicy::parse(text.as_bytes()).unwrap().verify(&one, NOW, None).is_ok());
    for pointer in ["/payload", "/signatures/0/sig", "/signatures/0/keyid"] {
        let value = envelope.pointer(pointer).unwrap().as_str().unwrap();
        for at in (0..value.len()).step_by(97).chain([value.len() / 2]) {
            let swap = if &value[at..=at] == "b" { "a" } else { "b" };
            let changed = format!("{}{swap}{}", &value[..at], &value[at + 1..]);
            if changed == value {
                continue;
            }
            let changed = with(&envelope, pointer, json!(changed));
            let verdict = SignedPolicy::parse(changed.to_string().as_bytes());
            let verdict = verdict.and_then(|signed| signed.verify(&one, NOW, None));
            assert!(verdict.is_err(), "{pointer} at {at}");
        }
    }
    for (pointer, value) in [
        ("/payloadType", json!("application/vnd.vouchsafe.receipt.v1+json")),
        ("/signatures", json!([envelope["signatures"][0], envelope["signatures"][0]])),
        ("/signatures/0/sig", json!("AAAA")),
    ] {
        let changed = with(&envelope, pointer, value).to_string();
        assert_eq!(code(SignedPolicy::parse(changed.as_bytes())), "signed_policy_malformed", "{pointer}");
    }
}

#[test]
fn dates_and_serials_are_kept() {
    let mine = keys(1);
    let one = trusted(&mine, 1);
    let first = sealed(&release(7, &sound_snp()), &mine);
    assert_eq!(code(first.verify(&one, later(1000 * HOUR), None)), "signed_policy_expired");
    assert!(first.verify(&one, later(1000 * HOUR - 1), None).is_ok());
    assert_eq!(code(first.verify(&one, UnixSeconds(NOW.0 - 1), None)), "signed_policy_from_future");
    let seen = first.verify(&one, NOW, None).unwrap().seen();
    assert!(first.verify(&one, NOW, Some(&seen)).is_ok(), "the same again is no fault");
    let higher = Seen { serial: 8, release: Hex([0; 32]) };
    assert_eq!(code(first.verify(&one, NOW, Some(&higher))), "signed_policy_rollback");
    let other = sealed(&release(7, &sound_tdx()), &mine);
    assert_eq!(code(other.verify(&one, NOW, Some(&seen))), "signed_policy_fork");
    let document = sound_snp().to_string();
    assert_eq!(code(Release::new(1, NOW, NOW, document.as_bytes())), "signed_policy_malformed");
    assert_eq!(code(Release::new(1, NOW, later(1), b"{}")), "policy_malformed");
    for threshold in [0, 2] {
        assert_eq!(code(signed::trusted(&[mine[0].spki().to_vec()], threshold)), "signing_key_unusable");
    }
    assert_eq!(code(signed::trusted(&[vec![0; 91]], 1)), "signing_key_unusable");
}

#[test]
fn what_accepts_more_waits_and_what_accepts_less_does_not() {
    let mine = keys(1);
    let one = trusted(&mine, 1);
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(&own.path().join("state")).unwrap();
    let take = |release: &Release, at: UnixSeconds| {
        follower.take(sealed(release, &mine).to_json().as_bytes(), &one, at, 48 * HOUR)
    };
    let strict = sound_snp();
    let loose = with(&strict, "/platform/snp/crl", json!({"ignore": "for a test"}));
    assert_eq!(take(&release(1, &strict), NOW).unwrap(), Followed::First(Vec::new()));
    assert_eq!(take(&release(1, &strict), NOW).unwrap(), Followed::Current);

    let wider = release(2, &loose);
    let (applied, waiting) = pending(take(&wider, NOW).unwrap());
    assert_eq!(applied, []);
    assert_eq!((waiting[0].change.direction, waiting[0].until), (Direction::Widens, later(48 * HOUR)));
    assert_eq!(follower.current().unwrap().unwrap(), parse(&strict), "the old one is in force meanwhile");
    // Looking again does not put it off, and setting the clock back does not bring it on.
    assert_eq!(pending(take(&wider, later(HOUR)).unwrap()).1[0].until, later(48 * HOUR));
    assert!(matches!(take(&wider, later(48 * HOUR - 1)).unwrap(), Followed::Pending { .. }));
    assert!(matches!(take(&wider, later(48 * HOUR)).unwrap(), Followed::Applied(_)));
    assert_eq!(follower.current().unwrap().unwrap(), parse(&loose));

    // What was seen is not undone, and what narrows does not wait.
    let refused = take(&release(1, &strict), later(49 * HOUR)).unwrap_err();
    assert!(
        matches!(refused, FollowError::Refused { error: Error::Rollback { found: 1, seen: 2 } }),
        "{refused}"
    );
    assert!(matches!(take(&release(3, &strict), later(49 * HOUR)).unwrap(), Followed::Applied(_)));
    assert_eq!(follower.current().unwrap().unwrap(), parse(&strict));

    // A later release that asks for the same goes on waiting; one that does not ends the wait.
    assert_eq!(pending(take(&release(4, &loose), later(50 * HOUR)).unwrap()).1[0].until, later(98 * HOUR));
    assert_eq!(pending(take(&release(5, &loose), later(90 * HOUR)).unwrap()).1[0].until, later(98 * HOUR));
    assert!(matches!(take(&release(6, &strict), later(91 * HOUR)).unwrap(), Followed::Applied(_)));
    assert_eq!(pending(take(&release(7, &loose), later(92 * HOUR)).unwrap()).1[0].until, later(140 * HOUR));
    // Whoever serves nothing any more does not hold it up.
    let resumed = |at| follower.resume(&one, at, 48 * HOUR).unwrap();
    assert!(matches!(resumed(later(139 * HOUR)), Some(Followed::Pending { .. })));
    assert!(matches!(resumed(later(140 * HOUR)), Some(Followed::Applied(_))));
    assert_eq!(resumed(later(140 * HOUR)), None);
    assert_eq!(follower.current().unwrap().unwrap(), parse(&loose));
}

fn pending(followed: Followed) -> (Vec<Change>, Vec<Waiting>) {
    match followed {
        Followed::Pending { applied, waiting } => (applied, waiting),
        other => panic!("it does not wait: {other:?}"),
    }
}

/// A second image beside the first, or the first revoked, or both.
fn images(second: bool, revoked: bool) -> Value {
    let mut value = sound_snp();
    let list = value["measurements"]["require"].as_array_mut().unwrap();
    if second {
        let digests = json!({"platform": "sev-snp", "measurement": "6b".repeat(48)});
        list.push(json!({"name": "image 2", "computed": "by hand", "digests": digests}));
    }
    if revoked {
        list[0]["revoked"] = json!({"at": "2027-01-10T00:00:00Z", "reason": "it leaks"});
    }
    value
}

#[test]
fn a_revocation_is_not_held_up_by_what_waits_in_the_same_release() {
    let mine = keys(1);
    let one = trusted(&mine, 1);
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    let take = |serial: u64, document: &Value, at: UnixSeconds| {
        let text = sealed(&release(serial, document), &mine).to_json();
        follower.take(text.as_bytes(), &one, at, 48 * HOUR).unwrap()
    };
    let in_force = || follower.current().unwrap().unwrap();
    take(6, &images(false, false), NOW);
    take(7, &images(true, false), NOW);
    // An hour later, before image 2 is in force anywhere, image 1 is found broken.
    let (applied, waiting) = pending(take(8, &images(true, true), later(HOUR)));
    assert_eq!(in_force(), parse(&images(false, true)), "image 1 is revoked, image 2 not yet accepted");
    assert!(applied.iter().all(|change| change.direction == Direction::Narrows), "{applied:?}");
    assert_eq!((applied.len(), waiting.len()), (1, 1), "{applied:?} {waiting:?}");
    assert_eq!(waiting[0].until, later(48 * HOUR), "counted from release 7 on");
    // A release that is dated anew every day changes nothing of that.
    for day in 1..2 {
        let (applied, waiting) = pending(take(8 + day, &images(true, true), later(day * 24 * HOUR)));
        assert_eq!((applied, waiting[0].until), (Vec::new(), later(48 * HOUR)));
    }
    assert!(matches!(take(20, &images(true, true), later(48 * HOUR)), Followed::Applied(_)));
    assert_eq!(in_force(), parse(&images(true, true)));
}

#[test]
fn what_is_in_force_keeps_its_end() {
    let mine = keys(1);
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    let text = sealed(&release(1, &sound_snp()), &mine).to_json();
    follower.take(text.as_bytes(), &trusted(&mine, 1), NOW, 0).unwrap();
    let expires = std::fs::read_to_string(own.path().join("policy.json.expires")).unwrap();
    assert_eq!(UnixSeconds::from_rfc3339(expires.trim()), Some(later(1000 * HOUR)));
}

#[test]
fn the_longest_policy_is_followed_by_another() {
    let mine = keys(1);
    let one = trusted(&mine, 1);
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    let chips: Vec<_> = (0..7700).map(|n| format!("{n:0128x}")).collect();
    let long = with(&sound_snp(), "/platform/snp/chip_ids", json!({"require": chips}));
    assert!(serde_json::to_string_pretty(&long).unwrap().len() > 1 << 20, "indented it is too long");
    let next = with(&long, "/platform/snp/single_socket", json!({"require": true}));
    for (serial, document) in [(1, &long), (2, &next)] {
        let text = sealed(&release(serial, document), &mine).to_json();
        follower.take(text.as_bytes(), &one, NOW, 0).unwrap();
        assert_eq!(follower.current().unwrap().unwrap(), parse(document));
    }
}

#[test]
fn a_followers_broken_state_is_told_and_nothing_is_taken() {
    let mine = keys(1);
    let own = tempfile::tempdir().unwrap();
    let follower = Follower::new(own.path()).unwrap();
    std::fs::write(own.path().join("seen.json"), "{").unwrap();
    let text = sealed(&release(1, &sound_snp()), &mine).to_json();
    let error = follower.take(text.as_bytes(), &trusted(&mine, 1), NOW, 0).unwrap_err();
    assert!(matches!(&error, FollowError::State { path, .. } if path.ends_with("seen.json")), "{error}");
    assert!(follower.current().unwrap().is_none());
}
