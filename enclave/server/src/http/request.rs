//! Reading a request's body within its bounds.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::{Limits, milliseconds};

/// The budget of all bodies is counted in pieces of this many bytes.
const PIECE_BYTES: usize = 1024;

/// A request with its complete body. Holds its share of the memory for bodies.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) body: Bytes,
    pub(crate) share: OwnedSemaphorePermit,
}

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is, or says that it is, longer than allowed.
    TooLong,
    /// It took too long to arrive.
    TooSlow,
    /// It has a content encoding.
    Encoded,
    /// There is no memory for it at the moment.
    NoRoom,
    /// The client broke off or violated HTTP.
    Broken,
}

/// The budget of all bodies together.
pub(crate) fn bodies_budget(limits: &Limits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(pieces(limits.bodies_bytes_max).min(Semaphore::MAX_PERMITS)))
}

/// Reads a body of at most the configured length, in at most the configured time.
pub(crate) async fn receive(
    parts: &Parts,
    body: Incoming,
    limits: &Limits,
    budget: &Arc<Semaphore>,
) -> Result<Received, Refused> {
    // What is committed to is the body after transfer-decoding; a content encoding would make it
    // another text than the one that was read, and could expand without bound.
    if parts.headers.get_all(CONTENT_ENCODING).iter().any(|value| value.as_bytes() != b"identity") {
        return Err(Refused::Encoded);
    }
    let stated =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|stated| stated > limits.body_bytes_max) {
        return Err(Refused::TooLong);
    }
    timeout(milliseconds(limits.body_ms_max), collect(body, limits.body_bytes_max, budget))
        .await
        .unwrap_or(Err(Refused::TooSlow))
}

async fn collect(mut body: Incoming, max: usize, budget: &Arc<Semaphore>) -> Result<Received, Refused> {
    // Shares are taken as bytes arrive: a stated length costs a client nothing.
    let mut share = take(budget, 0)?;
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused::Broken)?;
        // Trailers are of no interest.
        let Ok(data) = frame.into_data() else { continue };
        let length = collected.len().saturating_add(data.len());
        if length > max {
            return Err(Refused::TooLong);
        }
        let missing = pieces(length).saturating_sub(share.num_permits());
        share.merge(take(budget, missing)?);
        collected.extend_from_slice(&data);
    }
    Ok(Received { body: collected.freeze(), share })
}

fn take(budget: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, Refused> {
    let count = u32::try_from(count).map_err(|_| Refused::NoRoom)?;
    Arc::clone(budget).try_acquire_many_owned(count).map_err(|_| Refused::NoRoom)
}

fn pieces(bytes: usize) -> usize {
    bytes.div_ceil(PIECE_BYTES)
}
