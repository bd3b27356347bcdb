//! Tells somebody of a violation.

use crate::source::agent;
use crate::{Error, Violation};

/// Where violations are posted, as JSON.
#[derive(Debug, Clone)]
pub struct Webhook {
    url: String,
    agent: ureq::Agent,
}

impl Webhook {
    /// A webhook.
    pub fn new(url: &str) -> Self {
        Self { url: url.into(), agent: agent() }
    }

    /// Posts one violation.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when it is not taken.
    pub fn post(&self, log: &str, violation: &Violation, now_s: u64) -> Result<(), Error> {
        let failed = |problem: String| Error::Unreachable { url: self.url.clone(), problem };
        let body = serde_json::json!({
            "log": log,
            "code": violation.code(),
            "text": violation.to_string(),
            "seen": now_s,
            "violation": violation,
        });
        let response = self
            .agent
            .post(&self.url)
            .content_type("application/json")
            .send(body.to_string().as_bytes())
            .map_err(|error| failed(error.to_string()))?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(failed(format!("HTTP status {}", response.status()))),
        }
    }
}
