//! Control messages between host and enclave: JSON, each preceded by its length.
//!
//! A message is a 4-byte big-endian length, 1 to [`MESSAGE_BYTES_MAX`], and so many bytes of JSON: an
//! object whose `type` names the message. Length 0 ends the direction; a transport that ends without
//! it was cut. Both sides begin with their `hello`, which names the protocol version. What a version
//! does not know is refused, so that nothing is silently dropped.
//!
//! Signed objects travel as text inside messages, since their exact bytes are what counts; their
//! meaning is for others to parse. No message names a prompt, a completion or an API type.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{Error, WRITE_BYTES_MAX};

/// Version of the control protocol.
pub const PROTOCOL: u32 = 1;
/// Longest message, in bytes of JSON.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
const LENGTH_BYTES: usize = 4;

/// What an enclave tells its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum EnclaveMessage {
    /// First message.
    Hello(Hello),
    /// How far start-up has come. `done` and `total` count whatever `stage` counts, bytes of weights
    /// for instance.
    Loading {
        /// What is being done, for display.
        stage: String,
        /// How much of it is done.
        done: u64,
        /// How much there is; 0 where that is not known.
        total: u64,
    },
    /// Sessions are served from now on. Sent again on every new control connection.
    Ready {
        /// The boot that serves.
        boot: BootId,
    },
    /// A receipt to keep and, once there is a log, to publish. Sent in ascending order of `seq` and
    /// again on a new control connection, from the first one that was not acknowledged.
    Receipt {
        /// The boot that signed it.
        boot: BootId,
        /// Its position in that boot's sequence.
        seq: u64,
        /// The DSSE envelope's canonical JSON text.
        envelope: String,
    },
    /// A record of the boot itself to publish in the log: the boot record has number 0, epochs,
    /// heartbeats and the close record follow in the order of signing. Sent again on a new control
    /// connection until its inclusion was verified.
    Record {
        /// The boot that signed it.
        boot: BootId,
        /// Its position among that boot's records.
        number: u64,
        /// The log leaf, base64.
        leaf: String,
        /// What the leaf names by digest, base64; to be offered to the log before the leaf. Behind
        /// a boot record's two come its endorsements, where the enclave has them.
        blobs: Vec<String>,
    },
    /// Where the enclave's view of the log stands: sent once before the first record of a connection,
    /// and as the answer to each [`HostMessage::Checkpoint`] and [`HostMessage::Inclusion`] that
    /// verified.
    Verified {
        /// The boot that verified it.
        boot: BootId,
        /// Size of the largest checkpoint that it verified; 0 before the first.
        size: u64,
    },
    /// The answer to a [`HostMessage::Checkpoint`] or [`HostMessage::Inclusion`] that did not verify.
    /// It changed nothing.
    Refused {
        /// The boot that refused.
        boot: BootId,
        /// Size of the largest checkpoint that it verified; 0 before the first.
        size: u64,
        /// A stable word for the reason.
        code: String,
    },
    /// Answer to [`HostMessage::HealthRequest`].
    Health(Health),
    /// Answer to [`HostMessage::EvidenceRequest`] of an enclave that has booted.
    Evidence {
        /// The boot that it is about.
        boot: BootId,
        /// The evidence's JSON text, without an event log.
        json: String,
    },
    /// The enclave cannot go on and will end, for this reason.
    Failed {
        /// A stable word.
        code: String,
        /// Text for the operator.
        message: String,
    },
}

/// What a host tells its enclave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum HostMessage {
    /// First message.
    Hello(Hello),
    /// Every receipt of `boot` up to and including `seq` is stored durably.
    ReceiptAck {
        /// The boot of the receipts.
        boot: BootId,
        /// The last one stored.
        seq: u64,
    },
    /// Asks for [`EnclaveMessage::Health`].
    HealthRequest {},
    /// Asks for [`EnclaveMessage::Evidence`], to know whose endorsements to fetch.
    EvidenceRequest {},
    /// Endorsements to staple to evidence from now on, replacing those before.
    Endorsements {
        /// Their JSON text.
        json: String,
    },
    /// A checkpoint of the log that witnesses cosigned, and the proof that the log only grew.
    Checkpoint {
        /// The signed note's text.
        note: String,
        /// Size of the checkpoint that `consistency` begins at: the one in the enclave's last
        /// [`EnclaveMessage::Verified`] or [`EnclaveMessage::Refused`].
        from: u64,
        /// RFC 9162 consistency proof, each hash in base64.
        consistency: Vec<String>,
    },
    /// As `Checkpoint`, with leaves of the boot that are in the log under it.
    Inclusion {
        /// The signed note's text.
        note: String,
        /// As in `Checkpoint`.
        from: u64,
        /// As in `Checkpoint`.
        consistency: Vec<String>,
        /// The leaves. More than [`INCLUSIONS_MAX`] are refused.
        leaves: Vec<Included>,
    },
    /// Serve the sessions there are, accept no further requests.
    Drain {},
    /// End in order: drain, sign the last word, and stop. For a guest, where no signal reaches the
    /// program.
    End {},
}

/// The first message of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Version of the control protocol the sender speaks.
    pub protocol: u32,
    /// The sender's name and version, for logs.
    pub software: String,
}

impl Hello {
    /// This protocol version, spoken by `software`.
    pub fn new(software: impl Into<String>) -> Self {
        Self { protocol: PROTOCOL, software: software.into() }
    }

