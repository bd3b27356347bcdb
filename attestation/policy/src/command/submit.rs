//! `vouchsafe policy submit`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use vouchsafe_policy::signed::Error;
use vouchsafe_receipt::revocation::SIGNED_REVOCATIONS_BYTES_MAX;
use vouchsafe_receipt::{SignedRevocations, revocations_leaf};

use super::{Failure, read};

/// A log answers when its witnesses have cosigned.
const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Enter a signed list of revocations into a transparency log
///
/// The log takes it if the keys signed it that its own policy names. Exit status 10 when it is refused, 30 when
/// the log can't be reached or could not answer: submitting again is safe.
#[derive(Debug, clap::Args)]
pub(super) struct Submit {
    /// The signed list
    signed: PathBuf,
    /// The log's address, http://…
    #[arg(long, value_name = "URL")]
    log: String,
}

impl Submit {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let json = read(&self.signed, SIGNED_REVOCATIONS_BYTES_MAX)?;
        let leaf = revocations_leaf(&SignedRevocations::parse(&json).map_err(Error::Revocations)?);
        let length = u16::try_from(leaf.len()).map_err(|_| Failure::Own("longer than a leaf".into()))?;
        let answer = self.post(&[length.to_be_bytes().as_slice(), &leaf].concat())?;
        let malformed =
            || Failure::Input { path: PathBuf::from(&self.log), why: "its answer is none of a log's".into() };
        let leaf = answer.pointer("/leaves/0").ok_or_else(malformed)?;
        if let Some(code) = leaf.get("error").and_then(Value::as_str) {
            return Err(Failure::Refused("the log refuses it".into(), code.to_owned()));
        }
        let index = leaf.get("index").and_then(Value::as_u64).ok_or_else(malformed)?;
        anstream::println!("leaf {index}");
        Ok(ExitCode::SUCCESS)
    }

    fn post(&self, body: &[u8]) -> Result<Value, Failure> {
        let failed = |why: String| Failure::Input { path: PathBuf::from(&self.log), why };
        if !self.log.starts_with("http://") {
            return Err(failed("only http:// is supported: what is signed is verified anyway".into()));
        }
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        let agent = ureq::Agent::new_with_config(config.build());
        let address = format!("{}/add", self.log.trim_end_matches('/'));
        let mut answer = agent.post(&address).send(body).map_err(|error| failed(error.to_string()))?;
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let value: Value = text
            .map_err(|error| failed(error.to_string()))
            .and_then(|text| serde_json::from_slice(&text).map_err(|error| failed(error.to_string())))?;
        match answer.status().is_success() {
            true => Ok(value),
            false => Err(failed(format!("status {}: {value}", answer.status()))),
        }
    }
}
