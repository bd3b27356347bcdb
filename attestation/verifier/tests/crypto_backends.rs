//! `ring` and RustCrypto, held against each other: on every real vector, and on what hostile keys and
//! signatures can look like.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{SnpCase, fixtures, snp_file};
use proptest::prelude::*;
use vouchsafe_verifier::crypto::{Crypto, Ring, RustCrypto};
use vouchsafe_verifier::encoding::Base64;
use vouchsafe_verifier::x509::{Certificate, PublicKey};
use vouchsafe_verifier::{
    Endorsements, Evidence, SnpEndorsements, TdxCollateral, TrustRoots, UnixSeconds, verify,
};

/// Asks both and demands one answer.
#[derive(Default)]
struct Both {
    true_verifications: AtomicUsize,
    false_verifications: AtomicUsize,
}

impl Both {
    fn agree(&self, what: &str, ring: bool, rust_crypto: bool) -> bool {
        assert_eq!(ring, rust_crypto, "{what}: ring says {ring}, RustCrypto {rust_crypto}");
        let count = if ring { &self.true_verifications } else { &self.false_verifications };
        count.fetch_add(1, Ordering::Relaxed);
        ring
    }

    fn counts(&self) -> (usize, usize) {
        (self.true_verifications.load(Ordering::Relaxed), self.false_verifications.load(Ordering::Relaxed))
    }
}

impl Crypto for Both {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let digest = Ring.sha256(data);
        assert_eq!(digest, RustCrypto.sha256(data));
        digest
    }

    fn sha384(&self, data: &[u8]) -> [u8; 48] {
        let digest = Ring.sha384(data);
        assert_eq!(digest, RustCrypto.sha384(data));
        digest
    }

    fn sha512(&self, data: &[u8]) -> [u8; 64] {
        let digest = Ring.sha512(data);
        assert_eq!(digest, RustCrypto.sha512(data));
        digest
    }

    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> [u8; 32] {
        let tag = Ring.hmac_sha256(key, data);
        assert_eq!(tag, RustCrypto.hmac_sha256(key, data));
        tag
    }

    fn verify_p256_sha256(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let ring = Ring.verify_p256_sha256(key, message, signature);
        self.agree("P-256", ring, RustCrypto.verify_p256_sha256(key, message, signature))
    }

    fn verify_p384_sha384(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let ring = Ring.verify_p384_sha384(key, message, signature);
        self.agree("P-384", ring, RustCrypto.verify_p384_sha384(key, message, signature))
    }

    fn verify_rsa_pss_sha384(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let ring = Ring.verify_rsa_pss_sha384(key, message, signature);
        self.agree("RSA-PSS", ring, RustCrypto.verify_rsa_pss_sha384(key, message, signature))
    }

    fn verify_ed25519(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let ring = Ring.verify_ed25519(key, message, signature);
        self.agree("Ed25519", ring, RustCrypto.verify_ed25519(key, message, signature))
    }
}

#[test]
fn both_judge_every_snp_vector_alike() {
    let Some(fixtures) = fixtures("backends on SNP vectors") else { return };
    let both = Both::default();
    let roots = TrustRoots::vendor_pinned();
    let crl = |name: &str| Some(Base64(snp_file(&fixtures, name)));
    for case in SnpCase::all(&fixtures) {
        let mut veks: Vec<_> = std::fs::read_dir(&case.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "der"))
            .map(|path| std::fs::read(path).unwrap())
            .collect();
        veks.sort();
        for vek in veks {
            for crl in [None, crl("crl/milan-crl6.der"), crl("crl/genoa-crl9.der")] {
                let endorsements =
                    SnpEndorsements { vek: Some(Base64(vek.clone())), crl, ..Default::default() };
                let endorsements = Endorsements::SevSnp(endorsements);
                let _ = verify(&case.evidence(), Some(&endorsements), &roots, case.at(), &both);
                let mut report = case.report.clone();
                report[0x50] ^= 1;
                let _ = verify(&common::snp_evidence(&report), Some(&endorsements), &roots, case.at(), &both);
            }
        }
    }
    let (accepted, refused) = both.counts();
    assert!(accepted >= 11 * 3 && refused >= 11, "{accepted} accepted, {refused} refused");
}

