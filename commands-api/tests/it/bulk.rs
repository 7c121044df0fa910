//! The bulk route: one answer a line, in order, whatever the lines are.

use std::time::Duration;

use aggregate_host::HostConfig;
use axum::body::{Body, Bytes};
use axum::http::Request;
use commands_api::CommandsApiConfig;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::harness::{App, LOOPBACK, answers, line, next_line, pounds};

fn receive(sku: &str) -> Value {
    line("stock", sku, "receive", json!({"quantity": 1}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_in_input_order_and_streams_keep_theirs() {
    let config = CommandsApiConfig { bulk_in_flight_max: 16, ..CommandsApiConfig::default() };
    let app = App::start_with(config, HostConfig::default()).await;
    let lines: Vec<_> = (0..300).map(|i| receive(&format!("S{}", i % 7))).collect();
    let answered = app.bulk("anonymous", &lines).await;
    assert_eq!(answered.len(), 300);
    for (i, answer) in answered.iter().enumerate() {
        assert_eq!((&answer["line"], &answer["outcome"]), (&json!(i + 1), &json!("accepted")), "{answer}");
        assert_eq!(answer["stream"], format!("stock/S{}", i % 7));
        assert_eq!(answer["version"], i / 7 + 1);
        assert!(answer["position"].is_string() && answer["events"] == 1 && answer["replayed"] == false);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_broken_line_is_answered_by_a_problem_and_the_others_go_on() {
    let config = CommandsApiConfig { bulk_line_bytes_max: 300, ..CommandsApiConfig::default() };
    let app = App::start_with(config, HostConfig::default()).await;
    let id = "0192f0c1-2345-7000-8000-000000000001";
    let mut known = line("stock", "A", "receive", json!({"quantity": 0}));
    known["command_id"] = id.into();
    let mut twice = receive("A");
    twice["command_id"] = id.into();
    twice["idempotency_key"] = "k".into();
    let mut key = receive("A");
    key["idempotency_key"] = "a b".into();
    let mut typo = receive("A");
    typo["casuation_id"] = "x".into();
    let text = [
        receive("A").to_string(),
        "{not json".to_owned(),
        String::new(),
        known.to_string(),
        line("stock", "A", "explode", json!({})).to_string(),
        line("warehouse", "A", "receive", json!({})).to_string(),
        line("stock", "a/b", "receive", json!({"quantity": 1})).to_string(),
        twice.to_string(),
        key.to_string(),
        typo.to_string(),
        format!("{{\"x\": \"{}\"}}", "x".repeat(300)),
        receive("A").to_string(),
    ]
    .join("\n");
    let answered = app.bulk_text("anonymous", text).await;
    let said: Vec<_> = answered
        .iter()
        .map(|answer| {
            (answer["line"].as_u64().unwrap(), answer["problem"]["code"].as_str().unwrap_or("accepted"))
        })
        .collect();
    assert_eq!(
        said,
        [
            (1, "accepted"),
            (2, "invalid_request"),
            (4, "invalid_value"),
            (5, "invalid_value"),
            (6, "invalid_value"),
            (7, "invalid_value"),
            (8, "invalid_request"),
            (9, "invalid_request"),
            (10, "invalid_value"),
            (11, "body_too_large"),
            (12, "accepted"),
        ]
    );
    assert_eq!((&answered[2]["command_id"], &answered[2]["problem"]["command_id"]), (&json!(id), &json!(id)));
    assert_eq!(answered[10]["version"], 2);
    app.stop().await;
}

#[tokio::test]
async fn a_refusal_is_an_outcome_and_carries_its_problem() {
    let app = App::start().await;
    let mut conflict = receive("A");
    conflict["expected_version"] = 3.into();
    let lines = [line("product", "NONE", "publish", Value::Null), conflict];
    let answered = app.bulk("anonymous", &lines).await;
    assert_eq!(
        (&answered[0]["outcome"], &answered[0]["problem"]["code"]),
        (&json!("rejected"), &json!("product_not_found"))
    );
    assert_eq!(
        (&answered[1]["outcome"], &answered[1]["problem"]["code"]),
        (&json!("rejected"), &json!("version_conflict"))
    );
    assert_eq!(answered[1]["problem"]["current_version"], 0);
    app.stop().await;
}

#[tokio::test]
async fn a_repeated_bulk_request_changes_nothing_and_says_so() {
    let app = App::start().await;
    let lines: Vec<_> = (0..50)
        .map(|i| {
            let mut line = receive("A");
            line["idempotency_key"] = format!("row-{i}").into();
            line
        })
        .collect();
    let (first, second) = (app.bulk("importer", &lines).await, app.bulk("importer", &lines).await);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!((&first["replayed"], &second["replayed"]), (&json!(false), &json!(true)));
        assert_eq!((&first["command_id"], &first["position"]), (&second["command_id"], &second["position"]));
    }
    assert_eq!(app.events("stock/A").len(), 50);
    app.stop().await;
}

#[tokio::test]
async fn what_a_line_says_of_its_cause_is_recorded() {
    let app = App::start().await;
    let correlation = "0192f0c1-2345-7000-8000-00000000000a";
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut caused = receive("A");
    caused["correlation_id"] = correlation.into();
    caused["causation_id"] = "order/o/1".into();
    caused["traceparent"] = trace.into();
    app.bulk("process:returns", &[caused]).await;
    let (metadata, _) = app.events("stock/A").pop().unwrap();
    assert_eq!(metadata.correlation_id.to_string(), correlation);
    assert_eq!(metadata.causation_id.unwrap().as_str(), "order/o/1");
    assert_eq!(metadata.traceparent.as_deref(), Some(trace));
    assert_eq!(metadata.principal.as_str(), "process:returns");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_shard_makes_the_request_wait_instead_of_failing() {
    let host = HostConfig { queue_commands_max: 1, turn_commands_max: 1, ..HostConfig::default() };
    let app = App::start_with(CommandsApiConfig::default(), host).await;
    let lines: Vec<_> = (0..200).map(|_| receive("A")).collect();
    let (left, right) = tokio::join!(app.bulk("anonymous", &lines), app.bulk("anonymous", &lines));
    for answered in [left, right] {
        assert_eq!(answered.len(), 200);
        assert!(answered.iter().all(|answer| answer["outcome"] == "accepted"), "{:?}", answered.last());
        let versions: Vec<_> = answered.iter().map(|answer| answer["version"].as_u64().unwrap()).collect();
        assert!(versions.is_sorted(), "the stream keeps its order");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_shard_that_stays_overloaded_is_answered_so_after_the_limit() {
    let host = HostConfig { queue_commands_max: 1, turn_commands_max: 1, ..HostConfig::default() };
    let config = CommandsApiConfig { bulk_overload_wait_ms: 0, ..CommandsApiConfig::default() };
    let app = App::start_with(config, host).await;
    let lines: Vec<_> = (0..2_000).map(|_| receive("A")).collect();
    let answered = app.bulk("anonymous", &lines).await;
    let overloaded = answered.iter().filter(|answer| answer["problem"]["code"] == "overloaded").count();
    assert!(overloaded > 0, "2,000 commands at once overflow a queue of one");
    let accepted = answered.iter().filter(|answer| answer["outcome"] == "accepted").count();
    assert_eq!((answered.len(), accepted + overloaded), (2_000, 2_000));
    assert_eq!(app.events("stock/A").len(), accepted, "what was refused was not done");
    app.stop().await;
}

#[tokio::test]
async fn answers_come_while_the_request_is_still_being_sent() {
    let app = App::start().await;
    let address = app.listen().await;
    let (sender, receiver) = mpsc::channel::<String>(1);
    let body = stream::unfold(receiver, async |mut receiver| {
        let line = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(line), receiver))
    });
    sender.send(format!("{}\n", receive("A"))).await.unwrap();
    let response = reqwest::Client::new()
        .post(format!("http://{address}/v1/commands"))
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut answered = response.bytes_stream();
    assert_eq!(next_line(&mut answered).await["version"], 1);
    sender.send(format!("{}\n", receive("A"))).await.unwrap();
    assert_eq!(next_line(&mut answered).await["version"], 2);
    drop(sender);
    assert!(answered.next().await.is_none());
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_from() {
    let config = CommandsApiConfig { bulk_in_flight_max: 8, ..CommandsApiConfig::default() };
    let app = App::start_with(config, HostConfig::default()).await;
    let (taken, mut takes) = mpsc::channel::<()>(100_000);
    let body = stream::iter(0..10_000).map(move |_| {
        taken.try_send(()).unwrap();
        Ok::<_, std::io::Error>(Bytes::from(format!("{}\n", receive("A"))))
    });
    let mut request = Request::post("/v1/commands")
        .header("content-type", "application/x-ndjson")
        .body(Body::from_stream(body))
        .unwrap();
    let peer: std::net::SocketAddr = LOOPBACK.parse().unwrap();
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    let response = tower::ServiceExt::oneshot(app.router.clone(), request).await.unwrap();
    let mut answered = response.into_body().into_data_stream();
    let first = answers(&answered.next().await.unwrap().unwrap());
    let mut read = 0;
    while let Ok(Some(())) = tokio::time::timeout(Duration::from_millis(50), takes.recv()).await {
        read += 1;
    }
    assert!(read <= first.len() + 9, "{read} lines were read for {} answers", first.len());
    app.stop().await;
}

#[tokio::test]
async fn another_content_type_is_refused_as_a_whole() {
    let app = App::start().await;
    let request = Request::post("/v1/commands").header("content-type", "application/json");
    let reply = app.send(Some(LOOPBACK), request.body(Body::from(receive("A").to_string())).unwrap()).await;
    assert_eq!((reply.status.as_u16(), &reply.body["code"]), (415, &json!("unsupported_media_type")));
    assert!(app.events("stock/A").is_empty());
    app.stop().await;
}

#[tokio::test]
async fn money_in_a_line_is_read_as_in_a_request() {
    let app = App::start().await;
    let lines = [
        line("product", "A", "draft", json!({"name": "A"})),
        line("product", "A", "price", json!({"price": pounds(5)})),
        line("product", "A", "price", json!({"price": {"amount_minor": 5, "currency": "XXX"}})),
    ];
    let answered = app.bulk("anonymous", &lines).await;
    assert_eq!(answered[1]["outcome"], "accepted");
    assert!(answered[2]["problem"]["detail"].as_str().unwrap().contains("XXX"), "{}", answered[2]);
    app.stop().await;
}
