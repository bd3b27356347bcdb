//! A client of one address: verified connections, reused, and verified again before they go stale.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use vouchsafe_bundle::{LoggedImage, Policy, VerifiedBoot};
use vouchsafe_receipt::VerifiedRevocations;

use crate::answer::Answer;
use crate::attest::{Attested, attest};
use crate::connection::{Connection, Request};
use crate::kept::{self, Kept};
use crate::reply::{Reply, is_of_another_epoch, shown_request};
use crate::revocations::Feed;
use crate::{Error, now, tls};

/// Connections kept for reuse.
const IDLE_MAX: usize = 32;
/// Enclaves remembered behind one address.
const BOOTS_MAX: usize = 64;
/// An enclave is attested again this long before its epoch ends.
const RENEW_SECONDS_BEFORE: u64 = 30;
/// Connections opened to find one enclave again among those behind an address.
const SEARCH_MAX: usize = 16;

/// Where to connect and what to demand.
#[derive(Debug, Clone)]
pub struct Options {
    /// `HOST:PORT` of the operator's host.
    pub address: String,
    /// What an enclave and its answers must satisfy.
    pub policy: Policy,
    /// Root certificates in DER of test authorities that are believed as well.
    pub extra_roots: Vec<Vec<u8>>,
    /// A file with the newest signed list of revocations, as `vouchsafe policy pull` keeps one. Without it a
    /// policy that requires a list accepts nothing.
    pub revocations: Option<PathBuf>,
    /// The released image that the enclaves run, with the proof that its release is logged. Without it a policy that
    /// requires one accepts nothing; with it the bundles of answers hold it.
    pub image: Option<LoggedImage>,
}

/// A client of the enclaves behind one address. Cheap to share behind an [`Arc`].
pub struct Client {
    options: Options,
    revocations: Option<Feed>,
    tls: Arc<rustls::ClientConfig>,
    state: Mutex<State>,
    /// Held while an enclave is attested for a request, so that many first requests at once cost one
    /// attestation.
    attesting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Accepted enclaves by their TLS key.
    boots: HashMap<Vec<u8>, Arc<VerifiedBoot>>,
    idle: Vec<Connection>,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// When the TLS library cannot be set up, or the policy names nobody whose revocations count.
    pub fn new(options: Options) -> Result<Self, Error> {
        let tls = tls::config().map_err(|error| Error::Request(error.to_string()))?;
        let feed = |path: &PathBuf| Feed::new(path.clone(), &options.policy);
        let revocations = options.revocations.as_ref().map(feed).transpose()?;
        Ok(Self {
            options,
            revocations,
            tls: Arc::new(tls),
            state: Mutex::default(),
            attesting: tokio::sync::Mutex::default(),
        })
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.options.policy
    }

    /// Opens a new connection and has its enclave attest for it, whatever was attested before.
    ///
    /// # Errors
    /// When the enclave cannot be reached or is not accepted.
    pub async fn attest(&self) -> Result<Attested, Error> {
        let mut connection = Connection::open(&self.options.address, &self.tls).await?;
        let attested = self.attest_over(&mut connection).await?;
        self.keep(connection);
        Ok(attested)
    }

    /// Sends a request to an accepted enclave and gives the beginning of its response.
    ///
    /// # Errors
    /// When no accepted enclave can be reached; then the request was not sent to anybody.
    pub async fn send(&self, request: &Request) -> Result<Reply, Error> {
        if let Some((mut connection, boot)) = self.idle()? {
            let sent = Instant::now();
            match connection.send(request).await {
                Ok(response) => return self.reply(connection, response, boot, request, sent),
                // The peer may close a kept connection at any moment. Only what was never read by
                // it may be sent again without being asked twice.
                Err(Error::Http(error)) if error.is_canceled() || error.is_closed() => {}
                Err(error) => return Err(error),
            }
        }
        let mut connection = Connection::open(&self.options.address, &self.tls).await?;
        let boot = self.accepted(&mut connection).await?;
        let sent = Instant::now();
        let response = connection.send(request).await?;
        self.reply(connection, response, boot, request, sent)
    }

