//! Endorsements from services that work, and from services that do not.

mod service;

use core::time::Duration;

use service::{Mood, Service, amd, intel};
use vouchsafe_collateral::{Keeper, Round, Wanted};
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::{UnixSeconds, verify};

/// When the simulated machines were endorsed; their collateral lasts 30 days, AMD's lists longer.
const ENDORSED: UnixSeconds = UnixSeconds(1_790_000_000);
const DAY: u64 = 86_400;

fn at(days: u64) -> UnixSeconds {
    UnixSeconds(ENDORSED.0 + days * DAY)
}

fn keeper(service: &Service, folder: &tempfile::TempDir) -> Keeper {
    let wanted = Wanted::of(&service.evidence).unwrap();
    Keeper::new(wanted, &service.sources(), &folder.path().join("cache")).unwrap()
}

/// Holds that the round gave what makes the machine's evidence verify.
fn assert_verifies(service: &Service, round: &Round, at: UnixSeconds) {
    let endorsements = round.endorsements.as_ref().unwrap_or_else(|| panic!("{:?}", round.faults));
    verify(&service.evidence, Some(endorsements), &service.roots, at, &Ring).unwrap();
}

#[tokio::test]
async fn what_the_services_give_makes_evidence_verify() {
    for service in [intel(ENDORSED), amd(ENDORSED)] {
        let folder = tempfile::tempdir().unwrap();
        let mut keeper = keeper(&service, &folder);
        let round = keeper.round(at(1)).await;
        assert_eq!(round.faults, []);
        assert_verifies(&service, &round, at(1));
        // What is fresh is not asked for again, and what is there outlives this program.
        let asked = service.requests();
        let again = keeper.round(UnixSeconds(at(1).0 + 3600)).await;
        assert_eq!((again.endorsements, service.requests()), (round.endorsements, asked));
        let mut next = self::keeper(&service, &folder);
        assert_verifies(&service, &next.round(UnixSeconds(at(1).0 + 3600)).await, at(1));
        assert_eq!(service.requests(), asked);
    }
}

#[tokio::test]
async fn an_outage_with_a_warm_cache_is_noticed_by_nobody() {
    for service in [intel(ENDORSED), amd(ENDORSED)] {
        let folder = tempfile::tempdir().unwrap();
        keeper(&service, &folder).round(at(1)).await;
        for mood in [Mood::Down, Mood::Status(500), Mood::Garbage, Mood::CutOff] {
            service.set(mood);
            // Two days on everything is due, and nothing has expired.
            let round = keeper(&service, &folder).round(at(3)).await;
            assert!(!round.faults.is_empty(), "{mood:?} went unnoticed by the operator");
            assert_verifies(&service, &round, at(3));
            assert_eq!(round.next, Duration::from_secs(30), "{mood:?}");
        }
        // And when it is over, what is new comes.
        service.set(Mood::Good);
        let round = keeper(&service, &folder).round(at(3)).await;
        assert_eq!(round.faults, []);
        assert_verifies(&service, &round, at(3));
    }
}

#[tokio::test]
async fn an_outage_beyond_the_end_leaves_nothing_and_says_so() {
    let service = intel(ENDORSED);
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = keeper(&service, &folder);
    keeper.round(at(1)).await;
    service.set(Mood::Down);
    let round = keeper.round(at(40)).await;
    assert_eq!(round.endorsements, None, "what has expired is not handed on");
    assert!(round.faults.iter().all(|fault| fault.code() == "collateral_unreachable"), "{:?}", round.faults);
    // A service that serves what has expired is no better.
    service.set(Mood::Good);
    let round = keeper.round(at(40)).await;
    assert_eq!(round.endorsements, None);
    assert!(round.faults.iter().any(|fault| fault.to_string().contains("expired")), "{:?}", round.faults);
}

#[tokio::test]
async fn a_service_that_asks_to_be_left_alone_is() {
    let service = intel(ENDORSED);
    let folder = tempfile::tempdir().unwrap();
    service.set(Mood::TooMany { wait_seconds: 900 });
    let round = keeper(&service, &folder).round(at(1)).await;
    assert_eq!(service.requests(), 1, "nothing more was asked in that round");
    assert_eq!(round.next, Duration::from_secs(900));
    assert_eq!((round.endorsements, round.faults[0].code()), (None, "collateral_status"));
    // An absurd wait is not obeyed beyond an hour.
    service.set(Mood::TooMany { wait_seconds: 1 << 40 });
    assert_eq!(keeper(&service, &folder).round(at(1)).await.next, Duration::from_secs(3600));
}

#[tokio::test]
async fn failures_are_repeated_ever_more_rarely() {
    let service = intel(ENDORSED);
    let folder = tempfile::tempdir().unwrap();
    service.set(Mood::Down);
    let mut keeper = keeper(&service, &folder);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        pauses.push(keeper.round(at(1)).await.next.as_secs());
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    service.set(Mood::Good);
    let round = keeper.round(at(1)).await;
    assert!(
        round.next >= Duration::from_secs(3600) && round.next <= Duration::from_secs(DAY),
        "{:?}",
        round.next
    );
}

#[tokio::test]
async fn evidence_that_names_no_machine_wants_nothing() {
    let service = intel(ENDORSED);
    let vouchsafe_verifier::Evidence::Tdx { mut quote, .. } = service.evidence else { panic!("a quote") };
    quote.0.truncate(700);
    let error = Wanted::of(&vouchsafe_verifier::Evidence::Tdx { quote, event_log: None }).unwrap_err();
    assert_eq!(error.code(), "collateral_evidence");
    for address in ["ftp://example.test", "example.test", ""] {
        let sources = vouchsafe_collateral::Sources { intel_pcs: address.into(), ..Default::default() };
        let wanted = Wanted::of(&intel(ENDORSED).evidence).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = Keeper::new(wanted, &sources, folder.path()).unwrap_err();
        assert_eq!(error.code(), "collateral_address", "{address:?}");
    }
}
