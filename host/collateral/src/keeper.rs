//! Keeping endorsements fresh: what is due is asked for, what fails is asked for again later, and what is
//! on disk serves until it expires.

use core::time::Duration;
use std::path::Path;

use vouchsafe_verifier::encoding::{Base64, to_hex};
use vouchsafe_verifier::x509::pem_certificates;
use vouchsafe_verifier::{Endorsements, SnpEndorsements, TdxCollateral, UnixSeconds};

use crate::cache::Cache;
use crate::fetch::Fetcher;
use crate::item::{Answer, Item, Kind};
use crate::{Error, Sources, Wanted};

/// Longest time between two requests for the same thing: lists change before they expire.
const REFRESH_SECONDS_MAX: u64 = 24 * 3600;
/// Shortest time between two rounds.
const ROUND_SECONDS_MIN: u64 = 60;
/// Pause after the first failure; it doubles with each.
const BACK_OFF_SECONDS: u64 = 30;
const BACK_OFF_SECONDS_MAX: u64 = 3600;
const CHAIN_LEN_MAX: usize = 4;

/// Keeps the endorsements of one machine.
#[derive(Debug)]
pub struct Keeper {
    wanted: Wanted,
    items: Vec<Item>,
    cache: Cache,
    fetcher: Fetcher,
    failures: u32,
}

/// What a round came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The endorsements, where every part of them is there and none has expired.
    pub endorsements: Option<Endorsements>,
    /// What went wrong, where something did. With a warm cache that is nobody's problem yet.
    pub faults: Vec<Error>,
    /// How long to wait until the next round.
    pub next: Duration,
}

impl Keeper {
    /// For the machine of `wanted`, with a cache in `folder`.
    ///
    /// # Errors
    /// [`Error::Address`], [`Error::Cache`], or the system's root certificates cannot be read.
    pub fn new(wanted: Wanted, sources: &Sources, folder: &Path) -> Result<Self, Error> {
        let items = wanted.items(sources);
        let addresses: Vec<&str> = items.iter().map(|item| item.url.as_str()).collect();
        let fetcher = Fetcher::new(&addresses)?;
        Ok(Self { wanted, items, cache: Cache::open(folder)?, fetcher, failures: 0 })
    }

    /// Asks for what is due at `now` and gives what there is.
    pub async fn round(&mut self, now: UnixSeconds) -> Round {
        let (mut answers, mut faults) = (Vec::new(), Vec::new());
        let mut due = now.0.saturating_add(REFRESH_SECONDS_MAX);
        let mut wait = None::<Duration>;
        for item in &self.items {
            let kept = self.cache.load(item).and_then(|answer| {
                let expires = answer.expires(item.kind).ok()?;
                (expires > now).then_some((answer, expires))
            });
            let is_fresh = kept.as_ref().is_some_and(|(answer, expires)| renewal(answer, *expires) > now.0);
            let fetched = match is_fresh {
                true => None,
                // One that asked to be left alone is left alone by every item of this round.
                false if wait.is_some() => None,
                false => match self.fetch(item, now).await {
                    Ok(fetched) => Some(fetched),
                    Err(error) => {
                        if let Error::Status { wait: asked, .. } = &error {
                            wait = wait.max(*asked);
                        }
                        faults.push(error);
                        None
                    }
                },
            };
            if let Some((answer, expires)) = fetched.or(kept) {
                due = due.min(renewal(&answer, expires));
                answers.push((item.kind, answer));
            }
        }
        self.failures = if faults.is_empty() { 0 } else { self.failures.saturating_add(1) };
        let is_whole = answers.len() == self.items.len();
        Round {
            endorsements: is_whole.then(|| self.put_together(&answers)).flatten(),
            next: self.pause(now, due, wait, is_whole),
            faults,
        }
    }

    async fn fetch(&self, item: &Item, now: UnixSeconds) -> Result<(Answer, UnixSeconds), Error> {
        let answer = self.fetcher.fetch(item, now.0).await?;
        let wrong = |message: String| Error::Answer { url: item.url.clone(), message };
        let expires = answer.expires(item.kind).map_err(wrong)?;
        if expires <= now {
            return Err(wrong(format!("it expired {} s ago", now.0.saturating_sub(expires.0))));
        }
        self.cache.store(item, &answer)?;
        Ok((answer, expires))
    }

    fn pause(&self, now: UnixSeconds, due: u64, wait: Option<Duration>, is_whole: bool) -> Duration {
        let until_due = due.saturating_sub(now.0).max(ROUND_SECONDS_MIN);
        let back_off = BACK_OFF_SECONDS
            .saturating_mul(1 << self.failures.saturating_sub(1).min(16))
            .min(BACK_OFF_SECONDS_MAX);
        let seconds = match (self.failures, is_whole) {
            (0, true) => until_due,
            _ => back_off,
        };
        // Who asks to be left alone knows for how long.
        Duration::from_secs(seconds).max(wait.unwrap_or_default())
    }

    fn put_together(&self, answers: &[(Kind, Answer)]) -> Option<Endorsements> {
        let of = |kind: Kind| answers.iter().find(|(found, _)| *found == kind).map(|(_, answer)| answer);
        if self.wanted.is_amd() {
            let chain = pem_certificates(&of(Kind::AmdChain)?.body.0, CHAIN_LEN_MAX).ok()?;
            let [intermediate, root] = <[Vec<u8>; 2]>::try_from(chain).ok()?;
            return Some(Endorsements::SevSnp(SnpEndorsements {
                vek: of(Kind::Vcek).map(|answer| answer.body.clone()),
                intermediate: Some(Base64(intermediate)),
                root: Some(Base64(root)),
                crl: of(Kind::AmdCrl).map(|answer| answer.body.clone()),
            }));
        }
        let (tcb, qe, crl) = (of(Kind::TcbInfo)?, of(Kind::QeIdentity)?, of(Kind::PckCrl)?);
        let (tcb_info, qe_identity) = (tcb.signed("tcbInfo")?, qe.signed("enclaveIdentity")?);
        Some(Endorsements::Tdx(TdxCollateral {
            pck_crl_issuer_chain: crl.chain.clone()?,
            root_ca_crl: to_hex(&of(Kind::IntelRootCrl)?.body.0),
            pck_crl: to_hex(&crl.body.0),
            tcb_info_issuer_chain: tcb.chain.clone()?,
            tcb_info: tcb_info.text.to_owned(),
            tcb_info_signature: tcb_info.signature.to_owned(),
            qe_identity_issuer_chain: qe.chain.clone()?,
            qe_identity: qe_identity.text.to_owned(),
            qe_identity_signature: qe_identity.signature.to_owned(),
            pck_certificate_chain: None,
        }))
    }
}

/// When an answer is to be asked for again: half-way to its end, and at least every day.
fn renewal(answer: &Answer, expires: UnixSeconds) -> u64 {
    let half = expires.0.saturating_sub(answer.fetched) / 2;
    answer.fetched.saturating_add(half.min(REFRESH_SECONDS_MAX))
}
