//! Tells somebody of an alarm, beside the looking: a server that is slow, broken or gone holds nothing up.
//!
//! Alarms wait in a queue of a fixed length for one thread that posts them, each so many times with pauses that
//! double. What does not fit, or is not taken in the end, is told on standard error and lost here; every alarm is
//! in the state in any case.

use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::Duration;

use crate::source::agent;
use crate::{Error, Violation};

/// Alarms that may wait.
const QUEUE_MAX: usize = 256;

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long the server may take for one answer.
    pub answer_max: Duration,
    /// How often an alarm is posted until it is taken.
    pub attempts_max: u32,
    /// The pause after the first attempt; each further one is twice as long.
    pub pause: Duration,
}

impl Default for Patience {
    /// Five attempts within about a minute.
    fn default() -> Self {
        Self { answer_max: Duration::from_secs(10), attempts_max: 5, pause: Duration::from_secs(1) }
    }
}

/// Where alarms are posted, as JSON.
#[derive(Debug)]
pub struct Webhook {
    queue: SyncSender<String>,
    done: Receiver<Outcome>,
}

/// What came of all alarms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Alarms that were taken.
    pub taken: u64,
    /// Alarms that were given up.
    pub given_up: u64,
}

impl Webhook {
    /// A webhook, with the thread that posts.
    pub fn new(url: &str, patience: Patience) -> Self {
        let (queue, alarms) = mpsc::sync_channel::<String>(QUEUE_MAX);
        let (tell, done) = mpsc::channel();
        let url = url.to_owned();
        std::thread::spawn(move || {
            let mut outcome = Outcome::default();
            let agent = agent(patience.answer_max, 0);
            for body in alarms {
                match deliver(&agent, &url, &body, patience) {
                    Ok(()) => outcome.taken = outcome.taken.saturating_add(1),
                    Err(error) => {
                        outcome.given_up = outcome.given_up.saturating_add(1);
                        eprintln!("vouchsafe-monitor: an alert did not go out: {error}");
                    }
                }
            }
            // Whoever waits may be gone.
            let _ = tell.send(outcome);
        });
        Self { queue, done }
    }

    /// Has an alarm posted; returns at once. False where too many wait already, so that it is lost here.
    pub fn post(&self, log: &str, violation: &Violation, now_s: u64) -> bool {
        let body = serde_json::json!({
            "code": violation.code(),
            "subject": violation.subject(),
            "log": log,
            "time": now_s,
        });
        match self.queue.try_send(body.to_string()) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Waits at most so long for what is on its way; `None` where that was not enough.
    pub fn finish(self, wait_max: Duration) -> Option<Outcome> {
        let Self { queue, done } = self;
        drop(queue);
        done.recv_timeout(wait_max).ok()
    }
}

fn deliver(agent: &ureq::Agent, url: &str, body: &str, patience: Patience) -> Result<(), Error> {
    let mut pause = patience.pause;
    let mut attempt: u32 = 1;
    loop {
        let problem = match post(agent, url, body) {
            Ok(()) => return Ok(()),
            Err(problem) => problem,
        };
        if attempt >= patience.attempts_max {
            return Err(Error::Unreachable { url: url.into(), problem });
        }
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2);
        attempt = attempt.saturating_add(1);
    }
}

fn post(agent: &ureq::Agent, url: &str, body: &str) -> Result<(), String> {
    let response = agent
        .post(url)
        .content_type("application/json")
        .send(body.as_bytes())
        .map_err(|error| error.to_string())?;
    // The body is nobody's concern, and is not read.
    match response.status().is_success() {
        true => Ok(()),
        false => Err(format!("HTTP status {}", response.status())),
    }
}
