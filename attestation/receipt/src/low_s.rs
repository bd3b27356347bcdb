//! One signature, one form: ECDSA's `s` and `n − s` both verify, so only the lower is accepted.
//!
//! Without this rule a stranger could resubmit a receipt with its signature's other form and the log
//! would hold two different leaves for one answer.

/// The order n of P-256's group (SEC 2, section 2.4.2), big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// (n − 1) / 2, the largest low `s`.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Whether a P-256 signature r‖s is in its low-s form.
pub fn is_low_s(signature: &[u8; 64]) -> bool {
    let (_, s) = signature.split_at(32);
    s <= HALF_ORDER.as_slice()
}

/// The low-s form of a valid P-256 signature r‖s.
pub fn to_low_s(signature: [u8; 64]) -> [u8; 64] {
    if is_low_s(&signature) {
        return signature;
    }
    let mut low = signature;
    let (_, s) = low.split_at_mut(32);
    let mut borrow = false;
    for (digit, order) in s.iter_mut().zip(ORDER).rev() {
        let (difference, under) = order.overflowing_sub(*digit);
        let (difference, under_borrow) = difference.overflowing_sub(u8::from(borrow));
        *digit = difference;
        borrow = under || under_borrow;
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_verifier::crypto::{Crypto, Ring};

    #[test]
    fn both_forms_verify_and_one_is_low() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
        let rng = ring::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let (mut high_seen, mut low_seen) = (false, false);
        for round in 0..64_u8 {
            let made: [u8; 64] = key.sign(&rng, &[round]).unwrap().as_ref().try_into().unwrap();
            let low = to_low_s(made);
            assert!(is_low_s(&low));
            assert!(Ring.verify_p256_sha256(key.public_key().as_ref(), &[round], &low));
            if made == low { low_seen = true } else { high_seen = true }
        }
        assert!(high_seen && low_seen, "64 signatures all of one form: the test shows nothing");
    }

    #[test]
    fn the_boundary_is_half_the_order() {
        let mut signature = [0_u8; 64];
        signature[32..].copy_from_slice(&HALF_ORDER);
        assert!(is_low_s(&signature));
        signature[63] += 1;
        assert!(!is_low_s(&signature));
        assert_eq!(&to_low_s(signature)[32..], HALF_ORDER, "n - (h + 1) = h for odd n = 2h + 1");
    }
}
