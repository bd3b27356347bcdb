//! A session that a witness written in Go was tested with: ours answers alike.

use vouchsafe_translog::note::{Algorithm, VerifierKey};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::from_hex;
use vouchsafe_witness::Witness;

use crate::common::{NOW, init};

const SESSION: &str = include_str!("../data/litewitness.txt");
const ORIGIN: &str = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
const KEY: &str = "ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f";

/// Where ours differs, with the reason.
const EXCEPTIONS: [(usize, u16, &str); 2] = [
    (
        1,
        400,
        "the signature's base64 has stray bits: a note has one spelling here, and Go's reader takes several",
    ),
    (2, 404, "an unknown log is 404 in c2sp.org/tlog-witness, and was 403 to that release"),
];

#[test]
fn a_session_of_litewitness_goes_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let log = VerifierKey::new(ORIGIN, Algorithm::Ed25519, from_hex(KEY).unwrap(), &Ring).unwrap();
    let witness = Witness::new(init(folder.path()), &[log.to_string()]).unwrap();
    let (mut theirs, mut last_size) = (Vec::new(), 0);
    for (at, exchange) in SESSION.split("=== ").skip(1).enumerate() {
        let (status, body) = exchange.split_once('\n').unwrap();
        theirs.push(status.parse::<u16>().unwrap());
        let ours = match witness.add_checkpoint(body.as_bytes(), NOW) {
            Ok(cosigned) => {
                last_size = cosigned.size();
                200
            }
            Err(refusal) => refusal.status(),
        };
        let exception = EXCEPTIONS.iter().find(|(known, ..)| *known == at);
        assert_eq!(ours, exception.map_or(theirs[at], |(_, ours, _)| *ours), "{body}{exception:?}");
        assert!(
            exception.is_none_or(|(_, ours, _)| *ours != theirs[at]),
            "no exception any more: {exception:?}"
        );
    }
    assert_eq!(theirs, [200, 403, 403, 422, 422, 200, 409, 200, 409]);
    assert_eq!(last_size, 5);
}
