//! Serving a router: bounded in connections, header time, body size and drain; panics and dead ends become problems.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::header::{
    CONNECTION, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use schemas::ErrorCode;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tracing::Instrument;

use crate::error::{Chain, Error, panic_message};
use crate::problem::{Problem, method_not_allowed, not_found};
use crate::stop::Stop;
use crate::units::{ByteSize, Millis};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// How long accepting pauses when the system has no file or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The limits of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOptions {
    /// The largest body that extractors read: 1 MiB. A route that streams lifts it for itself with `DefaultBodyLimit`.
    pub body_bytes_max: ByteSize,
    /// Open connections; further ones wait in the system's queue: 4,096.
    pub connections_max: usize,
    /// How long a client may take for a request's head, and stay idle between requests: 30 s.
    pub header_timeout_ms: Millis,
    /// How long requests may take to finish after the stop: 4 s.
    pub drain_timeout_ms: Millis,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: ByteSize::mebibytes(1),
            connections_max: 4_096,
            header_timeout_ms: Millis::new(30_000),
            drain_timeout_ms: Millis::new(4_000),
        }
    }
}

/// Listens on an address; port 0 picks a free one.
///
/// # Errors
/// [`Error::AddressInUse`] or [`Error::Bind`], both with a [`hint`](Error::hint).
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::AddressInUse { address },
        _ => Error::Bind { address, source },
    })
}

/// Gives a complete router what every server of ours has beside what [`serve`] puts around each request: problems for
/// unknown paths and methods, and the body limit. Call it last, after all routes are added.
pub fn with_layers(router: Router, options: &HttpOptions) -> Router {
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(options.body_bytes_max.as_usize()))
}

/// Serves a router over HTTP/1.1 until the stop, then lets running requests finish within `drain_timeout_ms`. Handlers find
/// the peer's address as `ConnectInfo<SocketAddr>`. Around every request: a span with request id and `traceparent`, the safe
/// headers, and a problem instead of a panic.
///
/// # Errors
/// None at present: a failed connection concerns its client only, a failed accept is repeated.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: Stop,
    options: HttpOptions,
) -> Result<(), Error> {
    serve_leaving(listener, router, Stop::new(), stop, options).await
}

/// As [`serve`]; from `leaving` on every answer closes its connection, so that callers come back to another node before
/// this one stops.
pub(crate) async fn serve_leaving(
    listener: TcpListener,
    router: Router,
    leaving: Stop,
    stop: Stop,
    options: HttpOptions,
) -> Result<(), Error> {
    let room = Arc::new(Semaphore::new(options.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.requested() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, place)) => {
                let (leaving, stop) = (leaving.clone(), stop.clone());
                let connection = connection(stream, peer, router.clone(), leaving, stop, options.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            // The client was gone before we got to it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                let _ = tokio::time::timeout(ACCEPT_PAUSE, stop.requested()).await;
            }
        }
    }
    // From here on new clients are refused by the system instead of waiting for an answer that never comes.
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(options.drain_timeout_ms.duration(), drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that did not finish in time");
        connections.shutdown().await;
    }
    Ok(())
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, Place)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    leaving: Stop,
    stop: Stop,
    options: HttpOptions,
) {
    // Answers are small and whole: waiting to fill a packet (Nagle) only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (answer, leaving) = (around(request.map(Body::new), router.clone()), leaving.clone());
        async move {
            let mut response = answer.await;
            if leaving.is_requested() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout_ms.duration())
            .serve_connection(TokioIo::new(stream), service)
    );
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, error = %Chain(&error), "connection ended");
    }
}

/// The span, the log line, the headers and the net for panics around every request. Not a layer of the router: that would
/// copy the router's services once more for each request.
async fn around(request: Request, router: Router) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let span = tracing::debug_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id = id.to_str().unwrap_or_default(),
        traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()),
    );
    // The call is inside, so that a panic in its synchronous part is caught too.
    let handled = AssertUnwindSafe(async move { router.oneshot(request).await }).catch_unwind();
    async move {
        let mut response = match handled.await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(payload) => {
                tracing::error!(panic = panic_message(payload.as_ref()), "a request handler panicked");
                Problem::of(ErrorCode::Internal)
                    .hint("the log has the reason under the request id of this answer")
                    .into_response()
            }
        };
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("frame-ancestors 'none'"));
        headers.insert(REQUEST_ID, id);
        tracing::debug!(
            status = response.status().as_u16(),
            elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}

/// The caller's request id if it is short, plain text; otherwise a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    headers
        .get(REQUEST_ID)
        .filter(|given| !given.is_empty() && given.len() <= REQUEST_ID_BYTES_MAX)
        .filter(|given| given.as_bytes().iter().all(u8::is_ascii_graphic))
        .cloned()
        .unwrap_or_else(|| {
            HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).expect("a uuid is plain text")
        })
}

#[cfg(test)]
mod tests;
