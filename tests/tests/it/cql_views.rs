//! Views on a real CQL server: filled by several projectors at once, read by processes that have none.

use std::time::Duration;

use serde_json::json;
use testkit::{Shape, TestApp, eventually};
use xtask::infra::cassandra::{self, Cassandra};

use crate::online_retail::{imports_as_expected, sample};
use crate::shop::{PROGRAM, all_items, stock_becomes, stock_up};

/// Kafka and a CQL server, where both are at hand.
fn servers() -> Option<(Shape, String)> {
    let Some(cql) = cassandra::given_address() else {
        println!("skipped: {} is not set", cassandra::ADDRESS_VARIABLE);
        return None;
    };
    Some((Shape::kafka()?, cql))
}

async fn queries(shape: &Shape, cql: &str) -> TestApp {
    TestApp::start_part(PROGRAM, shape.clone(), "query-api", &["--cql", cql]).await
}

#[tokio::test]
async fn projectors_that_overtake_each_other_and_die_leave_one_truth_on_a_cql_server() {
    let Some((shape, cql)) = servers() else { return };
    let app = TestApp::start_with(PROGRAM, shape.clone(), &["--cql", &cql]).await;
    let mut other = TestApp::start_part(PROGRAM, shape.clone(), "projector", &["--cql", &cql]).await;
    // It is killed, and asleep until the first one has its share, again and again; the group needs six seconds to notice.
    let disturbance = async {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            other.kill();
            other.launch().await;
            tokio::time::sleep(Duration::from_secs(8)).await;
            other.freeze();
            tokio::time::sleep(Duration::from_secs(7)).await;
            other.thaw();
        }
    };
    let file = sample();
    tokio::select! {
        () = imports_as_expected(&app, &file) => {}
        () = disturbance => {}
    }
    drop(other);

    // Without the projectors, what they wrote is all there is.
    let (stock, products) = (all_items(&app, "/v1/stock").await, all_items(&app, "/v1/products").await);
    let totals = app.get("/v1/reports/totals").await.ok();
    drop(app);
    let reader = queries(&shape, &cql).await;
    assert_eq!(all_items(&reader, "/v1/stock").await, stock);
    assert_eq!(all_items(&reader, "/v1/products").await, products);
    assert_eq!(reader.get("/v1/reports/totals").await.ok(), totals);
    assert!(!stock.is_empty() && !products.is_empty());
}

/// The partitions that a process projects.
async fn share(app: &TestApp) -> Vec<u64> {
    let status = app.get("/admin/v1/status").await.ok();
    let lag = status["lag"].as_array().unwrap().iter();
    lag.map(|lag| lag["partition"].as_u64().unwrap()).collect()
}

/// The stock at a position, however often it has to be asked for: a share that has just moved may take longer than a query
/// waits, also because the one that sleeps may hold the lock on the schema.
async fn stock_at(app: &TestApp, position: &str) -> serde_json::Value {
    eventually("the stock is seen", || async {
        let answer = app.get_at("/v1/stock/S1", position).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await
}

#[tokio::test]
async fn projectors_share_the_partitions_and_one_that_sleeps_loses_its_own() {
    let Some((shape, cql)) = servers() else { return };
    let flags = ["--cql", &cql, "--parts", "commands-api,process-managers,query-api"];
    // Without a projector of its own.
    let app = TestApp::start_with(PROGRAM, shape.clone(), &flags).await;
    assert!(share(&app).await.is_empty());
    let first = TestApp::start_part(PROGRAM, shape.clone(), "projector", &["--cql", &cql]).await;
    eventually("one has all", || async { (share(&first).await == [0, 1]).then_some(()) }).await;
    let second = TestApp::start_part(PROGRAM, shape.clone(), "projector", &["--cql", &cql]).await;
    eventually("each has one", || async {
        let both = [share(&first).await, share(&second).await];
        (both.concat().len() == 2 && both.iter().all(|share| share.len() == 1)).then_some(())
    })
    .await;
    stock_up(&app, "S1", 500, 1).await;
    stock_becomes(&app, "S1", 1, 0, 1).await;
    second.freeze();
    eventually("the one that is awake has all", || async { (share(&first).await == [0, 1]).then_some(()) })
        .await;
    let mut position = String::new();
    for _ in 0..20 {
        let answer = app.post("/v1/stock/S1/receive", json!({"quantity": 1})).await;
        position = answer.header("millrace-position").to_owned();
        answer.ok();
    }
    assert_eq!(stock_at(&app, &position).await["on_hand"], 21);
    second.thaw();
    eventually("they share again", || async {
        let both = [share(&first).await, share(&second).await];
        (both.iter().all(|share| share.len() == 1)).then_some(())
    })
    .await;
    let answer = app.post("/v1/stock/S1/receive", json!({"quantity": 1})).await;
    let position = answer.header("millrace-position").to_owned();
    answer.ok();
    assert_eq!(stock_at(&app, &position).await["on_hand"], 22);
    let url = first.url();
    let verified = first.command(&["verify", "--views", "--url", &url]).await;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test]
async fn a_process_without_a_projector_waits_for_the_position_that_is_asked_of_it() {
    let Some((shape, cql)) = servers() else { return };
    let app = TestApp::start_with(PROGRAM, shape.clone(), &["--cql", &cql]).await;
    let reader = queries(&shape, &cql).await;
    stock_up(&app, "S1", 500, 1).await;
    for units in 2..20 {
        let answer = app.post("/v1/stock/S1/receive", json!({"quantity": 1})).await;
        let position = answer.header("millrace-position").to_owned();
        assert!(!position.is_empty(), "{answer:?}");
        let stock = reader.get_at("/v1/stock/S1", &position).await.ok();
        assert_eq!(stock["on_hand"], units, "{stock}");
    }
    let status = reader.get("/health/ready").await;
    assert!(status.body.to_string().contains("views"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cql_server_that_dies_takes_no_command_with_it_and_the_views_go_on_by_themselves() {
    let Some((shape, _)) = servers() else { return };
    let mut server = Cassandra::start_own("views-die").unwrap();
    let app = TestApp::start_with(PROGRAM, shape, &["--cql", server.address()]).await;
    stock_up(&app, "S1", 500, 1).await;
    stock_becomes(&app, "S1", 1, 0, 1).await;

    server.kill().unwrap();
    let mut position = String::new();
    for _ in 0..20 {
        let answer = app.post("/v1/stock/S1/receive", json!({"quantity": 1})).await;
        position = answer.header("millrace-position").to_owned();
        answer.ok();
    }
    let away = eventually("queries say that the views are away", || async {
        let answer = app.get("/v1/stock/S1").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((away.status, &away.body["code"]), (503, &json!("read_model_unavailable")));
    assert!(!away.header("retry-after").is_empty(), "{away:?}");

    server.bring_back().unwrap();
    let stock = eventually("the views have what was done meanwhile", || async {
        let answer = app.get_at("/v1/stock/S1", &position).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(stock["on_hand"], 21, "{stock}");
}
