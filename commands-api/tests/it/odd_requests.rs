//! Requests that nobody means well: each gets a named refusal, changes nothing, and leaves the next one alone.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{App, LOOPBACK, Reply, SOON, answers};

const RECEIVE: &str = "/v1/stock/ODD/receive";

async fn receive(app: &App, body: impl Into<Body>) -> Reply {
    let request = Request::post(RECEIVE).header("content-type", "application/json").body(body.into());
    app.send(Some(LOOPBACK), request.unwrap()).await
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn an_odd_body_is_refused_by_name() {
    let app = App::start().await;
    for body in ["", "null", "1", "\"\"", "[]", "[5]", "[5, null]", "{}", "{\"quantity\": [5]}"] {
        receive(&app, body).await.is_problem(422, "invalid_value");
    }
    for number in ["99999999999999999999", "-1", "1.5", "1e0", "\"1\"", "true", "null", "1000000001"] {
        receive(&app, format!("{{\"quantity\": {number}}}")).await.is_problem(422, "invalid_value");
    }
    for text in ["\\u0000", "\\u202e", "a/0", "\\ud83d\\ude00", " "] {
        let body = format!("{{\"quantity\": 1, \"reference\": \"{text}\"}}");
        receive(&app, body).await.is_problem(422, "invalid_value");
    }
    receive(&app, r#"{"quantity": 1, "quantity": 2}"#).await.is_problem(422, "invalid_value");
    receive(&app, format!("{{\"quantity\": {}}}", nested(100_000))).await.is_problem(422, "invalid_value");
    for broken in ["1e999", "01", "NaN", "+1", "1}", "\"\\ud800\""] {
        receive(&app, format!("{{\"quantity\": {broken}}}")).await.is_problem(400, "invalid_request");
    }
    // A list is no request, however deep it is.
    receive(&app, nested(100_000)).await.is_problem(422, "invalid_value");
    for broken in [b"\xef\xbb\xbf{}".to_vec(), b"{\"quantity\": \"\xff\"}".to_vec(), vec![0; 9]] {
        receive(&app, broken).await.is_problem(400, "invalid_request");
    }
    assert!(app.events("stock/ODD").is_empty());
    receive(&app, r#" {"quantity": 5} "#).await.is(200);
    app.stop().await;
}

#[tokio::test]
async fn an_odd_path_is_refused_by_name() {
    let app = App::start().await;
    for id in ["%00", "%FF", "%2F", "a%0Ab", "%20", "a%20", "%F0%9F%98%80", "'", &"x".repeat(129)] {
        let reply = app.post(&format!("/v1/stock/{id}/receive"), json!({"quantity": 1})).await;
        reply.is_problem(400, "invalid_request");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_odd_line_of_a_bulk_request_is_refused_by_name_and_the_others_go_on() {
    let app = App::start().await;
    let fine = r#"{"aggregate": "stock", "id": "ODD", "type": "receive", "data": {"quantity": 1}}"#;
    let deep =
        format!(r#"{{"aggregate": "stock", "id": "ODD", "type": "receive", "data": {}}}"#, nested(100_000));
    let lines = [
        (fine, ""),
        (
            "[null, null, null, null, null, null, null, \"stock\", \"ODD\", \"receive\", {\"quantity\": 1}]",
            "invalid_value",
        ),
        ("{\"aggregate\": \"stock\", \"id\": \"ODD\", \"type\": \"\\u0000\"}", "invalid_value"),
        ("{\"aggregate\": \"stock\", \"id\": \"\", \"type\": \"receive\"}", "invalid_value"),
        (deep.as_str(), "invalid_request"),
        ("\u{feff}{}", "invalid_request"),
        ("{\"aggregate\": \"stock\"", "invalid_request"),
        (fine, ""),
    ];
    let text: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
    let answers = app.bulk_text("anonymous", text.join("\n")).await;
    assert_eq!(answers.len(), lines.len());
    for ((line, code), answer) in lines.iter().zip(answers) {
        assert_eq!(answer["problem"]["code"].as_str().unwrap_or_default(), *code, "{line:.80}: {answer}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_content_type_is_read_without_its_case() {
    let app = App::start().await;
    let request = Request::post("/v1/commands").header("content-type", "Application/X-NDJSON; charset=utf-8");
    let reply = app.send(Some(LOOPBACK), request.body(Body::from("{}\n")).unwrap()).await;
    assert_eq!(reply.is(200)["problem"]["code"], "invalid_value");
    app.stop().await;
}

/// The bytes as they are over a connection of its own; what comes back until the server closes it or has answered.
async fn raw(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough closes before it was sent everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_http_is_answered_4xx_or_nothing_and_the_next_request_is_served() {
    let app = App::start().await;
    let address = app.listen().await;
    let post = |rest: &str| format!("POST {RECEIVE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest}");
    let json = "content-type: application/json\r\n";
    for bytes in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000)),
        post(&format!("x: {}\r\n\r\n", "x".repeat(500_000))),
        post(&format!("{}\r\n", "x: y\r\n".repeat(200))),
        post("content-length: 5\r\ncontent-length: 6\r\n\r\n{}"),
        post("content-length: -1\r\n\r\n"),
        post("bad header\r\n\r\n"),
        post(&format!("{json}transfer-encoding: chunked\r\n\r\nxyz\r\n")),
        post(&format!("{json}idempotency-key: \x01\r\n\r\n")),
        post(&format!("{json}if-match: \u{e4}\r\ncontent-length: 0\r\n\r\n")),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = raw(address, bytes.as_bytes()).await;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{:?} is answered {answer}", bytes.chars().take(80).collect::<String>());
    }
    let body = json!({"quantity": 1}).to_string();
    let fine = post(&format!("{json}content-length: {}\r\n\r\n{body}", body.len()));
    let answer = raw(address, fine.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(answers(body.as_bytes())[0]["version"], Value::from(1));
    app.stop().await;
}
