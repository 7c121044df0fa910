//! The views of a running shop under an operator's hands: poison, rebuilds, falsified rows. On every shape; where a CQL server is
//! at hand, the views of the kafka shape are on it.

use std::sync::Arc;

use event_log::{
    Batch, EmbeddedConfig, EmbeddedLog, Headers, KafkaConfig, KafkaLog, Log, LogConfig, NewRecord, Shard,
    partition_for,
};
use schemas::{AggregateType, Timestamp};
use serde_json::{Value, json};
use testkit::{Shape, TestApp, eventually};
use xtask::infra::cassandra;

use crate::shop::{PROGRAM, place, stock_becomes, stock_up};

/// The shapes, with the flags for their views.
fn shapes() -> Vec<(Shape, Vec<String>)> {
    let flags = |shape: &Shape| match (shape, cassandra::given_address()) {
        (Shape::Kafka { .. }, Some(cql)) => vec!["--cql".to_owned(), cql],
        _ => Vec::new(),
    };
    Shape::all().into_iter().map(|shape| (shape.clone(), flags(&shape))).collect()
}

/// On a machine that is busy with other tests a read of one's own write may take longer than the two seconds of the default.
const PATIENT: (&str, &str) = ("MILLRACE_QUERY_API_MIN_POSITION_WAIT_MS", "8000");

async fn start((shape, flags): (Shape, Vec<String>)) -> TestApp {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    TestApp::start_with(PROGRAM, shape, &flags).await
}

/// Appends a record that is no event to the orders' topic, as a foreign producer may; the process must have ended.
fn poison(app: &TestApp, key: &str) -> String {
    let log: Arc<dyn Log> = match app.shape() {
        Shape::Embedded => {
            let path = app.data_dir().join("log");
            let log = LogConfig { partitions: 2, ..LogConfig::default() };
            Arc::new(EmbeddedLog::open(EmbeddedConfig { path, log, ..EmbeddedConfig::default() }).unwrap())
        }
        Shape::Kafka { bootstrap, namespace } => {
            let log = LogConfig { namespace: namespace.clone(), partitions: 2, ..LogConfig::default() };
            let bootstrap_servers = bootstrap.clone();
            Arc::new(
                KafkaLog::open(KafkaConfig { log, bootstrap_servers, ..KafkaConfig::default() }).unwrap(),
            )
        }
    };
    let partition = partition_for(key.as_bytes(), log.partitions());
    let record = NewRecord {
        topic: log.topics().events(AggregateType::Order).clone(),
        partition,
        key: key.to_owned().into(),
        headers: Headers::new(),
        value: "nonsense".into(),
        timestamp: Timestamp::from_millis(1_700_000_000_000),
    };
    let mut writer = log.open_writer(Shard::new(partition)).unwrap();
    let position = writer.append(Batch::of(vec![record])).unwrap().position(0).to_string();
    drop(writer);
    log.close();
    position
}

/// Runs a command against the process; its exit code and what it printed.
async fn operate(app: &TestApp, arguments: &[&str]) -> (i32, String) {
    let url = app.url();
    let output = app.command(&[arguments, &["--url", &url]].concat()).await;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), text)
}

