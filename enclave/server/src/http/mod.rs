//! HTTP/1.1 over a session: hyper within tight bounds.
//!
//! Clients that send a byte a minute, that read nothing, that send too much or in an encoding that
//! could expand, are ended here, before the API sees them. What a request means is the API's
//! business; this module turns a byte stream into requests with complete bodies and back.

mod body;
mod request;
mod stall;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub(crate) use body::{Body, BodySender, Gone};
pub(crate) use request::{Received, Refused, bodies_budget, receive};
pub(crate) use stall::StallLimited;

use crate::api::{self, Context};
use crate::config::milliseconds;

/// Most headers of one request.
const HEADERS_MAX: usize = 64;

/// Serves one connection until its client leaves, violates a bound, or the enclave drains.
pub(crate) async fn serve<S>(stream: S, context: Arc<Context>, mut drain: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &context.config.limits;
    let io = TokioIo::new(StallLimited::new(stream, milliseconds(limits.write_stall_ms_max)));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(milliseconds(limits.header_ms_max))
        .max_headers(HEADERS_MAX)
        .max_buf_size(limits.header_bytes_max);
    let service = service_fn(|request| {
        let context = Arc::clone(&context);
        async move {
            // The buffer's bound alone lets one read too many through.
            if head_bytes(&request) > context.config.limits.header_bytes_max {
                return Ok::<_, Infallible>(api::head_too_large());
            }
            Ok(api::handle(context, request).await)
        }
    });
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    tokio::select! {
        // How a connection ends is the client's and its own business: nothing is logged of it.
        _ = connection.as_mut() => return,
        // An error means that the sender is gone, which is the end of the program.
        _ = drain.wait_for(|draining| *draining) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// The length of a request's head, but for its line ends.
fn head_bytes<B>(request: &http::Request<B>) -> usize {
    let line = request.uri().path_and_query().map_or(0, |address| address.as_str().len());
    let headers =
        request.headers().iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    headers.fold(line, usize::saturating_add)
}
