//! Certificates that are wrong by themselves, whoever signed them (34).

use vouchsafe_simulator::der;
use vouchsafe_simulator::intel::oid;
use vouchsafe_simulator::x509::{Extension, Hash, PssParameters, SignatureAlgorithm};
use vouchsafe_verifier::x509::oid::ObjectIdentifier;

use crate::certificates::{chain, in_pck};
use crate::world::Row;

/// What is wrong with a certificate by itself.
pub(crate) fn rows() -> Vec<Row> {
    let ed25519 = || {
        let key = der::bit_string(0, &[0; 32]);
        der::sequence(&[&der::sequence(&[&der::oid(ED25519)]), &key])
    };
    let mut rows = vec![
        chain(
            "a PCK of version 1",
            |w| {
                let mut chain = w.pck_chain(|_| {}, |_| {});
                // [0] { INTEGER 2 } is version 3.
                let at = chain[0].windows(5).position(|field| field == [0xa0, 3, 2, 1, 2]).unwrap();
                chain[0][at + 4] = 0;
                chain
            },
            "tdx_certificate_version",
        ),
        in_pck(
            "a PCK of 17 KiB",
            |c| c.extensions.push(Extension::new(oid::CONFIGURATION, der::octet_string(&[0; 17 << 10]))),
            "tdx_certificate_too_long",
        ),
        in_pck(
            "a PCK with 33 extensions and its own",
            |c| {
                let other = |number| oid::CONFIGURATION.push_arc(number).unwrap();
                c.extensions.extend((0..33).map(|number| Extension::new(other(number), der::null())));
            },
            "tdx_certificate_extensions_too_many",
        ),
        chain(
            "a PCK with a key on Curve25519",
            move |w| w.pck_chain(|c| c.subject_public_key_info = ed25519(), |_| {}),
            "tdx_certificate_key_unsupported",
        ),
    ];
    for (what, algorithm, word) in algorithms() {
        let code = leaked("tdx_certificate_", word);
        rows.push(chain(
            &format!("a PCK signed by {what}"),
            move |w| w.pck_chain(|c| c.algorithm = algorithm.clone(), |_| {}),
            code,
        ));
    }
    rows.push(in_pck(
        "a PCK with another algorithm outside than inside",
        |c| c.outer_algorithm = Some(SignatureAlgorithm::RsaPss(PssParameters::AMD)),
        "tdx_certificate_signature_algorithms_differ",
    ));
    rows
}

/// Algorithms that no certificate or list is signed with, and the word for what is wrong with each.
pub(crate) fn algorithms() -> Vec<(&'static str, SignatureAlgorithm, &'static str)> {
    let sha256 = PssParameters { hash: Hash::Sha256, mgf1_hash: Hash::Sha256, ..PssParameters::AMD };
    let salt = PssParameters { salt_bytes: 32, ..PssParameters::AMD };
    let bare = |algorithm| SignatureAlgorithm::Raw(der::sequence(&[&der::oid(algorithm)]));
    vec![
        ("an unknown algorithm", bare(oid::CONFIGURATION), "signature_algorithm"),
        ("RSASSA-PSS with SHA-256", SignatureAlgorithm::RsaPss(sha256), "pss_algorithm"),
        ("RSASSA-PSS with a salt of 32 bytes", SignatureAlgorithm::RsaPss(salt), "pss_salt_length"),
        ("RSASSA-PSS without parameters", bare(RSASSA_PSS), "pss_malformed"),
    ]
}

/// A code put together of its parts: rows hold what lives as long as the test.
pub(crate) fn leaked(prefix: &str, word: &str) -> &'static str {
    format!("{prefix}{word}").leak()
}

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
