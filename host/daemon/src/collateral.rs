//! Endorsements for the enclave's evidence: fetched by `vouchsafe-collateral`, handed to the enclave.
//!
//! The enclave has no network. It says what its processor signed, this fetches what vouches for that
//! processor, and the enclave staples it to its evidence, unbelieved. An outage of the services shows in
//! the events and, as long as what is on disk has not expired, nowhere else.

use core::time::Duration;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use vouchsafe_collateral::{Keeper, Sources, Wanted};
use vouchsafe_verifier::strict_json::{self, Limits};
use vouchsafe_verifier::{Endorsements, Evidence, UnixSeconds};

use crate::{Event, Events};

const EVIDENCE: Limits = Limits { bytes_max: 512 * 1024, depth_max: 8 };
/// Pause before something that keeps the fetching from beginning is tried again.
const BEGIN_PAUSE: Duration = Duration::from_secs(30);

/// Where endorsements come from, and where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollateralConfig {
    /// Where the vendors' services are.
    pub sources: Sources,
    /// Folder of the cache; made where missing.
    pub cache: PathBuf,
}

/// The control connection's ends of the task's channels.
pub(crate) struct Collateral {
    /// The evidence of the enclave that serves, JSON.
    pub(crate) evidence: mpsc::UnboundedSender<String>,
    /// The newest endorsements.
    pub(crate) endorsements: watch::Receiver<Option<Stapled>>,
}

/// Endorsements, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stapled {
    /// The machine that they are about.
    pub(crate) wanted: Wanted,
    /// What vouches for it.
    pub(crate) endorsements: Endorsements,
}

/// Keeps endorsements fresh for whatever evidence the enclave names, for ever.
pub(crate) async fn run(
    config: CollateralConfig,
    mut evidence: mpsc::UnboundedReceiver<String>,
    endorsements: watch::Sender<Option<Stapled>>,
    events: Events,
) {
    let mut keeper: Option<(Wanted, Keeper)> = None;
    let mut due = Instant::now();
    // Evidence whose keeper is still to be made, and when.
    let mut named: Option<(String, Instant)> = None;
    loop {
        let begin = named.as_ref().map_or(due, |(_, begin)| *begin);
        tokio::select! {
            newest = evidence.recv() => {
                let Some(newest) = newest else { return };
                named = Some((newest, Instant::now()));
            }
            () = sleep_until(begin), if named.is_some() => {
                let Some((json, _)) = named.take() else { continue };
                match keeper_for(&json, &config, keeper.as_ref().map(|(wanted, _)| wanted)) {
                    Ok(None) => {}
                    Ok(fresh) => {
                        keeper = fresh;
                        due = Instant::now();
                    }
                    // What was kept for the machine before goes on.
                    Err(why) => {
                        events.tell(Event::CollateralFailing(why));
                        named = Some((json, later(BEGIN_PAUSE)));
                    }
                }
            }
            () = sleep_until(due), if keeper.is_some() => {
                let Some((wanted, keeper)) = &mut keeper else { continue };
                let round = keeper.round(now()).await;
                for fault in &round.faults {
                    events.tell(Event::CollateralFailing(format!("{fault} ({})", fault.code())));
                }
                if let Some(found) = round.endorsements {
                    let found = Some(Stapled { wanted: wanted.clone(), endorsements: found });
                    let is_new = *endorsements.borrow() != found;
                    if is_new {
                        endorsements.send_replace(found);
                        events.tell(Event::CollateralRenewed);
                    }
                }
                due = later(round.next);
            }
        }
    }
}

/// A keeper for this evidence, where it is about another machine than the one that there is.
fn keeper_for(
    json: &str,
    config: &CollateralConfig,
    known: Option<&Wanted>,
) -> Result<Option<(Wanted, Keeper)>, String> {
    let evidence: Evidence =
        strict_json::parse(json.as_bytes(), EVIDENCE).map_err(|error| error.to_string())?;
    let wanted = Wanted::of(&evidence).map_err(|error| error.to_string())?;
    if known == Some(&wanted) {
        return Ok(None);
    }
    let keeper = Keeper::new(wanted.clone(), &config.sources, &config.cache);
    keeper.map(|keeper| Some((wanted, keeper))).map_err(|error| error.to_string())
}

fn later(pause: Duration) -> Instant {
    Instant::now().checked_add(pause).unwrap_or_else(Instant::now)
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixSeconds(since.as_secs())
}
