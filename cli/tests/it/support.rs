//! A running app in a folder of its own, and ways to ask it.

use std::path::Path;
use std::time::{Duration, Instant};

use millrace::{App, Config, RunningApp};
use serde_json::Value;

/// Longest wait for something that should come soon.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn config(folder: &Path) -> Config {
    Config { data_dir: folder.to_owned(), listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() }
}

pub(crate) async fn start(folder: &Path) -> RunningApp {
    App::start(config(folder)).await.unwrap()
}

pub(crate) async fn get(app: &RunningApp, path: &str) -> (u16, Value) {
    answer(reqwest::Client::new().get(format!("{}{path}", app.url()))).await
}

pub(crate) async fn post(app: &RunningApp, path: &str, body: Value) -> (u16, Value) {
    answer(reqwest::Client::new().post(format!("{}{path}", app.url())).json(&body)).await
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks until the answer is as wanted; panics with the last answer when that takes too long.
pub(crate) async fn until(app: &RunningApp, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, body) = get(app, path).await;
        if wanted(status, &body) {
            return body;
        }
        assert!(Instant::now() < deadline, "{path} still answers {status} {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A product for sale with so many units in stock.
pub(crate) async fn stock_up(app: &RunningApp, sku: &str, units: u32) {
    let steps = [
        ("/v1/products".to_owned(), serde_json::json!({"sku": sku, "name": "A mug"})),
        (
            format!("/v1/products/{sku}/price"),
            serde_json::json!({"price": {"amount_minor": 450, "currency": "GBP"}}),
        ),
        (format!("/v1/products/{sku}/publish"), serde_json::json!({})),
        (format!("/v1/stock/{sku}/receive"), serde_json::json!({"quantity": units})),
    ];
    for (path, body) in steps {
        let (status, answer) = post(app, &path, body).await;
        assert!(status < 300, "{path}: {status} {answer}");
    }
}

pub(crate) async fn order(app: &RunningApp, id: &str, sku: &str, quantity: u32) -> (u16, Value) {
    let body = serde_json::json!({
        "id": id, "country": "United Kingdom", "lines": [{"sku": sku, "quantity": quantity}]
    });
    post(app, "/v1/orders", body).await
}