    /// Checks that the other side speaks this version too.
    ///
    /// # Errors
    /// [`Error::Protocol`].
    pub fn check(&self) -> Result<(), Error> {
        if self.protocol == PROTOCOL {
            return Ok(());
        }
        Err(Error::Protocol { found: self.protocol, known: PROTOCOL })
    }
}

/// Most leaves of one [`HostMessage::Inclusion`].
pub const INCLUSIONS_MAX: usize = 64;

/// Where in the log a leaf is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Included {
    /// The RFC 6962 leaf hash, lower-case hexadecimal.
    pub hash: String,
    /// The leaf's index.
    pub index: u64,
    /// RFC 6962 inclusion path from the leaf up, each hash in base64.
    pub path: Vec<String>,
}

/// How an enclave is doing. Coarse on purpose: nothing here follows one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Whether requests are served.
    pub ready: bool,
    /// Whether it was told to drain.
    pub draining: bool,
    /// The boot that serves; absent until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootId>,
    /// Open sessions.
    pub sessions: u64,
    /// Requests being executed.
    pub active: u64,
    /// Requests that wait for a place.
    pub queued: u64,
    /// Most requests that may wait.
    pub queue_max: u64,
    /// Receipts sent and not acknowledged; where receipts settle, not proved to be in the log.
    pub receipts_unacknowledged: u64,
}

/// A boot id: SHA-256 of the boot's receipt key, 64 lower-case hexadecimal digits. To the link it is
/// a name and nothing more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BootId(String);

impl BootId {
    /// Takes 64 lower-case hexadecimal digits; anything else gives `None`.
    pub fn new(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom("not 64 lower-case hexadecimal digits"))
    }
}

/// Reads messages from one direction of a control connection.
#[derive(Debug)]
pub struct Receiver<R> {
    transport: R,
    /// Received bytes of the current message, its length first.
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Reads from `transport`, from a message's beginning.
    pub fn new(transport: R) -> Self {
        Self { transport, buffer: Vec::new(), ended: false }
    }

    /// The next message, or `None` after the other side's end. Cancel-safe. Memory grows with what
    /// arrives, not with what a length claims. After an error the connection is of no further use.
    ///
    /// # Errors
    /// [`Error::MessageLength`], [`Error::MessageMalformed`], [`Error::Truncated`] or [`Error::Io`].
    pub async fn receive<M: DeserializeOwned>(&mut self) -> Result<Option<M>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.fill(LENGTH_BYTES).await?;
        let length = self.buffer.first_chunk::<LENGTH_BYTES>().copied().unwrap_or_default();
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 {
            self.ended = true;
            return Ok(None);
        }
        if length > MESSAGE_BYTES_MAX {
            return Err(Error::MessageLength { length, max: MESSAGE_BYTES_MAX });
        }
        self.fill(LENGTH_BYTES.saturating_add(length)).await?;
        let message = parse(self.buffer.get(LENGTH_BYTES..).unwrap_or_default());
        self.buffer.clear();
        // A long message is rare; its memory is not kept for the next short one.
        self.buffer.shrink_to(WRITE_BYTES_MAX);
        message.map(Some)
    }

    /// Reads until the buffer holds `count` bytes, and never more.
    async fn fill(&mut self, count: usize) -> Result<(), Error> {
        while let missing @ 1.. = count.saturating_sub(self.buffer.len()) {
            let part = missing.min(WRITE_BYTES_MAX);
            self.buffer.reserve(part);
            let limit = u64::try_from(part).unwrap_or(u64::MAX);
            // `read_buf` is cancel-safe: what it has read is in the buffer.
            if (&mut self.transport).take(limit).read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::Truncated);
            }
        }
        Ok(())
    }
}

fn parse<M: DeserializeOwned>(json: &[u8]) -> Result<M, Error> {
    // serde would also read a tagged enum from an array, which no sender writes.
    if json.first() != Some(&b'{') {
        return Err(Error::MessageMalformed("not an object".into()));
    }
    serde_json::from_slice(json).map_err(|error| Error::MessageMalformed(error.to_string()))
}

/// Writes messages to one direction of a control connection.
#[derive(Debug)]
pub struct Sender<W> {
    transport: W,
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Writes to `transport`.
    pub fn new(transport: W) -> Self {
        Self { transport }
    }

    /// Writes one message and flushes it. Not cancel-safe: a cancelled call leaves the connection in
    /// the middle of a message.
    ///
    /// # Errors
    /// [`Error::MessageLength`], with nothing written, or [`Error::Io`].
    pub async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), Error> {
        let json = serde_json::to_vec(message).map_err(|error| Error::MessageMalformed(error.to_string()))?;
        let too_long = || Error::MessageLength { length: json.len(), max: MESSAGE_BYTES_MAX };
        if json.len() > MESSAGE_BYTES_MAX {
            return Err(too_long());
        }
        let length = u32::try_from(json.len()).map_err(|_| too_long())?;
        self.write(&[length.to_be_bytes().as_slice(), &json].concat()).await
    }

    /// Ends this direction.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.write(&[0; LENGTH_BYTES]).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for part in bytes.chunks(WRITE_BYTES_MAX) {
            self.transport.write_all(part).await?;
        }
        Ok(self.transport.flush().await?)
    }
}
