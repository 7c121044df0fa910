//! Whatever the server does, every submitter is told, and nobody is told more than is known.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use command_client::{Answer, Commands, HttpCommands, HttpCommandsConfig, SubmitError};
use futures::future::join_all;
use schemas::stock::{ReceiveStock, StockCommand};
use schemas::{Command, CommandEnvelope, CommandId, ErrorCode, Outcome, Principal, Quantity, Sku};
use serde_json::{Value, json};
use service_kit::{HttpOptions, OnError, Problem, Tasks, bind, serve};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(30);

/// A request as the server saw it: its principal and its lines.
type Seen = (String, Vec<Value>);

#[derive(Clone)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: fn(Vec<Value>) -> Response,
}

async fn take(State(server): State<Server>, headers: HeaderMap, body: String) -> Response {
    let principal = headers["millrace-principal"].to_str().unwrap().to_owned();
    let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    server.seen.lock().unwrap().push((principal, lines.clone()));
    (server.answer)(lines)
}

fn unchanged(lines: &[Value]) -> String {
    let answers = lines.iter().zip(1..).map(|(line, number)| {
        let id = &line["command_id"];
        format!("{}\n", json!({"line": number, "command_id": id, "outcome": "unchanged", "version": number, "replayed": false}))
    });
    answers.collect()
}