#[test]
fn both_judge_every_tdx_vector_alike() {
    let Some(fixtures) = fixtures("backends on TDX vectors") else { return };
    let both = Both::default();
    let roots = TrustRoots::vendor_pinned();
    let mut pairs = 0;
    for folder in subfolders(&fixtures.join("vectors/tdx")) {
        let quote = std::fs::read(folder.join("quote.bin")).unwrap();
        let expect: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("expect.json")).unwrap()).unwrap();
        for appraisal in expect["appraisals"].as_array().into_iter().flatten() {
            let file = folder.join(appraisal["collateral"].as_str().unwrap());
            let collateral: TdxCollateral = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let at = UnixSeconds(appraisal["verify_at_unix"].as_u64().unwrap());
            let evidence = Evidence::Tdx { quote: Base64(quote.clone()), event_log: None };
            let endorsements = Endorsements::Tdx(collateral);
            let by_both = verify(&evidence, Some(&endorsements), &roots, at, &both).map_err(|e| e.code());
            let by_ring = verify(&evidence, Some(&endorsements), &roots, at, &Ring).map_err(|e| e.code());
            assert_eq!(by_both.err(), by_ring.err(), "{}", folder.display());
            pairs += 1;
        }
    }
    let (accepted, _) = both.counts();
    assert!(pairs >= 10 && accepted >= 8 * pairs, "{pairs} pairs, {accepted} signatures");
}

fn subfolders(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// A P-384 signature that verifies, from a real report.
fn p384_sample(fixtures: &Path) -> ([u8; 97], Vec<u8>, [u8; 96]) {
    let case = SnpCase::named(fixtures, "milan-v3-aci");
    let vek = case.vek.unwrap();
    let certificate = Certificate::parse(&vek).unwrap();
    let PublicKey::P384(key) = certificate.public_key() else { panic!("a VEK's key is on P-384") };
    let report = vouchsafe_verifier::snp::Report::parse(&case.report).unwrap();
    (*key, case.report[..0x2a0].to_vec(), *report.signature().fixed())
}

#[test]
fn both_treat_odd_p384_keys_and_signatures_alike() {
    let Some(fixtures) = fixtures("odd P-384 inputs") else { return };
    let (key, message, signature) = p384_sample(&fixtures);
    let both = Both::default();
    assert!(both.verify_p384_sha384(&key, &message, &signature));
    let order = hex(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    );
    let mut odd_signatures = vec![vec![], vec![0; 96], vec![0xff; 96], signature[..95].to_vec()];
    for half in [0, 48] {
        for value in [vec![0; 48], order.clone(), vec![0xff; 48]] {
            let mut odd = signature.to_vec();
            odd[half..half + 48].copy_from_slice(&value);
            odd_signatures.push(odd);
        }
    }
    odd_signatures.push([signature.as_slice(), &[0]].concat());
    for odd in odd_signatures {
        assert!(!both.verify_p384_sha384(&key, &message, &odd));
    }
    let compressed = [&[0x02 | (key[96] & 1)], &key[1..49]].concat();
    let hybrid = [&[0x06 | (key[96] & 1)], &key[1..]].concat();
    let off_curve = [&key[..96], &[key[96] ^ 1]].concat();
    for odd in [vec![], vec![0], vec![4; 97], compressed, hybrid, off_curve, key[..96].to_vec()] {
        assert!(!both.verify_p384_sha384(&odd, &message, &signature));
    }
}

#[test]
fn both_treat_odd_rsa_keys_alike() {
    let Some(fixtures) = fixtures("odd RSA keys") else { return };
    let ark = snp_file(&fixtures, "chains/milan-ark.der");
    let certificate = Certificate::parse(&ark).unwrap();
    let PublicKey::Rsa(key) = certificate.public_key() else { panic!("an ARK's key is RSA") };
    let both = Both::default();
    // SEQUENCE { INTEGER modulus (513 bytes with its sign), INTEGER 65537 }
    assert_eq!((key.len(), &key[4..9]), (526, [0x02, 0x82, 0x02, 0x01, 0x00].as_slice()));
    let rsa_key = |modulus: &[u8], exponent: &[u8]| {
        let integer = |bytes: &[u8]| {
            let signed = if bytes.first().is_some_and(|b| b & 0x80 != 0) {
                [&[0], bytes].concat()
            } else {
                bytes.to_vec()
            };
            [vec![0x02], length(signed.len()), signed].concat()
        };
        let content = [integer(modulus), integer(exponent)].concat();
        [vec![0x30], length(content.len()), content].concat()
    };
    let modulus = &key[9..521];
    assert_eq!(rsa_key(modulus, &[1, 0, 1]), key);
    let mut even = modulus.to_vec();
    even[511] &= 0xfe;
    let short = [&modulus[..127], &[0x01]].concat();
    let one_bit_short = [&[0x7f], &modulus[1..256]].concat();
    let ones = |len| vec![0xff; len];
    for odd in [
        vec![],
        vec![0x30, 0x00],
        key[..525].to_vec(),
        [key, &[0]].concat(),
        rsa_key(&[0], &[1, 0, 1]),
        rsa_key(&[1], &[1, 0, 1]),
        rsa_key(&even, &[1, 0, 1]),
        rsa_key(&short, &[1, 0, 1]),
        rsa_key(&one_bit_short, &[1, 0, 1]),
        rsa_key(&ones(1025), &[1, 0, 1]),
        rsa_key(modulus, &[0]),
        rsa_key(modulus, &[1]),
        rsa_key(modulus, &[2]),
        rsa_key(modulus, &[3]),
        rsa_key(modulus, &[1, 0, 0]),
        rsa_key(modulus, &ones(5)),
        rsa_key(modulus, &ones(9)),
    ] {
        for signature in [vec![], vec![0; 512], vec![1; 512], vec![0xff; 512], vec![1; 511], vec![1; 513]] {
            assert!(!both.verify_rsa_pss_sha384(&odd, b"message", &signature));
        }
    }
    // Signatures as large as the modulus, and one above it.
    for signature in [modulus.to_vec(), vec![0xff; 512], vec![0; 512], vec![]] {
        assert!(!both.verify_rsa_pss_sha384(key, b"message", &signature));
    }
}

/// RFC 8032, section 7.1, tests 1 to 3: public key, message, signature.
const ED25519_VECTORS: [(&str, &str, &str); 3] = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
];

