//! Steps that many scenarios share.

use serde_json::{Value, json};
use testkit::{Shape, TestApp, eventually};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_millrace-under-test");

pub(crate) async fn start(shape: Shape) -> TestApp {
    TestApp::start(PROGRAM, shape).await
}

/// A shop that never runs out of patience with its own process managers.
pub(crate) async fn start_patiently(shape: Shape) -> TestApp {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/patient.toml");
    TestApp::start_with(PROGRAM, shape, &["--config", config]).await
}

/// The configuration of a patient shop that writes its state store all the time.
pub(crate) const HASTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hasty.toml");

/// What a randomised scenario follows from: `MILLRACE_SEED`, or the scenario's own.
pub(crate) fn seed(own: u64) -> u64 {
    std::env::var("MILLRACE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(own)
}

/// How often a proof repeats a scenario, or how often it disturbs it; none: no proof is asked for, a short round will do.
pub(crate) fn rounds() -> Option<u32> {
    std::env::var("MILLRACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok())
}

/// How many records the log has (on Kafka transaction markers count, too).
pub(crate) async fn log_records(app: &TestApp) -> u64 {
    let summary = app.get("/admin/v1/log").await.ok();
    let topics = summary["topics"].as_array().unwrap();
    let ends = topics.iter().flat_map(|topic| topic["stable_ends"].as_array().unwrap());
    ends.map(|end| end.as_u64().unwrap()).sum()
}

/// A product on sale with units in the house.
pub(crate) async fn stock_up(app: &TestApp, sku: &str, price_minor: i64, units: i64) {
    app.post("/v1/products", json!({"sku": sku, "name": format!("Product {sku}")})).await.ok();
    let price = json!({"price": {"amount_minor": price_minor, "currency": "GBP"}});
    app.post(&format!("/v1/products/{sku}/price"), price).await.ok();
    app.post(&format!("/v1/products/{sku}/publish"), json!({})).await.ok();
    if units > 0 {
        app.post(&format!("/v1/stock/{sku}/receive"), json!({"quantity": units})).await.ok();
    }
}

/// Places an order of one line; returns its id.
pub(crate) async fn place(app: &TestApp, sku: &str, quantity: i64, payment_method: &str) -> String {
    let order = json!({
        "country": "United Kingdom", "payment_method": payment_method,
        "lines": [{"sku": sku, "quantity": quantity}],
    });
    let body = app.post("/v1/orders", order).await.ok();
    let stream = body["stream"].as_str().unwrap_or_else(|| panic!("{body}"));
    stream.trim_start_matches("order/").to_owned()
}

/// Waits until the order has ended; returns its document.
pub(crate) async fn ended(app: &TestApp, order: &str) -> Value {
    let path = format!("/v1/orders/{order}");
    eventually(&format!("order {order} ends"), || async {
        let answer = app.get(&path).await;
        let status = answer.body["status"].as_str().unwrap_or_default().to_owned();
        matches!(status.as_str(), "delivered" | "cancelled").then_some(answer.body)
    })
    .await
}

/// Everything under a path, page after page.
pub(crate) async fn all_items(app: &TestApp, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = app.get(&format!("{path}?limit=1000{cursor}")).await.ok();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// Waits until the stock counters are as told.
pub(crate) async fn stock_becomes(app: &TestApp, sku: &str, on_hand: i64, reserved: i64, available: i64) {
    let path = format!("/v1/stock/{sku}");
    let wanted = json!([on_hand, reserved, available]);
    eventually(&format!("stock of {sku} becomes {wanted}"), || async {
        let body = app.get(&path).await.body;
        (json!([body["on_hand"], body["reserved"], body["available"]]) == wanted).then_some(())
    })
    .await;
}

/// Waits until the platform has come to rest, then checks the whole log.
pub(crate) async fn verify_settled(app: &TestApp) -> Value {
    eventually("the log is clean and settled", || async {
        let output = app.command(&["verify", "--url", &app.url(), "--settled", "--json"]).await;
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}{}", String::from_utf8_lossy(&output.stderr), app.log()));
        // What is still under way is a violation only under --settled, and goes away by itself.
        let only_unsettled = report["violation_count"] == report["unsettled"];
        assert!(only_unsettled, "{report:#}");
        output.status.success().then_some(report)
    })
    .await
}
