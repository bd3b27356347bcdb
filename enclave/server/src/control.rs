//! The control connection: progress, receipts and records to the host; acknowledgements, endorsements
//! and what the log proved from it.
//!
//! One connection at a time; a newer one takes the place of an older, since a host that restarted
//! cannot end the one it lost. What the host says here changes what is sent to it and what is handed
//! on unbelieved, nothing else.

use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use vouchsafe_link::control::{
    BootId, EnclaveMessage, Health, Hello, HostMessage, Included, Receiver, Sender,
};
use vouchsafe_verifier::encoding::to_base64;

use crate::api::Context;
use crate::server::Server;
use crate::settle::RefusedCode;

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
    /// Told when the host asks the program to end.
    pub(crate) ending: Arc<Notify>,
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
            ready: self.server.get().is_some_and(Server::is_serving),
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

/// Serves one control connection of a server that has started, until it ends.
pub async fn serve_control<S>(stream: S, server: Arc<OnceLock<Server>>)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    // Kept until the end: when it is gone, the connection ends.
    let (_stage, stage) = watch::channel(Stage::Ready);
    serve(stream, Subject { stage, server, ending: Arc::default() }).await;
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
            HostMessage::EvidenceRequest {} => {
                let (Some(boot), Some(context)) = (subject.boot(), subject.context()) else { continue };
                let evidence = EnclaveMessage::Evidence { boot, json: context.boot.evidence_json() };
                let Ok(()) = replies.send(evidence).await else { return Ok(()) };
            }
            HostMessage::Endorsements { json } => {
                if let Some(context) = subject.context() {
                    // What does not parse leaves the old ones in place; the host sees it in what
                    // clients get.
                    let _ = context.stapled.replace(&json);
                }
            }
            HostMessage::Checkpoint { note, from, consistency } => {
                let Some(reply) = learn(&subject, &note, from, &consistency, &[]) else { continue };
                let Ok(()) = replies.send(reply).await else { return Ok(()) };
            }
            HostMessage::Inclusion { note, from, consistency, leaves } => {
                let Some(reply) = learn(&subject, &note, from, &consistency, &leaves) else { continue };
                let Ok(()) = replies.send(reply).await else { return Ok(()) };
            }
            HostMessage::Drain {} => {
                if let Some(server) = subject.server.get() {
                    server.drain();
                }
            }
            // A host can end its guest in any case; this way the last word gets signed.
            HostMessage::End {} => subject.ending.notify_one(),
            // An acknowledgement for another boot, a second hello, or what a later version says.
            _ => {}
        }
    }
    Ok(())
}

/// Takes what the host says of the log, and what it is told of that.
fn learn(
    subject: &Subject,
    note: &str,
    from: u64,
    consistency: &[String],
    leaves: &[Included],
) -> Option<EnclaveMessage> {
    let (boot, context) = (subject.boot()?, subject.context()?);
    Some(match context.issuer.learn(note, from, consistency, leaves) {
        Ok(size) => EnclaveMessage::Verified { boot, size },
        Err(RefusedCode(code)) => {
            let size = context.issuer.settlement().map_or(0, |settlement| settlement.size());
            EnclaveMessage::Refused { boot, size, code: code.to_owned() }
        }
    })
}

/// Where the log stands, as the host needs to know it before it can prove anything.
fn verified(boot: &BootId, context: &Context) -> Option<EnclaveMessage> {
    let size = context.issuer.settlement()?.size();
    Some(EnclaveMessage::Verified { boot: boot.clone(), size })
}

/// Writes the stages as they come, then records and receipts, and replies in between.
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
    let (mut next_seq, mut next_record, mut is_introduced) = (0, 0, false);
    loop {
        let (boot, context) = (subject.boot(), subject.context().cloned());
        if let (false, Some(boot), Some(context)) = (is_introduced, &boot, &context) {
            is_introduced = true;
            if let Some(verified) = verified(boot, context) {
                sender.send(&verified).await?;
            }
        }
        let settlement = context.as_ref().and_then(|context| context.issuer.settlement());
        let records = async {
            match (&boot, settlement) {
                (Some(boot), Some(settlement)) => (boot, settlement.next_record(next_record).await),
                _ => std::future::pending().await,
            }
        };
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
            (boot, (number, record)) = records => {
                next_record = number.saturating_add(1);
                vec![EnclaveMessage::Record {
                    boot: boot.clone(),
                    number,
                    leaf: to_base64(&record.leaf),
                    blobs: record.blobs.iter().map(|blob| to_base64(blob)).collect(),
                }]
            }
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
