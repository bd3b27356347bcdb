//! A list of revocations that one signer signed.

use std::sync::LazyLock;

use vouchsafe_receipt::revocation::{Revocation, Revoked};
use vouchsafe_receipt::threshold::{KeySignature, Signers};
use vouchsafe_receipt::{ReceiptKey, RevocationList, SignedRevocations};
use vouchsafe_verifier::encoding::Hex;
use vouchsafe_verifier::{Moment, UnixSeconds};

use crate::{AT, Credulous};

/// The base point of P-256, whose private key is 1.
const POINT: &[u8; 65] = b"\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

static KEY: LazyLock<(Vec<u8>, ReceiptKey)> = LazyLock::new(|| {
    let spki = ReceiptKey::spki_of_point(POINT);
    let key = ReceiptKey::from_spki(&spki, &Credulous).expect("a key");
    (spki.to_vec(), key)
});

static SIGNERS: LazyLock<Signers> =
    LazyLock::new(|| Signers::new([KEY.0.as_slice()], 1, &Credulous).expect("signers"));

/// Whose signatures count.
pub fn signers() -> &'static Signers {
    &SIGNERS
}

/// A list with entries of several kinds.
pub fn list() -> RevocationList {
    let one = |name: &str, revokes| Revocation {
        name: name.into(),
        revokes,
        at: Moment(AT),
        reason: "A leak".into(),
    };
    let revocations = vec![
        one("boot", Revoked::Boot(Hex([1; 32]))),
        one("platform", Revoked::Ppid(Hex([3; 16]))),
        one("model", Revoked::Fmspc(Hex([5; 6]))),
    ];
    let (issued, expires) = (Moment(AT), Moment(UnixSeconds(AT.0 + 86_400)));
    RevocationList { version: 1, serial: 3, issued, expires, revocations }
}

/// A list that parsed, under a signature that [`Credulous`] believes.
pub fn sign(list: RevocationList) -> SignedRevocations {
    let mut signed = SignedRevocations::unsigned(list).expect("a list that parsed");
    signed.add(KeySignature { key_id: KEY.1.id(), signature: [0x11; 64] });
    signed
}
