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
use vouchsafe_verifier::{Evidence, UnixSeconds};

use crate::{Event, Events};

const EVIDENCE: Limits = Limits { bytes_max: 512 * 1024, depth_max: 8 };

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
    /// The newest endorsements, JSON.
    pub(crate) endorsements: watch::Receiver<Option<String>>,
}

/// Keeps endorsements fresh for whatever evidence the enclave names, for ever.
pub(crate) async fn run(
    config: CollateralConfig,
    mut evidence: mpsc::UnboundedReceiver<String>,
    endorsements: watch::Sender<Option<String>>,
    events: Events,
) {
    let mut keeper: Option<(Wanted, Keeper)> = None;
    let mut due = Instant::now();
    loop {
        tokio::select! {
            named = evidence.recv() => {
                let Some(named) = named else { return };
                match keeper_for(&named, &config, keeper.take()) {
                    Ok((fresh, is_new)) => {
                        keeper = Some(fresh);
                        if is_new {
                            due = Instant::now();
                        }
                    }
                    Err(why) => events.tell(Event::CollateralFailing(why)),
                }
            }
            () = sleep_until(due), if keeper.is_some() => {
                let Some((_, keeper)) = &mut keeper else { continue };
                let round = keeper.round(now()).await;
                for fault in &round.faults {
                    events.tell(Event::CollateralFailing(format!("{fault} ({})", fault.code())));
                }
                if let Some(found) = &round.endorsements {
                    let json = serde_json::to_string(found).ok();
                    let is_new = *endorsements.borrow() != json;
                    if is_new {
                        endorsements.send_replace(json);
                        events.tell(Event::CollateralRenewed);
                    }
                }
                due = Instant::now().checked_add(round.next).unwrap_or_else(Instant::now);
            }
        }
    }
}

/// The keeper for this evidence: the one that there is, where it is about the same machine.
fn keeper_for(
    json: &str,
    config: &CollateralConfig,
    before: Option<(Wanted, Keeper)>,
) -> Result<((Wanted, Keeper), bool), String> {
    let evidence: Evidence =
        strict_json::parse(json.as_bytes(), EVIDENCE).map_err(|error| error.to_string())?;
    let wanted = Wanted::of(&evidence).map_err(|error| error.to_string())?;
    if let Some(kept) = before.filter(|(known, _)| *known == wanted) {
        return Ok((kept, false));
    }
    let keeper = Keeper::new(wanted.clone(), &config.sources, &config.cache);
    Ok(((wanted, keeper.map_err(|error| error.to_string())?), true))
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixSeconds(since.as_secs())
}