#[test]
fn both_verify_the_ed25519_vectors_and_treat_odd_inputs_alike() {
    let both = Both::default();
    for (key, message, signature) in ED25519_VECTORS {
        let (key, message, signature) = (hex(key), hex(message), hex(signature));
        assert!(both.verify_ed25519(&key, &message, &signature));
        assert!(!both.verify_ed25519(&key, &[message.as_slice(), b"x"].concat(), &signature));
        for bit in 0..512 {
            let mut bent = signature.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!both.verify_ed25519(&key, &message, &bent), "bit {bit}");
        }
        for bit in 0..256 {
            let mut bent = key.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!both.verify_ed25519(&bent, &message, &signature), "bit {bit}");
        }
    }
    let (key, message, signature) = ED25519_VECTORS[1];
    let (key, message, signature) = (hex(key), hex(message), hex(signature));
    // The group's order, little-endian: S + order is the same scalar in a second form.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    let mut second_form = signature.clone();
    for (byte, addend) in second_form[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(addend) + carry;
        (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    assert!(!both.verify_ed25519(&key, &message, &second_form));
    // Points of small order and encodings with y of at least p, as keys and as R.
    let odd_points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    for point in odd_points.map(hex) {
        both.verify_ed25519(&point, &message, &signature);
        both.verify_ed25519(&key, &message, &[&point[..], &signature[32..]].concat());
        for r in odd_points.map(hex) {
            both.verify_ed25519(&point, &message, &[&r[..], &[0; 32]].concat());
        }
    }
    for len in [0, 1, 31, 33, 64] {
        assert!(!both.verify_ed25519(&vec![1; len], &message, &signature));
    }
    for len in [0, 63, 65] {
        assert!(!both.verify_ed25519(&key, &message, &vec![0; len]));
    }
}

fn length(len: usize) -> Vec<u8> {
    match len {
        0..=127 => vec![len as u8],
        128..=255 => vec![0x81, len as u8],
        _ => vec![0x82, (len >> 8) as u8, len as u8],
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn digests_and_macs_agree(key in proptest::collection::vec(any::<u8>(), 0..200),
                              data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let both = Both::default();
        both.sha256(&data);
        both.sha384(&data);
        both.sha512(&data);
        both.hmac_sha256(&key, &data);
    }

    #[test]
    fn arbitrary_keys_and_signatures_are_refused_by_both(
        key in proptest::collection::vec(any::<u8>(), 0..600),
        signature in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let both = Both::default();
        prop_assert!(!both.verify_p256_sha256(&key, b"m", &signature));
        prop_assert!(!both.verify_p384_sha384(&key, b"m", &signature));
        prop_assert!(!both.verify_rsa_pss_sha384(&key, b"m", &signature));
        prop_assert!(!both.verify_ed25519(&key, b"m", &signature));
    }
}
