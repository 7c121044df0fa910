//! The laws of serving, over real connections.

use super::*;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tasks::{OnError, TaskHandle, Tasks};

const SOON: Duration = Duration::from_secs(30);

async fn call(router: Router, request: axum::http::request::Builder) -> (StatusCode, HeaderMap, Value) {
    let router = with_layers(router, &HttpOptions::default());
    let response = around(request.body(Body::empty()).unwrap(), router).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn start(tasks: &Tasks, router: Router, options: HttpOptions) -> (SocketAddr, TaskHandle) {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tasks.spawn("http", OnError::StopProcess, serve(listener, router, tasks.stop(), options));
    (address, server)
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset instead of an end is an end too.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut text)).await.expect("the server closes");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let router = || Router::new().route("/stock", get(|| async { "" }));
    let (status, _, body) = call(router(), Request::get("/stcok")).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let (status, headers, body) = call(router(), Request::delete("/stock")).await;
    assert_eq!((status, &body["code"]), (StatusCode::METHOD_NOT_ALLOWED, &json!("method_not_allowed")));
    assert_eq!(headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn a_panicking_handler_is_an_internal_problem_that_tells_no_secrets() {
    let router = Router::new()
        .route("/", get(|| async { if true { panic!("password hunter2") } else { "unreachable" } }));
    let (status, headers, body) = call(router, Request::get("/")).await;
    assert_eq!((status, &body["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
    assert!(headers.contains_key(REQUEST_ID));
    assert!(!body.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_sane_and_made_otherwise() {
    let router = || Router::new().route("/", get(|| async { "" }));
    let (_, headers, _) = call(router(), Request::get("/").header("x-request-id", "r-1")).await;
    assert_eq!(headers[REQUEST_ID], "r-1");
    assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    let (_, headers, _) = call(router(), Request::get("/").header("x-request-id", "a b")).await;
    assert_eq!(headers[REQUEST_ID].len(), 36);
}

#[tokio::test]
async fn an_address_in_use_is_named_with_a_hint() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(address).await.unwrap_err();
    assert_eq!(error.to_string(), format!("address {address} is in use"));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_handler_sees_its_peer() {
    let tasks = Tasks::new();
    let router = Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }));
    let (address, _) = start(&tasks, router, HttpOptions::default()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let mine = client.local_addr().unwrap().to_string();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let text = read_all(client).await;
    assert!(text.ends_with(&mine), "{text}");
    tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn a_running_request_is_answered_after_the_stop_and_new_clients_are_refused() {
    let tasks = Tasks::new();
    let (entered, mut enters) = tokio::sync::mpsc::channel(1);
    let release = Stop::new();
    let router = {
        let release = release.clone();
        Router::new().route(
            "/",
            get(async move || {
                entered.send(()).await.expect("the test waits");
                release.requested().await;
                "finished"
            }),
        )
    };
    let (address, server) = start(&tasks, router, HttpOptions::default()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    enters.recv().await.unwrap();
    tasks.stop().request();
    tokio::time::timeout(SOON, async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the listener closes");
    assert!(!server.has_ended());
    release.request();
    let text = read_all(client).await;
    assert!(text.ends_with("finished"), "{text}");
    server.ended().await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_at_the_drain_timeout() {
    let tasks = Tasks::new();
    let (entered, mut enters) = tokio::sync::mpsc::channel(1);
    let router = Router::new().route(
        "/",
        get(async move || {
            entered.send(()).await.expect("the test waits");
            std::future::pending::<()>().await;
        }),
    );
    let options = HttpOptions { drain_timeout_ms: Millis::new(20), ..HttpOptions::default() };
    let (address, _) = start(&tasks, router, options).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    enters.recv().await.unwrap();
    tasks.shutdown(SOON).await.unwrap();
    assert_eq!(read_all(client).await, "");
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_closed() {
    let tasks = Tasks::new();
    let options = HttpOptions { header_timeout_ms: Millis::new(20), ..HttpOptions::default() };
    let (address, _) = start(&tasks, Router::new(), options).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    read_all(client).await;
    tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let tasks = Tasks::new();
    let options = HttpOptions { connections_max: 1, ..HttpOptions::default() };
    let router = Router::new().route("/", get(|| async { "served" }));
    let (address, _) = start(&tasks, router, options).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await.is_err());
    drop(first);
    assert!(read_all(second).await.ends_with("served"));
    tasks.shutdown(SOON).await.unwrap();
}
