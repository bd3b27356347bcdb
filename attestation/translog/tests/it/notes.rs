//! Notes and verifier keys: known answers of other implementations, and every way to be malformed.

use proptest::prelude::*;
use vouchsafe_translog::note::{self, NOTE_BYTES_MAX, SIGNATURES_MAX};
use vouchsafe_translog::{Algorithm, Error, NoteSignature, SignedNote, VerifierKey};
use vouchsafe_verifier::crypto::{Crypto as _, Ring};

use crate::support::Signer;

/// Verifier key, note: of c2sp.org/signed-note, and of the documentation of golang.org/x/mod/sumdb/note.
const KNOWN: [(&str, &str); 2] = [
    (
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n",
    ),
    (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
    ),
];

#[test]
fn notes_of_other_implementations_verify() {
    for (vkey, text) in KNOWN {
        let key = VerifierKey::parse(vkey, &Ring).unwrap();
        assert_eq!(key.to_string(), vkey);
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        let note = SignedNote::parse(text.as_bytes()).unwrap();
        assert_eq!(note.to_string(), text);
        let [line] = note.signatures() else { panic!("one line") };
        assert!(key.is_named_by(line));
        assert!(Ring.verify_ed25519(key.public_key(), note.text().as_bytes(), line.signature()));
    }
}

#[test]
fn a_malformed_verifier_key_is_refused() {
    let (vkey, _) = KNOWN[0];
    for (text, code) in [
        ("", "log_key_malformed"),
        ("example.com/foo", "log_key_malformed"),
        ("+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_malformed"),
        ("a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_malformed"),
        ("a\u{a0}b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_malformed"),
        ("example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_malformed"),
        ("example.com/foo+530d903+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_malformed"),
        ("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_id_mismatch"),
        ("example.com/foe+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_id_mismatch"),
        ("example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_id_mismatch"),
        ("example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "log_key_malformed"),
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U0=", "log_key_malformed"),
        ("example.com/foo+530d903a+", "log_key_malformed"),
        ("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k=", "log_key_malformed"),
    ] {
        let error = VerifierKey::parse(text, &Ring).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
        let has_syntax = VerifierKey::check_syntax(text).is_ok();
        assert_eq!(has_syntax, code == "log_key_id_mismatch", "{text}");
    }
    let name = "n".repeat(256);
    let error = VerifierKey::new(&name, Algorithm::Ed25519, [1; 32], &Ring).unwrap_err();
    assert_eq!(error.code(), "log_key_malformed");
    assert!(VerifierKey::check_syntax(vkey).is_ok());
}

#[test]
fn a_malformed_note_is_refused() {
    let (_, text) = KNOWN[0];
    let line = text.split_once("\n\n").unwrap().1;
    let cases: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("no signature", "text\n".into()),
        ("no signature after the blank line", "text\n\n".into()),
        ("no final newline", text.trim_end().into()),
        ("no blank line", format!("text\n{line}")),
        ("a tab", format!("te\txt\n\n{line}")),
        ("a carriage return", format!("text\r\n\n{line}")),
        ("a NUL", format!("te\0xt\n\n{line}")),
        ("a hyphen", format!("text\n\n{}", line.replace('\u{2014}', "-"))),
        ("a line between", format!("text\n\n{line}other\n")),
        ("three words", format!("text\n\n{}", line.replace("foo ", "foo bar "))),
        ("two spaces", format!("text\n\n{}", line.replace("foo ", "foo  "))),
        ("a plus in the name", format!("text\n\n{}", line.replace("foo ", "f+o "))),
        ("no name", format!("text\n\n{}", line.replace("example.com/foo", ""))),
        ("not base64", format!("text\n\n{}", line.replace("Uw2Q", "U!2Q"))),
        ("no padding", format!("text\n\n{}", line.replace('=', ""))),
        ("only an id", "text\n\n\u{2014} a AAAAAA==\n".into()),
        ("too many", format!("text\n\n{}", line.repeat(SIGNATURES_MAX + 1))),
    ];
    for (what, text) in cases {
        let error = SignedNote::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::NoteMalformed { .. }), "{what}: {error}");
    }
    assert!(SignedNote::parse(format!("text\n\n{}", line.repeat(SIGNATURES_MAX)).as_bytes()).is_ok());
    assert!(matches!(SignedNote::parse(b"\xff\n\n"), Err(Error::NoteMalformed { .. })));
    let long = format!("{}\n\n{line}", "x".repeat(NOTE_BYTES_MAX));
    assert!(matches!(SignedNote::parse(long.as_bytes()), Err(Error::TooLong { .. })));
}

#[test]
fn control_characters_are_those_below_the_space() {
    let (_, text) = KNOWN[0];
    let line = text.split_once("\n\n").unwrap().1;
    let delete = format!("te\x7fxt\n\n{}", line.replace("foo", "f\x7fo"));
    assert_eq!(SignedNote::parse(delete.as_bytes()).unwrap().to_string(), delete);
    let error = VerifierKey::new("a\x01", Algorithm::Ed25519, [1; 32], &Ring).unwrap_err();
    assert_eq!(error.code(), "log_key_malformed");
}

#[test]
fn the_text_ends_at_the_last_empty_line() {
    let (_, text) = KNOWN[0];
    let line = text.split_once("\n\n").unwrap().1;
    let note = SignedNote::parse(format!("a\n\n\u{2014} b AAAAAAA=\n\n{line}").as_bytes()).unwrap();
    assert_eq!(note.text(), "a\n\n\u{2014} b AAAAAAA=\n");
    assert_eq!(note.signatures().len(), 1);
}

#[test]
fn a_key_signs_once_and_as_what_it_is() {
    let (log, witness) = (Signer::log(), Signer::witness(1));
    let mut note = SignedNote::sign("text\n", &log.key, |bytes| log.sign(bytes)).unwrap();
    note.add(NoteSignature::new(&log.key, vec![0; 64])).unwrap();
    assert_eq!(note.signatures().len(), 1);
    let error = SignedNote::sign("text\n", &witness.key, |bytes| witness.sign(bytes)).unwrap_err();
    assert!(matches!(error, Error::KeyAlgorithm { found: 4, expected: 1, .. }), "{error}");
    for text in ["text", "te\rxt\n", ""] {
        let error = SignedNote::sign(text, &log.key, |bytes| log.sign(bytes)).unwrap_err();
        assert!(matches!(error, Error::NoteMalformed { .. }), "{text:?}");
    }
}

#[test]
fn signature_lines_are_read_alone_as_witnesses_answer() {
    let (_, text) = KNOWN[0];
    let line = text.split_once("\n\n").unwrap().1;
    assert_eq!(note::parse_signatures(&line.repeat(2)).unwrap().len(), 2);
    for wrong in ["", "\n", line.trim_end(), &format!("\n{line}"), &format!("{line}\n")] {
        assert!(note::parse_signatures(wrong).is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_written_as_they_were_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(note) = SignedNote::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn near_notes_are_refused_or_written_as_they_were_read(at in any::<prop::sample::Index>(), byte in any::<u8>(), known in 0..2_usize) {
        let mut bytes = KNOWN[known].1.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(note) = SignedNote::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
        let mut key = KNOWN[known].0.as_bytes().to_vec();
        let at = at % key.len();
        key[at] = byte;
        if let Ok(text) = String::from_utf8(key)
            && let Ok(key) = VerifierKey::parse(&text, &Ring)
        {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
