//! The loops against a real server, which counts too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing;

use super::*;

/// Long enough for any count; the count ends the run.
const FOR_EVER: Duration = Duration::from_secs(60);

fn up_to(requests_max: u64) -> Bounds {
    Bounds { warm_up: Duration::ZERO, measure: FOR_EVER, requests_max }
}

/// Refuses the requests 3, 7, 11, …, fails 0, 10, 20, …, accepts the others; in bulk it rejects every fifth line.
fn server() -> (SocketAddr, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let router = Router::new()
        .route(
            "/one",
            routing::post(async |State(asked): State<Arc<AtomicU64>>| {
                match asked.fetch_add(1, Ordering::SeqCst) {
                    number if number % 4 == 3 => StatusCode::SERVICE_UNAVAILABLE,
                    number if number % 10 == 0 => StatusCode::CONFLICT,
                    _ => StatusCode::OK,
                }
            }),
        )
        .route(
            "/many",
            routing::post(async |State(asked): State<Arc<AtomicU64>>, body: String| {
                body.lines()
                    .map(|_| match asked.fetch_add(1, Ordering::SeqCst) {
                        number if number % 5 == 0 => "{\"outcome\":\"rejected\"}\n",
                        _ => "{\"outcome\":\"accepted\"}\n",
                    })
                    .collect::<String>()
            }),
        )
        .with_state(Arc::clone(&asked));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    (address, asked)
}

struct One;

impl Requests for One {
    fn next(&mut self, buffer: &mut Vec<u8>) -> bool {
        post(buffer, "/one", "application/json", "", b"{}");
        true
    }
}

fn many(lines: u64) -> BulkRequest {
    let mut bytes = Vec::new();
    post(&mut bytes, "/many", "text/plain", "", "x\n".repeat(lines as usize).as_bytes());
    BulkRequest { bytes, lines }
}

#[test]
fn a_closed_loop_counts_every_answer_once_and_by_what_it_says() {
    let (address, asked) = server();
    let tally = closed(address, 7, up_to(400), |_| One).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 400);
    // Of 0 to 399: 100 are 3 modulo 4; 40 are 0 modulo 10, and none of them is both.
    assert_eq!((tally.refused, tally.failed, tally.accepted), (100, 40, 260));
    assert_eq!((tally.latency.count(), tally.service.count()), (260, 260));
    assert_eq!(tally.by_status.values().sum::<u64>(), 400);
    assert!(tally.first_failure.unwrap().starts_with("409"));
}

#[test]
fn an_open_loop_asks_once_for_every_arrival() {
    let (address, asked) = server();
    let plan = Open { rate_per_s: 2_000.0, connections: 3, patience: FOR_EVER };
    let tally = open(address, plan, up_to(400), |_| One).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 400);
    assert_eq!((tally.refused, tally.failed, tally.accepted, tally.abandoned), (100, 40, 260, 0));
}

#[test]
fn bulk_requests_count_by_line() {
    let (address, asked) = server();
    let tally = bulk_once(address, 3, (0..20).map(|_| many(50)), FOR_EVER).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1_000);
    assert_eq!((tally.accepted, tally.failed, tally.refused), (800, 200, 0));
    assert_eq!(tally.latency.count(), 20);

    let tally = bulk(address, &[many(50), many(50)], up_to(500)).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1_500);
    assert_eq!((tally.accepted, tally.failed), (400, 100));
}

#[test]
fn what_is_not_answered_line_by_line_ends_the_run() {
    let (address, _) = server();
    let request = BulkRequest { lines: 3, ..many(2) };
    let error = bulk_once(address, 1, std::iter::once(request), FOR_EVER).unwrap_err();
    assert!(error.to_string().contains("2 of 3 lines"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(closed(address, 1, up_to(1), |_| One).unwrap_err().to_string().contains("nobody listens"));
}