    /// Sends a request, reads the whole response and judges it.
    ///
    /// # Errors
    /// As [`Client::send`] and [`Client::finish`].
    pub async fn ask(&self, request: &Request) -> Result<(Answer, Arc<VerifiedBoot>), Error> {
        self.finish(self.send(request).await?).await
    }

    /// Reads what is left of a response and judges it.
    ///
    /// # Errors
    /// As [`Reply::chunk`] and [`Client::judge`].
    pub async fn finish(&self, mut reply: Reply) -> Result<(Answer, Arc<VerifiedBoot>), Error> {
        while reply.chunk().await?.is_some() {}
        self.judge(reply).await
    }

    /// Judges what has arrived of a response, whether or not it is complete, and names the enclave as it
    /// was attested. An opening that was too long for a header is fetched from the enclave; an answer of
    /// an epoch that began after the enclave was attested is judged after attesting again.
    ///
    /// # Errors
    /// When the answer is accepted, but to something else than was sent; or what is missing can't be had,
    /// the enclave that answered being no longer to be found. That an answer is not accepted is no error
    /// but its verdict.
    pub async fn judge(&self, mut reply: Reply) -> Result<(Answer, Arc<VerifiedBoot>), Error> {
        reply.end();
        let boot = Arc::clone(reply.boot());
        if let Some(token) = reply.token_of_opening() {
            let kept = self.kept(token, &boot).await?;
            reply.supply(kept)?;
        }
        self.settle_epoch(reply.judge()?, boot).await
    }

    /// What the enclave keeps of an answer that it gave: receipt, opening, and proof once settled.
    ///
    /// # Errors
    /// When the enclave is no longer to be found, or keeps nothing (any more) under this token.
    pub async fn kept(&self, token: &str, boot: &VerifiedBoot) -> Result<Kept, Error> {
        if let Some(mut connection) = self.take_idle(boot.tls_spki())
            && let Ok(kept) = kept::fetch(&mut connection, token).await
        {
            self.keep(connection);
            return Ok(kept);
        }
        let mut connection = self.search(boot.tls_spki()).await?;
        let kept = kept::fetch(&mut connection, token).await;
        self.keep(connection);
        kept
    }

    /// Judges an answer again, if its receipt is of a newer epoch than its enclave was attested in.
    async fn settle_epoch(
        &self,
        mut answer: Answer,
        boot: Arc<VerifiedBoot>,
    ) -> Result<(Answer, Arc<VerifiedBoot>), Error> {
        if !answer.verdict.as_ref().is_some_and(is_of_another_epoch) {
            return Ok((answer, boot));
        }
        let renewed = self.attest_again(boot.tls_spki()).await?;
        let shown = vouchsafe_bundle::Answer {
            receipt: answer.receipt.as_ref(),
            opening: answer.opening.as_ref(),
            stream: answer.stream.as_ref(),
            request: shown_request(&answer.receipt, &answer.opening, &answer.request),
            response: Some(&answer.response),
            proof: answer.proof.as_ref(),
        };
        answer.verdict = Some(renewed.check_answer(&shown, now()?, &vouchsafe_verifier::crypto::Ring));
        Ok((answer, renewed))
    }

    fn reply(
        &self,
        connection: Connection,
        response: http::Response<hyper::body::Incoming>,
        boot: Arc<VerifiedBoot>,
        request: &Request,
        sent: Instant,
    ) -> Result<Reply, Error> {
        self.keep(connection);
        Reply::new(response, boot, request.clone(), sent)
    }

    /// The enclave at the other end of a connection, attested over it unless it was before.
    async fn accepted(&self, connection: &mut Connection) -> Result<Arc<VerifiedBoot>, Error> {
        if let Some(boot) = self.known(&connection.spki)? {
            return Ok(boot);
        }
        let _attesting = self.attesting.lock().await;
        match self.known(&connection.spki)? {
            Some(boot) => Ok(boot),
            None => Ok(self.attest_over(connection).await?.boot),
        }
    }

