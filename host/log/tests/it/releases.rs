//! What several people release, as leaves: images and revocations get in under the signatures that the log's own
//! policy names, once, and again only under more of them.

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use vouchsafe_log::storage::Database;
use vouchsafe_log::{check, repair};
use vouchsafe_receipt::image::{ImageDigests, ImageMeasurement};
use vouchsafe_receipt::revocation::{Revocation, Revoked};
use vouchsafe_receipt::threshold::KeySignature;
use vouchsafe_receipt::{
    ImageManifest, ReceiptKey, RevocationList, SignedImage, SignedRevocations, image_leaf, revocations_leaf,
    to_low_s,
};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::{Hex, to_base64};
use vouchsafe_verifier::{Evidence, Moment, UnixSeconds};

use crate::admission::{Boot, Vendor};
use crate::admission_policy::{Desk, KEY, attested, epoch, settling};
use crate::common::Place;

struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let spki = ReceiptKey::spki_of_point(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, spki }
    }

    fn sign(&self, pae: &[u8]) -> KeySignature {
        let signature = self.pair.sign(&SystemRandom::new(), pae).unwrap();
        let signature = to_low_s(signature.as_ref().try_into().unwrap());
        KeySignature { key_id: ReceiptKey::from_spki(&self.spki, &Ring).unwrap().id(), signature }
    }
}

/// Makes a policy say that so many of these keys may release images, and boots must be of one.
fn requiring(policy: &mut Value, keys: &[&Key], threshold: usize) {
    let keys: Vec<_> = keys.iter().map(|key| to_base64(&key.spki)).collect();
    policy["images"]["released"] = json!({"require": {"keys": keys, "threshold": threshold}});
    policy["log"]["inclusion"] = json!({"require": [{"key": KEY}]});
}

fn image(measurement: ImageMeasurement, keys: &[&Key]) -> Vec<u8> {
    let issued = Moment(Vendor::get().now);
    let manifest = ImageManifest::new("1.0".into(), issued, Hex([3; 32]), vec![measurement]).unwrap();
    let mut signed = SignedImage::unsigned(manifest).unwrap();
    keys.iter().for_each(|key| signed.add(key.sign(&signed.pae())));
    image_leaf(&signed)
}

fn some_image(keys: &[&Key]) -> Vec<u8> {
    let digests = ImageDigests::SevSnp { measurement: Hex([1; 48]) };
    image(ImageMeasurement { name: "a guest".into(), digests }, keys)
}

fn leaf(issued: UnixSeconds, keys: &[&Key]) -> Vec<u8> {
    let revokes = Revoked::Boot(Hex([1; 32]));
    let one = Revocation { name: "leak".into(), revokes, at: Moment(issued), reason: "a leak".into() };
    let expires = Moment(UnixSeconds(issued.0 + 3600));
    let list =
        RevocationList { version: 1, serial: 1, issued: Moment(issued), expires, revocations: vec![one] };
    let mut signed = SignedRevocations::unsigned(list).unwrap();
    keys.iter().for_each(|key| signed.add(key.sign(&signed.pae())));
    revocations_leaf(&signed)
}

#[test]
fn a_list_gets_in_under_the_signatures_that_the_policy_names_and_no_others() {
    let now = Vendor::get().now;
    let (a, b, stranger) = (Key::new(), Key::new(), Key::new());
    let keys = [&a, &b].map(|key| to_base64(&key.spki));
    let mut desk = Desk::new(|policy| {
        policy["revocations"]["list"] =
            json!({"require": {"keys": keys, "threshold": 2, "age_seconds_max": 3600}});
    });
    let good = leaf(now, &[&a, &b]);
    let mut forged = good.clone();
    let last = forged.len() - 20;
    forged[last] ^= 1;
    for (wrong, at, code) in [
        (leaf(now, &[&a]), now, "signers_too_few"),
        (leaf(now, &[&stranger]), now, "revocation_signer_unknown"),
        // What others add would make another leaf of the same list.
        (leaf(now, &[&a, &b, &stranger]), now, "revocation_signer_unknown"),
        (forged, now, "signer_signature_invalid"),
        (good.clone(), UnixSeconds(now.0 + 3600), "release_expired"),
        (good.clone(), UnixSeconds(now.0 - 1), "release_from_future"),
        (good[..good.len() - 1].to_vec(), now, "leaf_malformed"),
    ] {
        assert_eq!(desk.submit(&[&wrong], at), [code]);
    }
    assert_eq!(desk.submit(&[&good], now), ["ok"]);
    // Without keys in its policy a log takes nobody's word.
    let mut closed = Desk::new(|_| ());
    assert_eq!(closed.submit(&[&good], now), ["revocations_not_configured"]);
}

