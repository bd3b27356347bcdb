//! What a log sends to a witness.

use proptest::prelude::*;
use vouchsafe_translog::{AddCheckpoint, Error};

use crate::support::World;

/// The example of c2sp.org/tlog-witness.
const EXAMPLE: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

#[test]
fn the_example_of_the_specification_reads_as_it_says() {
    let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((request.old(), request.consistency().len()), (20_852_014, 4));
    assert_eq!(request.claimed_checkpoint().size(), 20_852_163);
    assert_eq!(request.note().signatures().len(), 2);
    assert_eq!(request.to_string(), EXAMPLE);
}

#[test]
fn a_first_request_has_no_proof() {
    let note = World::new(2).note(2, &[]);
    let request = AddCheckpoint::new(0, vec![], note.clone()).unwrap();
    assert_eq!(request.to_string(), format!("old 0\n\n{note}"));
    assert_eq!(AddCheckpoint::parse(request.to_string().as_bytes()).unwrap(), request);
}

#[test]
fn a_malformed_request_is_refused() {
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    for (from, to) in [
        ("old 20852014", "old 020852014"),
        ("old 20852014", "old"),
        ("old 20852014", "old "),
        ("old 20852014", "new 20852014"),
        ("old 20852014", "old 9223372036854775808"),
        ("old 20852014\n", ""),
        (hash, "AAAA\n"),
        (hash, &hash.repeat(61)),
        (hash, "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\r\n"),
    ] {
        let bent = EXAMPLE.replacen(from, to, 1);
        assert_ne!(bent, EXAMPLE);
        let error = AddCheckpoint::parse(bent.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::RequestMalformed { .. }), "{from:?} to {to:?}: {error}");
    }
    assert!(AddCheckpoint::parse(EXAMPLE.replacen(hash, &hash.repeat(60), 1).as_bytes()).is_ok());
    assert!(matches!(AddCheckpoint::parse(&vec![b'x'; 200_000]), Err(Error::TooLong { .. })));
    for at in 0..EXAMPLE.len() {
        assert!(AddCheckpoint::parse(&EXAMPLE.as_bytes()[..at]).is_err() || EXAMPLE[..at].ends_with("=\n"));
    }
}

proptest! {
    #[test]
    fn near_requests_are_refused_or_written_as_they_were_read(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.to_string().into_bytes(), bytes);
        }
    }
}