    /// Attests the enclave with this key again, whichever others stand behind the same address.
    async fn attest_again(&self, spki: &[u8]) -> Result<Arc<VerifiedBoot>, Error> {
        if let Some(mut connection) = self.take_idle(spki)
            && let Ok(attested) = self.attest_over(&mut connection).await
        {
            self.keep(connection);
            return Ok(attested.boot);
        }
        let mut connection = self.search(spki).await?;
        let attested = self.attest_over(&mut connection).await?;
        self.keep(connection);
        Ok(attested.boot)
    }

    /// A kept connection to the enclave with this key.
    fn take_idle(&self, spki: &[u8]) -> Option<Connection> {
        let mut state = self.lock();
        let place =
            state.idle.iter().position(|kept| kept.is_idle() && !kept.is_stale() && kept.spki == spki);
        place.map(|place| state.idle.swap_remove(place))
    }

    /// A new connection to the enclave with this key, whichever others stand behind the same address.
    async fn search(&self, spki: &[u8]) -> Result<Connection, Error> {
        for _ in 0..SEARCH_MAX {
            let connection = Connection::open(&self.options.address, &self.tls).await?;
            if connection.spki == spki {
                return Ok(connection);
            }
        }
        Err(Error::EnclaveGone)
    }

    async fn attest_over(&self, connection: &mut Connection) -> Result<Attested, Error> {
        let revocations = self.revocations()?;
        let judged = attest(connection, &self.options, revocations.as_ref()).await;
        let mut state = self.lock();
        if judged.as_ref().is_err_and(Error::is_refusal) {
            // Whatever was believed of this key before is not any more.
            state.boots.remove(&connection.spki);
        }
        let attested = judged?;
        if state.boots.len() >= BOOTS_MAX {
            // Forgetting costs an attestation and nothing else.
            state.boots.clear();
        }
        state.boots.insert(connection.spki.clone(), Arc::clone(&attested.boot));
        Ok(attested)
    }

    /// What is revoked, by the newest list.
    fn revocations(&self) -> Result<Option<VerifiedRevocations>, Error> {
        self.revocations.as_ref().map(Feed::current).transpose()
    }

    /// An accepted enclave with this key whose epoch is not about to end, and which was held against the newest
    /// list of revocations.
    fn known(&self, spki: &[u8]) -> Result<Option<Arc<VerifiedBoot>>, Error> {
        let now = now()?;
        let newest = self.revocations()?;
        let fresh = |boot: &&Arc<VerifiedBoot>| {
            boot.not_after().0 > now.0.saturating_add(RENEW_SECONDS_BEFORE)
                && boot.revocations() == newest.as_ref()
                && boot.is_list_fresh(now)
        };
        Ok(self.lock().boots.get(spki).filter(fresh).cloned())
    }

    fn idle(&self) -> Result<Option<(Connection, Arc<VerifiedBoot>)>, Error> {
        loop {
            let found = {
                let mut state = self.lock();
                state.idle.retain(|kept| !kept.is_closed() && !kept.is_stale());
                let place = state.idle.iter().position(Connection::is_idle);
                place.map(|place| state.idle.swap_remove(place))
            };
            let Some(connection) = found else { return Ok(None) };
            if let Some(boot) = self.known(&connection.spki)? {
                return Ok(Some((connection, boot)));
            }
        }
    }

    /// Keeps a connection for reuse. It becomes idle when its response was read to the end.
    fn keep(&self, connection: Connection) {
        let mut state = self.lock();
        state.idle.retain(|kept| !kept.is_closed());
        if state.idle.len() >= IDLE_MAX {
            let busy_or_oldest = state.idle.iter().position(|kept| !kept.is_idle()).unwrap_or(0);
            state.idle.swap_remove(busy_or_oldest);
        }
        state.idle.push(connection);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
