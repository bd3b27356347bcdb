//! Signed releases: thresholds, dates, serials, and taking new ones with care.

use serde_json::{Value, json};
use vouchsafe_policy::diff::Direction;
use vouchsafe_policy::follow::{FollowError, Followed, Follower};
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
    assert_eq!(take(&release(1, &strict), NOW).unwrap(), Followed::Applied(Vec::new()), "the first");
    assert_eq!(take(&release(1, &strict), NOW).unwrap(), Followed::Current);

    let wider = release(2, &loose);
    let Followed::Pending(changes, until) = take(&wider, NOW).unwrap() else { panic!("taken at once") };
    assert_eq!((changes[0].direction, until), (Direction::Widens, later(48 * HOUR)));
    assert_eq!(follower.current().unwrap().unwrap(), parse(&strict), "the old one is in force meanwhile");
    // Looking again does not put it off, and setting the clock back does not bring it on.
    let Followed::Pending(_, until) = take(&wider, later(HOUR)).unwrap() else { panic!("taken early") };
    assert_eq!(until, later(48 * HOUR));
    assert!(matches!(take(&wider, later(48 * HOUR - 1)).unwrap(), Followed::Pending(..)));
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

    // A release that waits is replaced by a later one, which begins its own wait.
    assert!(matches!(take(&release(4, &loose), later(50 * HOUR)).unwrap(), Followed::Pending(..)));
    let Followed::Pending(_, until) = take(&release(5, &loose), later(90 * HOUR)).unwrap() else { panic!() };
    assert_eq!(until, later((90 + 48) * HOUR));
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
