//! The port over HTTP and in process: both give the same answers.

use std::sync::Arc;

use command_client::{
    Commands, HttpCommands, HttpCommandsConfig, RetryPolicy, SubmitError, submit_with_retries,
};
use commands_api::Shards;
use schemas::stock::{AdjustStock, AdjustmentKind, ReceiveStock, ReserveStock, StockCommand};
use schemas::{Command, CommandEnvelope, CommandId, ErrorCode, OrderId, Outcome, Principal, Quantity, Sku};
use service_kit::Tasks;
use uuid::Uuid;

use crate::harness::{App, SOON};

fn envelope(id: u128, sku: &str, body: StockCommand) -> CommandEnvelope {
    let command = Command::Stock { id: Sku::new(sku).unwrap(), body };
    CommandEnvelope::new(CommandId::new(Uuid::from_u128(id)), Principal::process("checkout"), command)
}

fn receive(units: i64) -> StockCommand {
    StockCommand::Receive(ReceiveStock { quantity: Quantity::new(units).unwrap(), reference: None })
}

async fn http(app: &App) -> HttpCommands {
    let url = format!("http://{}", app.listen().await);
    HttpCommands::start(&app.tasks, HttpCommandsConfig { url, ..HttpCommandsConfig::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ports_give_the_same_outcomes_for_the_same_ids() {
    let app = App::start().await;
    let ports: [Arc<dyn Commands>; 2] =
        [Arc::new(Shards::alone(app.host.clone(), SOON)), Arc::new(http(&app).await)];
    let reserve = StockCommand::Reserve(ReserveStock {
        order_id: OrderId::new("o").unwrap(),
        line: 1,
        quantity: Quantity::new(3).unwrap(),
    });
    let adjust = StockCommand::Adjust(AdjustStock {
        delta: -100,
        kind: AdjustmentKind::Correction,
        reason: "lost".to_owned(),
        reference: "r".parse().unwrap(),
    });
    let commands = [
        envelope(1, "A", receive(5)),
        envelope(2, "A", reserve.clone()),
        envelope(3, "A", reserve),
        envelope(4, "A", adjust),
    ];
    for (first, second) in [(0, 1), (1, 0)] {
        for command in &commands {
            let mut command = command.clone();
            if first == 1 {
                let Command::Stock { id, .. } = &mut command.command else { unreachable!() };
                *id = Sku::new("B").unwrap();
                command.command_id =
                    CommandId::new(Uuid::from_u128(command.command_id.as_uuid().as_u128() + 100));
            }
            let decided = ports[first].submit(command.clone()).await.unwrap();
            let repeated = ports[second].submit(command.clone()).await.unwrap();
            assert_eq!((decided.replayed, repeated.replayed), (false, true));
            assert_eq!((decided.command_id, &decided.outcome), (command.command_id, &repeated.outcome));
        }
    }
    let rejected = ports[1].submit(commands[3].clone()).await.unwrap().outcome;
    assert!(
        matches!(rejected, Outcome::Rejected(rejection) if rejection.code == ErrorCode::InsufficientStock)
    );
    for port in &ports {
        let error = port.submit(envelope(1, "A", receive(6))).await.unwrap_err();
        assert!(
            matches!(error, SubmitError::KeyReused { command_id } if command_id == commands[0].command_id),
            "{error}"
        );
    }
    drop(ports);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_submissions_each_get_their_own_answer() {
    let app = App::start().await;
    let http = http(&app).await;
    let submissions = (0..500_u128).map(|i| {
        let http = http.clone();
        async move {
            let answer = http.submit(envelope(i, &format!("S{i}"), receive(1 + i as i64))).await.unwrap();
            (i, answer)
        }
    });
    for (i, answer) in futures::future::join_all(submissions).await {
        assert_eq!(answer.command_id, CommandId::new(Uuid::from_u128(i)));
        assert!(matches!(answer.outcome, Outcome::Accepted(accepted) if accepted.version.get() == 1));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_command_that_its_sender_may_not_send_is_invalid_and_not_repeated() {
    let app = App::start().await;
    let http = http(&app).await;
    let mut envelope = envelope(1, "A", receive(1));
    envelope.principal = Principal::new("clerk").unwrap();
    envelope.occurred_at = Some("2011-01-04T10:00:00Z".parse().unwrap());
    let error = submit_with_retries(&http, envelope, &RetryPolicy::default()).await.unwrap_err();
    assert!(matches!(error, SubmitError::Invalid { code: ErrorCode::Forbidden, .. }), "{error}");
    app.stop().await;
}

#[tokio::test]
async fn an_api_that_is_not_there_was_sent_nothing_and_a_stopped_client_says_so() {
    let tasks = Tasks::new();
    // Port 1 is reserved and nobody listens there.
    let config = HttpCommandsConfig { url: "http://127.0.0.1:1".to_owned(), ..HttpCommandsConfig::default() };
    let http = HttpCommands::start(&tasks, config).unwrap();
    let error = http.submit(envelope(1, "A", receive(1))).await.unwrap_err();
    assert!(matches!(&error, SubmitError::ShardUnavailable), "no connection, no doubt: {error}");
    tasks.shutdown(SOON).await.unwrap();
    let error = http.submit(envelope(1, "A", receive(1))).await.unwrap_err();
    assert!(matches!(error, SubmitError::ShuttingDown), "{error}");
}