async fn delivered(app: &TestApp, order: &str) {
    eventually("the order is delivered", || async {
        (app.get(&format!("/v1/orders/{order}")).await.body["status"] == "delivered").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_no_event_parks_one_order_until_an_operator_skips_it() {
    for shape in shapes() {
        let mut app = start(shape).await;
        stock_up(&app, "S1", 500, 100).await;
        let victim = place(&app, "S1", 1, "sandbox").await;
        delivered(&app, &victim).await;
        assert!(app.terminate().success(), "{}", app.log());
        let position = poison(&app, &victim);
        app.set_variables(&[PATIENT]);
        app.launch().await;

        // The shop sells on, and everybody sees it but for the order with the broken record.
        let mut orders = Vec::new();
        for _ in 0..6 {
            orders.push(place(&app, "S1", 1, "sandbox").await);
        }
        for order in &orders {
            delivered(&app, order).await;
        }
        let back = json!({"reference": "R1", "line": 1, "quantity": 1, "refund": {"amount_minor": 500, "currency": "GBP"}});
        let answer = app.post(&format!("/v1/orders/{victim}/returns"), back).await;
        let told = answer.header("millrace-position").to_owned();
        answer.ok();
        // The order's document has come to that position, without the return: that waits.
        let parked = app.get_at(&format!("/v1/orders/{victim}"), &told).await.ok();
        assert_eq!(parked["refunded"]["amount_minor"], 0, "{parked}");
        stock_becomes(&app, "S1", 94, 0, 94).await;
        let ready = app.get("/health/ready").await;
        assert_eq!(ready.status, 200);
        assert!(ready.body.to_string().contains("dead letters"), "{ready:?}");
        let (code, listed) = operate(&app, &["projections"]).await;
        assert!(code == 1 && listed.contains("dead letters: 1 parked"), "{code} {listed}");
        // Sums wait in front of it, with their partition.
        let totals = async || app.get_at("/v1/reports/totals", &told).await.status;
        assert_eq!(totals().await, 503);
        let (code, listed) = operate(&app, &["dead-letters", "list"]).await;
        assert_eq!(code, 1, "{listed}");
        let order_letter = format!("order_v1/{position}");
        assert!(listed.contains(&order_letter) && listed.contains("holding"), "{listed}");
        let (code, shown) = operate(&app, &["dead-letters", "show", &order_letter]).await;
        assert!(code == 0 && shown.contains("cannot be read as an event"), "{shown}");

        let (code, said) = operate(&app, &["dead-letters", "retry", &order_letter]).await;
        assert!(code == 1 && said.contains("still cannot be taken"), "{said}");
        let (code, said) = operate(&app, &["dead-letters", "skip", &order_letter]).await;
        assert!(code == 0 && said.contains("left out for ever"), "{said}");
        let settled = eventually("the return is seen", || async {
            let order = app.get(&format!("/v1/orders/{victim}")).await.body;
            (order["refunded"]["amount_minor"] == 500).then_some(order)
        })
        .await;
        assert_eq!(settled["status"], "delivered", "{settled}");
        for line in listed.lines().filter(|line| line.starts_with("parked") || line.starts_with("holding")) {
            let id = line.split_whitespace().nth(1).unwrap();
            if id != order_letter {
                let (code, said) = operate(&app, &["dead-letters", "skip", id]).await;
                assert_eq!(code, 0, "{said}");
            }
        }
        eventually("the totals go on", || async { (totals().await == 200).then_some(()) }).await;
        let (code, listed) = operate(&app, &["projections"]).await;
        assert!(code == 0 && listed.contains("1 skipped"), "{listed}");
        // A fold from nothing leaves it out, too.
        let (code, said) = operate(&app, &["verify", "--views"]).await;
        assert_eq!(code, 0, "{said}");
        let healthy = app.get("/health/ready").await.body.to_string();
        assert!(!healthy.contains("dead letters"), "{healthy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_rebuilt_under_load_and_across_a_kill_and_no_reader_is_failed_or_shown_the_past() {
    for shape in shapes() {
        let mut app = start(shape).await;
        stock_up(&app, "S1", 500, 1_000).await;
        for _ in 0..20 {
            place(&app, "S1", 1, "sandbox").await;
        }
        let view = app.post("/admin/v1/projections/stock/build?purpose=replace", Value::Null).await;
        assert_eq!(view.ok()["building"]["generation"], 2);
        app.kill();
        app.set_variables(&[PATIENT]);
        app.launch().await;
        // One goes on receiving and reads its own writes; the rebuild of all other views begins under it.
        let busy = async {
            let mut last = 0;
            for round in 0..150 {
                let answer = app.post("/v1/stock/S1/receive", json!({"quantity": 1})).await;
                let told = answer.header("millrace-position").to_owned();
                answer.ok();
                let seen = app.get_at("/v1/stock/S1", &told).await.ok()["version"].as_u64().unwrap();
                assert!(seen > last, "round {round}: {seen} after {last}");
                last = seen;
            }
        };
        let rebuilds = async {
            eventually("what was begun before the kill serves", async || {
                let stock = app.get("/admin/v1/projections/stock").await.ok();
                (stock["state"]["serving"] == 2).then_some(())
            })
            .await;
            for view in ["order", "totals_by_day", "stream"] {
                let (code, said) = operate(&app, &["rebuild", view]).await;
                assert!(code == 0 && said.contains("generation 2 serves"), "{said}");
            }
        };
        tokio::join!(busy, rebuilds);
        let (code, said) = operate(&app, &["verify", "--views"]).await;
        assert_eq!(code, 0, "{said}");
        for view in ["stock", "order"] {
            let (code, said) = operate(&app, &["rebuild", view, "--drop"]).await;
            assert_eq!(code, 0, "{said}");
        }
        let (code, said) = operate(&app, &["rebuild", "stock", "--drop"]).await;
        assert_eq!(code, 2, "{said}");
        assert!(app.terminate().success(), "{}", app.log());
        app.launch().await;
        let (_, listed) = operate(&app, &["projections"]).await;
        let stock = listed.lines().find(|line| line.starts_with("stock_v1")).unwrap().to_owned();
        assert_eq!(stock.split_whitespace().nth(1), Some("2"), "{listed}");
    }
}
