//! Start, sale, stop, start again.

use std::sync::Arc;

use event_log::EmbeddedLog;
use millrace::App;

use crate::support::{config, get, order, start, stock_up, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_over_http_is_delivered_and_a_restart_on_the_same_folder_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    assert_eq!(get(&app, "/health/ready").await.0, 200);
    stock_up(&app, "MUG", 10).await;
    let (status, placed) = order(&app, "o-1", "MUG", 2).await;
    assert_eq!(status, 201, "{placed}");
    let delivered = until(&app, "/v1/orders/o-1", |_, order| order["status"] == "delivered").await;
    assert_eq!(delivered["lines"][0]["quantity"], 2);
    let stock = until(&app, "/v1/stock/MUG", |_, stock| stock["on_hand"] == 8).await;
    assert_eq!((stock["reserved"].as_i64(), stock["available"].as_i64()), (Some(0), Some(8)));
    app.shutdown().await.unwrap();

    let app = start(folder.path()).await;
    until(&app, "/v1/orders/o-1", |_, order| order["status"] == "delivered").await;
    // The write side knows it too: the same command again is answered as done, another order under its id is refused.
    let (status, again) = order(&app, "o-1", "MUG", 3).await;
    assert_eq!((status, again["code"].as_str()), (409, Some("order_exists")), "{again}");
    let (status, second) = order(&app, "o-2", "MUG", 8).await;
    assert_eq!(status, 201, "{second}");
    until(&app, "/v1/orders/o-2", |_, order| order["status"] == "delivered").await;
    app.shutdown().await.unwrap();

    let log = Arc::new(EmbeddedLog::open(log_config(folder.path())).unwrap());
    let report = millrace::verify_log(&*log, true).unwrap();
    assert!(report.is_clean(), "{report}");
}

fn log_config(folder: &std::path::Path) -> event_log::EmbeddedConfig {
    event_log::EmbeddedConfig { path: folder.join("log"), ..event_log::EmbeddedConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_same_folder_says_that_it_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let app = start(folder.path()).await;
    let error = App::start(config(folder.path())).await.err().unwrap();
    assert!(format!("{error:#}").contains("is in use by another process"), "{error:#}");
    app.shutdown().await.unwrap();
    start(folder.path()).await.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = millrace::Config { listen: taken.local_addr().unwrap(), ..config(folder.path()) };
    let error = App::start(config).await.err().unwrap();
    assert!(error.to_string().contains("is in use"), "{error:#}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_keeps_its_number_of_partitions_and_refuses_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let three = millrace::Config { partitions: 3, ..config(folder.path()) };
    App::start(three).await.unwrap().shutdown().await.unwrap();
    let app = start(folder.path()).await;
    assert_eq!(app.host().unwrap().partitions(), 3, "whoever says no number gets the log's");
    app.shutdown().await.unwrap();
    let four = millrace::Config { partitions: 4, ..config(folder.path()) };
    let error = format!("{:#}", App::start(four).await.err().unwrap());
    assert!(error.contains("partitions of the log is 3, the configuration says 4"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_served_alone_against_kafka_only() {
    let folder = tempfile::tempdir().unwrap();
    let error = App::start_part(config(folder.path()), millrace::Part::Projector).await.err().unwrap();
    assert!(error.to_string().contains("--kafka is missing"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = millrace::Config { kafka: "127.0.0.1:1".to_owned(), ..config(folder.path()) };
    config.kafka_log.request_timeout_ms = 300;
    let error = App::start(config).await.err().unwrap();
    assert!(format!("{error:#}").contains("no Kafka broker answers at 127.0.0.1:1"), "{error:#}");
}