#[test]
fn an_image_gets_in_under_the_signatures_that_the_policy_names_and_no_others() {
    let now = Vendor::get().now;
    let (a, b, stranger) = (Key::new(), Key::new(), Key::new());
    let mut desk = Desk::new(|policy| requiring(policy, &[&a, &b], 2));
    let good = some_image(&[&a, &b]);
    let mut forged = good.clone();
    let last = forged.len() - 20;
    forged[last] ^= 1;
    for (wrong, code) in [
        (some_image(&[&a]), "signers_too_few"),
        (some_image(&[&stranger]), "image_signer_unknown"),
        (some_image(&[&a, &b, &stranger]), "image_signer_unknown"),
        (forged, "signer_signature_invalid"),
        (good[..good.len() - 1].to_vec(), "leaf_malformed"),
        (leaf(now, &[&a, &b]), "revocations_not_configured"),
    ] {
        assert_eq!(desk.submit(&[&wrong], now), [code]);
    }
    assert_eq!(desk.submit(&[&good], now), ["ok"]);
    let mut closed = Desk::new(|_| ());
    assert_eq!(closed.submit(&[&good], now), ["images_not_configured"]);
}

/// Signatures are public: anybody can leave some out. Their makers can sign the same again.
#[test]
fn a_payload_is_logged_once_and_again_only_under_more_signatures() {
    let now = Vendor::get().now;
    let keys = [Key::new(), Key::new(), Key::new()];
    let [a, b, c] = &keys;
    let mut desk = Desk::new(|policy| requiring(policy, &[a, b, c], 1));
    // Two at once, of which neither is in the log yet: the first that comes.
    assert_eq!(desk.submit(&[&some_image(&[a]), &some_image(&[b])], now), ["ok", "release_admitted_before"]);
    for subset in [[a], [b], [c]] {
        assert_eq!(desk.submit(&[&some_image(&subset)], now), ["release_admitted_before"]);
    }
    // Nobody keeps the whole release out by being first with a part of it.
    assert_eq!(desk.submit(&[&some_image(&[a, b, c])], now), ["ok"]);
    for subset in [&[a, b][..], &[b, c], &[a, b, c]] {
        assert_eq!(desk.submit(&[&some_image(subset)], now), ["release_admitted_before"]);
    }
    // The log remembers, and not the program alone; `repair` finds it in the entries.
    let of = |place: Place| Desk::over(place, |policy| requiring(policy, &[a, b, c], 1));
    let mut desk = of(desk.into_place());
    assert_eq!(desk.submit(&[&some_image(&[a, b])], now), ["release_admitted_before"]);
    let place = desk.into_place();
    let head = place.open().unwrap().head().head;
    let checked = || check::full(&place.storage(), &head, |_| ());
    checked().unwrap();
    Database::open(&place.folder.database()).unwrap().clear_index().unwrap();
    assert_eq!(checked().unwrap_err().code(), "damaged");
    repair::run(&place.folder, &place.key, |_, _| ()).unwrap();
    checked().unwrap();
    let mut desk = of(place);
    assert_eq!(desk.submit(&[&some_image(&[b, c])], now), ["release_admitted_before"]);
}

/// What came to nothing does not stand in the way of the same release with another of its signatures.
#[test]
fn a_release_whose_batch_failed_can_be_offered_again_in_any_form() {
    let now = Vendor::get().now;
    let (a, b) = (Key::new(), Key::new());
    let mut desk = Desk::new(|policy| requiring(policy, &[&a, &b], 1));
    desk.is_failing = true;
    assert_eq!(desk.submit(&[&some_image(&[&a])], now), ["ok"]);
    desk.is_failing = false;
    assert_eq!(desk.submit(&[&some_image(&[&b])], now), ["ok"]);
    assert_eq!(desk.submit(&[&some_image(&[&a])], now), ["release_admitted_before"]);
}

/// What a boot of a TD measures to, with another command line perhaps.
fn measured(boot: &Boot, rtmr2: Option<Hex<48>>) -> ImageMeasurement {
    let Evidence::Tdx { quote, .. } = &boot.attested.evidence else { panic!("not of a TD") };
    // Intel TDX DCAP quoting library API, *TD quote body*: MRTD and the RTMRs in a version 4 quote.
    let register = |offset: usize| Hex::<48>(quote.0[offset..offset + 48].try_into().unwrap());
    let rtmr2 = rtmr2.unwrap_or_else(|| register(472));
    let [mrtd, rtmr1, rtmr2] = [register(184), register(424), rtmr2].map(|digest| vec![digest]);
    let digests = ImageDigests::Tdx { mrtd, rtmr0: None, rtmr1, rtmr2, rtmr3: None };
    ImageMeasurement { name: "td".into(), digests }
}

