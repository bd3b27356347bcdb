//! The control connection: progress and receipts to the host, acknowledgements and endorsements from
//! it.
//!
//! One connection at a time; a newer one takes the place of an older, since a host that restarted
//! cannot end the one it lost. What the host says here changes what is sent to it and what is handed
//! on unbelieved, nothing else.

use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use vouchsafe_link::control::{BootId, EnclaveMessage, Health, Hello, HostMessage, Receiver, Sender};

use crate::api::Context;
use crate::server::Server;

/// Replies that wait to be written. A host that asks faster than it reads waits.
const REPLIES_MAX: usize = 16;

/// Where start-up stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Models are being loaded.
    Loading { stage: String, done: u64, total: u64 },
    /// Sessions are served.
    Ready,
    /// The program is about to end.
    Failed { code: &'static str, message: String },
}

/// What control connections speak about.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) server: Arc<OnceLock<Server>>,
}

impl Subject {
    fn context(&self) -> Option<&Arc<Context>> {
        self.server.get().map(Server::context)
    }

    fn boot(&self) -> Option<BootId> {
        self.server.get().and_then(|server| BootId::new(&server.boot_id()))
    }

    fn health(&self) -> Health {
        let Some(context) = self.context() else {
            return Health {
                ready: false,
                draining: false,
                boot: None,
                sessions: 0,
                active: 0,
                queued: 0,
                queue_max: 0,
                receipts_unacknowledged: 0,
            };
        };
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (queued, running) = context.models.load();
        Health {
            ready: true,
            draining: *context.draining.borrow(),
            boot: self.boot(),
            sessions: context.gauges.sessions(),
            active: count(running),
            queued: count(queued),
            queue_max: count(context.config.engine.queue_max),
            receipts_unacknowledged: count(context.issuer.outbox().len()),
        }
    }
}

/// Serves one control connection until it ends. Its end, however it comes, is the host's business.
pub(crate) async fn serve<S>(stream: S, subject: Subject)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reader, writer) = split(stream);
    let (replies, waiting) = mpsc::channel(REPLIES_MAX);
    let _reading = AbortOnDropHandle::new(tokio::spawn(read(reader, subject.clone(), replies)));
    // Nobody is left to tell if this fails.
    let _ = write(writer, subject, waiting).await;
}

/// Acts on what the host says, until it ends or says something that no host says.
async fn read<S: AsyncRead>(
    reader: ReadHalf<S>,
    subject: Subject,
    replies: mpsc::Sender<EnclaveMessage>,
) -> Result<(), vouchsafe_link::Error> {
    let mut receiver = Receiver::new(reader);
    let Some(HostMessage::Hello(hello)) = receiver.receive().await? else { return Ok(()) };
    hello.check()?;
    while let Some(message) = receiver.receive().await? {
        match message {
            HostMessage::ReceiptAck { boot, seq } if Some(&boot) == subject.boot().as_ref() => {
                if let Some(context) = subject.context() {
                    context.issuer.outbox().acknowledge(seq);
                }
            }
            HostMessage::HealthRequest {} => {
                let health = EnclaveMessage::Health(subject.health());
                let Ok(()) = replies.send(health).await else { return Ok(()) };
            }
            HostMessage::Endorsements { json } => {
                if let Some(context) = subject.context() {
                    // What does not parse leaves the old ones in place; the host sees it in what
                    // clients get.
                    let _ = context.stapled.replace(&json);
                }
            }
            HostMessage::Drain {} => {
                if let Some(server) = subject.server.get() {
                    server.drain();
                }
            }
            // An acknowledgement for another boot, a second hello, or what a later version says.
            _ => {}
        }
    }
    Ok(())
}

/// Writes the stages as they come, then receipts, and replies in between.
async fn write<S: AsyncWrite>(
    writer: WriteHalf<S>,
    mut subject: Subject,
    mut replies: mpsc::Receiver<EnclaveMessage>,
) -> Result<(), vouchsafe_link::Error> {
    let mut sender = Sender::new(writer);
    sender
        .send(&EnclaveMessage::Hello(Hello::new(concat!("vouchsafe-enclave ", env!("CARGO_PKG_VERSION")))))
        .await?;
    subject.stage.mark_changed();
    let mut next_seq = 0;
    loop {
        let (boot, context) = (subject.boot(), subject.context().cloned());
        let receipts = async {
            match (&boot, &context) {
                (Some(boot), Some(context)) => (boot, context.issuer.outbox().next_batch(next_seq).await),
                _ => std::future::pending().await,
            }
        };
        // Sending is not cancel-safe, so it happens after the choice of what to send.
        let messages = tokio::select! {
            biased;
            reply = replies.recv() => match reply {
                Some(reply) => vec![reply],
                // The reading side has ended, and so does this one.
                None => return sender.finish().await,
            },
            changed = subject.stage.changed() => match changed {
                // The boot is looked up now: what was known before the wait may be older than the stage.
                Ok(()) => {
                    let stage = subject.stage.borrow_and_update().clone();
                    stage_message(&stage, subject.boot().as_ref())
                }
                Err(_) => return sender.finish().await,
            },
            (boot, batch) = receipts => {
                next_seq = batch.last().map_or(next_seq, |(seq, _)| seq.saturating_add(1));
                let message = |(seq, envelope)| {
                    let envelope = String::from_utf8(envelope).unwrap_or_default();
                    EnclaveMessage::Receipt { boot: boot.clone(), seq, envelope }
                };
                batch.into_iter().map(message).collect()
            }
        };
        for message in &messages {
            sender.send(message).await?;
        }
    }
}

fn stage_message(stage: &Stage, boot: Option<&BootId>) -> Vec<EnclaveMessage> {
    match (stage, boot) {
        (Stage::Loading { stage, done, total }, _) => {
            vec![EnclaveMessage::Loading { stage: stage.clone(), done: *done, total: *total }]
        }
        (Stage::Ready, Some(boot)) => vec![EnclaveMessage::Ready { boot: boot.clone() }],
        (Stage::Ready, None) => Vec::new(),
        (Stage::Failed { code, message }, _) => {
            vec![EnclaveMessage::Failed { code: (*code).to_owned(), message: message.clone() }]
        }
    }
}
