//! Probes: own requests to an enclave, so that the trust gap is measured by a clock of one's own.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_bundle::Policy;
use vouchsafe_client::{Client, Options, Request};
use vouchsafe_receipt::receipt_leaf_hash;
use vouchsafe_verifier::crypto::Ring;
use vouchsafe_verifier::encoding::Hex;

use crate::gap::{Probe, Probes, unix_ms};

/// What is asked, and how often.
#[derive(Debug, Clone)]
pub struct Canary {
    /// `HOST:PORT` of the operator's host.
    pub address: String,
    /// The model to ask.
    pub model: String,
    /// What the enclave and its answers must satisfy.
    pub policy: Policy,
    /// The time between two questions.
    pub interval: Duration,
}

impl Canary {
    /// Asks again and again, and tells `probes` of each answer. Ends with the future's owner.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub async fn run(self, probes: Arc<Probes>) -> Result<(), vouchsafe_client::Error> {
        let options = Options {
            address: self.address.clone(),
            policy: self.policy.clone(),
            extra_roots: Vec::new(),
            revocations: None,
            image: None,
        };
        let client = Client::new(options)?;
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match ask(&client, &self.model).await {
                Ok(Some(probe)) => probes.answered(probe),
                // An answer that is not accepted is no answer.
                Ok(None) | Err(_) => probes.failed(),
            }
        }
    }
}

/// Asks once. The question is short, and its answer one token.
async fn ask(client: &Client, model: &str) -> Result<Option<Probe>, vouchsafe_client::Error> {
    let body = serde_json::json!({
        "model": model,
        "messages": [{"role": "user", "content": "Are you there?"}],
        "max_tokens": 1,
    });
    let request = Request::post_json("/v1/chat/completions", body.to_string());
    let asked_ms = unix_ms();
    let (answer, _) = client.ask(&request).await?;
    let answered_ms = unix_ms();
    let receipt = answer.receipt.as_ref().filter(|_| answer.is_accepted());
    Ok(receipt.map(|receipt| Probe { leaf: Hex(receipt_leaf_hash(receipt, &Ring)), asked_ms, answered_ms }))
}
