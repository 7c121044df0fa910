//! Who may ask: callers on this machine, and nobody whom something on this machine forwards.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::ErrorCode;
use service_kit::Problem;

/// Headers by which a proxy tells that the caller is somebody else.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Lets loopback callers through, everybody else gets a problem `forbidden`.
pub(super) async fn loopback_only(request: Request, next: Next) -> Response {
    // A server that does not tell the peer's address is not ours: refuse.
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    if peer.is_some_and(|peer| is_local(peer, request.headers())) {
        return next.run(request).await;
    }
    Problem::of(ErrorCode::Forbidden)
        .detail("/admin/v1 answers to callers on the same machine only")
        .hint("run the command on the machine of the process, against its loopback address")
        .into_response()
}

fn is_local(peer: IpAddr, headers: &HeaderMap) -> bool {
    peer.to_canonical().is_loopback() && FORWARDED.iter().all(|name| !headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_direct_loopback_callers_are_let_in() {
        let none = HeaderMap::new();
        for local in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(local.parse().unwrap(), &none), "{local}");
        }
        for foreign in ["10.0.0.1", "192.168.1.2", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0"] {
            assert!(!is_local(foreign.parse().unwrap(), &none), "{foreign}");
        }
        let mut forwarded = HeaderMap::new();
        forwarded.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
        assert!(!is_local("127.0.0.1".parse().unwrap(), &forwarded));
    }
}