#[test]
fn a_boot_gets_in_after_the_release_of_its_image_where_the_policy_asks_for_one() {
    let now = Vendor::get().now;
    let key = Key::new();
    let mut desk = Desk::new(|policy| requiring(policy, &[&key], 1));
    let boot = Boot::with(Vendor::get(), |statement| statement.settlement = settling());
    assert_eq!(desk.boot(&boot, now), "image_not_released");
    assert_eq!(desk.submit(&[&image(measured(&boot, Some(Hex([9; 48]))), &[&key])], now), ["ok"]);
    assert_eq!(desk.boot(&boot, now), "image_not_released", "another command line's");
    assert_eq!(desk.submit(&[&image(measured(&boot, None), &[&key])], now), ["ok"]);
    assert_eq!(desk.boot(&boot, now), "ok");
}

/// The keys that release are rotated: what runs goes on, and what is released is signed anew.
#[test]
fn a_release_is_signed_anew_with_new_keys_and_running_boots_go_on_meanwhile() {
    let now = Vendor::get().now;
    let [old, other_old, new, other_new] = [Key::new(), Key::new(), Key::new(), Key::new()];
    let boot = || Boot::with(Vendor::get(), |statement| statement.settlement = settling());
    let running = boot();
    let mut desk = Desk::new(|policy| requiring(policy, &[&old, &other_old], 1));
    let released = |keys: &[&Key]| image(measured(&running, None), keys);
    assert_eq!(desk.submit(&[&released(&[&old, &other_old])], now), ["ok"]);
    assert_eq!(desk.boot(&running, now), "ok");

    let mut desk = Desk::over(desk.into_place(), |policy| requiring(policy, &[&new, &other_new], 1));
    let next = boot();
    assert_eq!(desk.boot(&next, now), "image_not_released");
    let (leaf, blobs) = epoch(&running, 0, &attested(&running, &running.machine, |_| ()));
    desk.post(blobs);
    assert_eq!(desk.submit(&[&leaf], now), ["ok"]);
    // Fewer signatures than before, and the first that count.
    assert_eq!(desk.submit(&[&released(&[&new])], now), ["ok"]);
    assert_eq!(desk.submit(&[&released(&[&other_new])], now), ["release_admitted_before"]);
    assert_eq!(desk.boot(&next, now), "ok");
    // All of it is found again in the entries.
    let place = desk.into_place();
    let head = place.open().unwrap().head().head;
    repair::run(&place.folder, &place.key, |_, _| ()).unwrap();
    check::full(&place.storage(), &head, |_| ()).unwrap();
    let mut desk = Desk::over(place, |policy| requiring(policy, &[&new, &other_new], 1));
    assert_eq!(desk.submit(&[&released(&[&other_new])], now), ["release_admitted_before"]);
    assert_eq!(desk.boot(&boot(), now), "ok");
}

/// A database of before releases were indexed gets its index when it is opened.
#[test]
fn an_old_database_learns_of_the_releases_in_its_log() {
    let now = Vendor::get().now;
    let key = Key::new();
    let rules = |policy: &mut Value| requiring(policy, &[&key], 1);
    let mut desk = Desk::new(rules);
    assert_eq!(desk.submit(&[&some_image(&[&key])], now), ["ok"]);
    let place = desk.into_place();
    let head = place.open().unwrap().head().head;
    let database = rusqlite::Connection::open(place.folder.database()).unwrap();
    database.execute_batch("DROP TABLE released; PRAGMA user_version = 1;").unwrap();
    drop(database);
    check::full(&place.storage(), &head, |_| ()).unwrap();
    let mut desk = Desk::over(place, rules);
    assert_eq!(desk.submit(&[&some_image(&[&key])], now), ["release_admitted_before"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// In whatever order subsets of the signatures are offered, each leaf that gets in has more than the one before.
    #[test]
    fn leaves_of_one_payload_are_no_more_than_its_signers(
        offered in prop::collection::vec(1_u8..16, 1..12),
    ) {
        let keys = [Key::new(), Key::new(), Key::new(), Key::new()];
        let all: Vec<_> = keys.iter().collect();
        let mut desk = Desk::new(|policy| requiring(policy, &all, 2));
        let mut most = 1;
        for subset in offered {
            let by: Vec<_> = (0..4).filter(|bit| subset & (1 << bit) != 0).map(|bit| &keys[bit]).collect();
            let expected = match by.len() {
                0 | 1 => "signers_too_few",
                count if count > most => {
                    most = count;
                    "ok"
                }
                _ => "release_admitted_before",
            };
            prop_assert_eq!(desk.submit(&[&some_image(&by)], Vendor::get().now), [expected]);
        }
    }
}