struct Running {
    tasks: Tasks,
    commands: HttpCommands,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Running {
    async fn start(config: HttpCommandsConfig, answer: fn(Vec<Value>) -> Response) -> Self {
        let tasks = Tasks::new();
        let server = Server { seen: Arc::default(), answer };
        let seen = Arc::clone(&server.seen);
        let router = Router::new().route("/v1/commands", post(take)).with_state(server);
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tasks.spawn("http", OnError::Log, serve(listener, router, tasks.stop(), HttpOptions::default()));
        let commands = HttpCommands::start(&tasks, HttpCommandsConfig { url, ..config }).unwrap();
        Self { tasks, commands, seen }
    }

    async fn submit_all(&self, count: u128) -> Vec<Result<Answer, SubmitError>> {
        join_all((0..count).map(|id| self.commands.submit(envelope(id, "checkout")))).await
    }
}

fn envelope(id: u128, process: &'static str) -> CommandEnvelope {
    let body = StockCommand::Receive(ReceiveStock { quantity: Quantity::new(1).unwrap(), reference: None });
    let command = Command::Stock { id: Sku::new("A").unwrap(), body };
    CommandEnvelope::new(CommandId::new(Uuid::from_u128(id)), Principal::process(process), command)
}

/// Two commands always leave together.
fn pairs() -> HttpCommandsConfig {
    HttpCommandsConfig { batch_commands_max: 2, batch_wait_ms: 20_000, ..HttpCommandsConfig::default() }
}

#[tokio::test]
async fn concurrent_submissions_travel_together_and_get_their_own_answers() {
    let config = HttpCommandsConfig {
        batch_commands_max: 100,
        batch_wait_ms: 20_000,
        ..HttpCommandsConfig::default()
    };
    let running = Running::start(config, |lines| unchanged(&lines).into_response()).await;
    for (id, answer) in (0_u128..).zip(running.submit_all(100).await) {
        let answer = answer.unwrap();
        assert_eq!(answer.command_id, CommandId::new(Uuid::from_u128(id)));
        assert!(
            matches!(answer.outcome, Outcome::Unchanged { version } if u128::from(version.get()) == id + 1)
        );
    }
    assert_eq!(running.seen.lock().unwrap().len(), 1);
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn each_principal_sends_its_own_request() {
    let running = Running::start(pairs(), |lines| unchanged(&lines).into_response()).await;
    let (left, right) = tokio::join!(
        running.commands.submit(envelope(1, "checkout")),
        running.commands.submit(envelope(2, "returns"))
    );
    assert_eq!(
        (left.unwrap().command_id, right.unwrap().command_id),
        (envelope(1, "x").command_id, envelope(2, "x").command_id)
    );
    let mut principals: Vec<_> = running.seen.lock().unwrap().iter().map(|(who, _)| who.clone()).collect();
    principals.sort();
    assert_eq!(principals, ["process:checkout", "process:returns"]);
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn who_gets_no_line_is_told_that_nothing_is_known() {
    let running = Running::start(pairs(), |lines| unchanged(&lines[..1]).into_response()).await;
    let answers = running.submit_all(2).await;
    assert!(answers[0].is_ok());
    let error = answers[1].as_ref().unwrap_err();
    assert!(matches!(error, SubmitError::Transport { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::OutcomeUnknown);
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_belongs_to_another_command_is_not_believed() {
    let swapped = |mut lines: Vec<Value>| {
        lines.reverse();
        unchanged(&lines).into_response()
    };
    let running = Running::start(pairs(), swapped).await;
    for answer in running.submit_all(2).await {
        assert!(matches!(answer, Err(SubmitError::OutcomeUnknown { .. })), "{answer:?}");
    }
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn text_that_is_no_answer_is_a_transport_error() {
    let running = Running::start(pairs(), |_| "<html>\n".into_response()).await;
    for answer in running.submit_all(2).await {
        assert!(matches!(answer, Err(SubmitError::Transport { .. })), "{answer:?}");
    }
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn a_refusal_of_the_whole_request_reaches_every_submitter() {
    let overloaded = |_| Problem::of(ErrorCode::Overloaded).retry_after_seconds(3).into_response();
    let running = Running::start(pairs(), overloaded).await;
    for answer in running.submit_all(2).await {
        assert!(matches!(answer, Err(SubmitError::Overloaded { retry_after_ms: 3_000 })), "{answer:?}");
    }
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn a_refusal_by_a_rule_comes_back_with_its_facts() {
    let refused = |lines: Vec<Value>| {
        let problem = Problem::of(ErrorCode::InsufficientStock).detail("none left").fact("available", 0);
        let id = &lines[0]["command_id"];
        let line =
            json!({"line": 1, "command_id": id, "outcome": "rejected", "replayed": true, "problem": problem});
        format!("{line}\n").into_response()
    };
    let config = HttpCommandsConfig { batch_wait_ms: 0, ..HttpCommandsConfig::default() };
    let running = Running::start(config, refused).await;
    let answer = running.commands.submit(envelope(1, "checkout")).await.unwrap();
    let Outcome::Rejected(rejection) = answer.outcome else { panic!("{answer:?}") };
    assert_eq!(
        (rejection.code, &*rejection.detail, &rejection.facts["available"]),
        (ErrorCode::InsufficientStock, "none left", &json!(0))
    );
    assert!(answer.replayed);
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = |_| {
        axum::body::Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>())
            .into_response()
    };
    let config = HttpCommandsConfig { request_timeout_ms: 100, ..pairs() };
    let running = Running::start(config, silent).await;
    for answer in running.submit_all(2).await {
        assert!(matches!(answer, Err(SubmitError::Transport { .. })), "{answer:?}");
    }
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_holds_up_no_other_and_is_not_sent() {
    let silent_to_the_first = |lines: Vec<Value>| {
        if lines[0]["command_id"] == json!(Uuid::from_u128(1)) {
            axum::body::Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>())
                .into_response()
        } else {
            unchanged(&lines).into_response()
        }
    };
    let config = HttpCommandsConfig {
        batch_commands_max: 1,
        requests_in_flight_max: 1,
        ..HttpCommandsConfig::default()
    };
    let running = Running::start(config, silent_to_the_first).await;
    let submit = |id| Box::pin(running.commands.submit(envelope(id, "checkout")));
    let (mut first, mut second, third) = (submit(1), submit(2), submit(3));
    let arrives = async {
        while running.seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = &mut first => panic!("{answer:?}"),
        () = arrives => {}
    }
    assert!(futures::poll!(&mut second).is_pending(), "there is one place, and the first one has it");
    drop((first, second));
    let answer = tokio::time::timeout(SOON, third).await.expect("the place is free").unwrap();
    assert_eq!(answer.command_id, CommandId::new(Uuid::from_u128(3)));
    let seen = running.seen.lock().unwrap().len();
    assert_eq!(seen, 2, "the second one was not sent");
    running.tasks.shutdown(SOON).await.unwrap();
}

#[tokio::test]
async fn what_has_not_left_at_the_stop_was_not_done_and_says_so() {
    let running = Running::start(pairs(), |lines| unchanged(&lines).into_response()).await;
    let alone = running.commands.submit(envelope(1, "checkout"));
    let stop = async {
        // Polled after the submission above, which waits for its company by then.
        running.tasks.stop().request();
    };
    let (answer, ()) = tokio::join!(alone, stop);
    assert!(matches!(answer, Err(SubmitError::ShuttingDown)), "{answer:?}");
    assert!(running.seen.lock().unwrap().is_empty());
    running.tasks.shutdown(SOON).await.unwrap();
}

#[test]
fn a_line_written_is_the_line_read() {
    let mut sent = envelope(7, "checkout");
    sent.expected_version = schemas::ExpectedVersion::Exactly(schemas::Version::FIRST);
    sent.occurred_at = Some("2011-01-04T10:00:00Z".parse().unwrap());
    let mut text = Vec::new();
    command_client::wire::write_line(&sent, &mut text);
    let mut line: command_client::wire::CommandLine = serde_json::from_slice(&text).unwrap();
    assert_eq!((line.command_id, line.correlation_id), (Some(sent.command_id), Some(sent.correlation_id)));
    assert_eq!((line.expected_version, line.occurred_at), (Some(schemas::Version::FIRST), sent.occurred_at));
    assert_eq!(line.command().unwrap(), sent.command);
}
