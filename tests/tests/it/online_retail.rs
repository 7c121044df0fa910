//! A real shop's history goes in over HTTP, and what comes out equals what an independent reading of the file says.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::{Shape, TestApp};

use crate::shop::{all_items, start, verify_settled};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The two weeks that the program brings with it.
pub(crate) fn sample() -> PathBuf {
    root().join("cli/sample/online-retail-two-weeks.csv.gz")
}

/// What the script that shares no code with us computes: totals, and per SKU opening and final stock.
fn expectation(file: &Path, skus: &Path) -> Option<Value> {
    let script = root().join("tests/expect_online_retail.py");
    let output = Command::new("python3").arg(script).arg(file).arg("--skus").arg(skus).arg("--json").output();
    let Ok(output) = output else {
        println!("skipped: python3 is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

async fn import(app: &TestApp, file: &Path) -> Value {
    let output = app
        .command(&["import", "online-retail", file.to_str().unwrap(), "--url", &app.url(), "--json"])
        .await;
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), app.log());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Imports the file, twice, into a fresh shop, and compares every figure with the expectation.
pub(crate) async fn imports_as_expected(app: &TestApp, file: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let skus_file = folder.path().join("skus.json");
    let Some(expected) = expectation(file, &skus_file) else { return };
    let first = import(app, file).await;
    let figures = expected.as_object().unwrap();
    assert_eq!(figures.len(), 14);
    for (name, value) in figures {
        assert_eq!(&first[name], value, "{name}");
    }
    let report = verify_settled(app).await;
    assert_eq!(report["on_hand_units"], expected["on_hand_units"]);
    assert_eq!(report["delivered_orders"], expected["orders"]);

    let second = import(app, file).await;
    assert_eq!(second["new_events"], 0, "a second import changes nothing: {second}");
    for (name, value) in figures {
        assert_eq!(&second[name], value, "{name}, second import");
    }
    let again = verify_settled(app).await;
    // Events, not records: a process manager's no-op may still be noted in the outcomes while the log counts as settled.
    assert_eq!(again["events"], report["events"], "a second import adds no event");

    let skus: Value = serde_json::from_str(&std::fs::read_to_string(&skus_file).unwrap()).unwrap();
    for (sku, expected) in skus.as_object().unwrap() {
        let first = app.get(&format!("/v1/streams/stock/{sku}?limit=1")).await.body;
        let received = &first[0]["data"];
        let opened = first[0]["type"] == "millrace.stock.received.v1";
        let opening = if opened { received["quantity"].clone() } else { 0.into() };
        assert_eq!(opening, expected["opening"], "{sku}: {first}");
    }
    let stocks = all_items(app, "/v1/stock").await;
    for stock in &stocks {
        let sku = stock["sku"].as_str().unwrap();
        assert_eq!(stock["on_hand"], skus[sku]["on_hand"], "{sku}");
        assert_eq!(stock["reserved"], 0, "{sku}");
    }
    // A SKU that never had any stock nor movement has no counters.
    let moved =
        skus.as_object().unwrap().values().filter(|sku| sku["opening"] != 0 || sku["on_hand"] != 0).count();
    assert!(stocks.len() >= moved, "{} of {moved} SKUs", stocks.len());
}

#[tokio::test]
async fn two_weeks_of_a_real_shop_import_as_an_independent_reading_says() {
    for shape in Shape::all() {
        imports_as_expected(&start(shape).await, &sample()).await;
    }
}

#[tokio::test]
async fn ten_months_of_a_real_shop_import_as_an_independent_reading_says() {
    let Some(file) = std::env::var_os("MILLRACE_RETAIL_FILE") else {
        println!("skipped: MILLRACE_RETAIL_FILE is not set");
        return;
    };
    for shape in Shape::all() {
        imports_as_expected(&start(shape).await, Path::new(&file)).await;
    }
}
