//! Prices come from the shop, unless an importer states them.

use aggregate_host::HostConfig;
use commands_api::{CommandsApiConfig, TaxRates};
use serde_json::{Value, json};

use crate::harness::{App, pounds};

const IMPORTER: (&str, &str) = ("millrace-principal", "importer");

fn order(lines: Value) -> Value {
    json!({"id": "o", "country": "GB", "lines": lines})
}

#[tokio::test]
async fn an_order_takes_names_prices_and_tax_from_the_products() {
    let tax = TaxRates { standard_basis_points: 2_000, reduced_basis_points: 0 };
    let app =
        App::start_with(CommandsApiConfig { tax, ..CommandsApiConfig::default() }, HostConfig::default())
            .await;
    app.sell("A", 120, 10).await;
    app.post("/v1/orders", order(json!([{"sku": "A", "quantity": 3}, {"sku": "A", "quantity": 1}])))
        .await
        .is(201);
    let (_, placed) = app.events("order/o").pop().unwrap();
    assert_eq!((&placed["channel"], &placed["payment_method"]), (&json!("web"), &json!("sandbox")));
    assert_eq!((&placed["total"], &placed["tax"]), (&pounds(480), &pounds(80)));
    let line = &placed["lines"][0];
    assert_eq!(
        (&line["name"], &line["unit_price"], &line["tax"]),
        (&json!("Product A"), &pounds(120), &pounds(60))
    );
    assert_eq!(
        (&line["kind"], &line["line"], &placed["lines"][1]["line"]),
        (&json!("goods"), &json!(1), &json!(2))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_line_that_cannot_be_sold_is_named() {
    let app = App::start().await;
    app.sell("A", 100, 1).await;
    app.post("/v1/products", json!({"sku": "DRAFT", "name": "Draft"})).await.is(201);
    let place = |sku: &'static str, currency: &'static str| {
        let mut body = order(json!([{"sku": "A", "quantity": 1}, {"sku": sku, "quantity": 1}]));
        body["currency"] = currency.into();
        app.post("/v1/orders", body)
    };
    for (sku, currency, line, status, code) in [
        ("NONE", "GBP", 2, 404, "product_not_found"),
        ("DRAFT", "GBP", 2, 409, "product_not_published"),
        ("A", "EUR", 1, 409, "product_not_priced"),
    ] {
        let reply = place(sku, currency).await;
        assert_eq!(reply.is_problem(status, code)["line"], line);
        assert!(reply.body["hint"].is_string());
    }
    assert!(app.events("order/o").is_empty());
    app.stop().await;
}

#[tokio::test]
async fn stating_a_price_or_a_past_time_needs_the_import_permission() {
    let app = App::start().await;
    app.sell("A", 100, 1).await;
    let cheap =
        order(json!([{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 1, "unit_price": pounds(1)}]));
    let reply = app.post("/v1/orders", cheap.clone()).await;
    let problem = reply.is_problem(403, "forbidden");
    assert_eq!((&problem["line"], &problem["field"]), (&json!(2), &json!("unit_price")));
    let mut past = order(json!([{"sku": "A", "quantity": 1}]));
    past["occurred_at"] = "2011-01-04T10:00:00Z".into();
    app.post("/v1/orders", past.clone()).await.is_problem(403, "forbidden");
    assert!(app.events("order/o").is_empty());

    past["lines"] = json!([{"sku": "NOT A PRODUCT", "quantity": 2, "unit_price": pounds(50), "name": "Old thing",
                            "discount": pounds(10), "kind": "service", "tax": pounds(3)}]);
    app.call_with(&[IMPORTER], "POST", "/v1/orders", past).await.is(201);
    let (metadata, placed) = app.events("order/o").pop().unwrap();
    assert_eq!(metadata.occurred_at.to_string(), "2011-01-04T10:00:00.000Z");
    assert_eq!((&placed["total"], &placed["tax"]), (&pounds(90), &pounds(3)));
    assert_eq!(
        (&placed["lines"][0]["name"], &placed["lines"][0]["kind"]),
        (&json!("Old thing"), &json!("service"))
    );
    app.stop().await;
}

#[tokio::test]
async fn an_importer_may_leave_prices_to_the_shop() {
    let app = App::start().await;
    app.sell("A", 100, 1).await;
    let body =
        order(json!([{"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 1, "unit_price": pounds(7)}]));
    app.call_with(&[IMPORTER], "POST", "/v1/orders", body).await.is(201);
    let (_, placed) = app.events("order/o").pop().unwrap();
    assert_eq!((&placed["total"], &placed["lines"][1]["name"]), (&pounds(107), &json!("B")));
    app.stop().await;
}

#[tokio::test]
async fn orders_without_lines_or_with_too_many_are_refused() {
    let app = App::start().await;
    app.post("/v1/orders", order(json!([]))).await.is_problem(422, "order_empty");
    let lines: Vec<_> = (0..2_001).map(|_| json!({"sku": "A", "quantity": 1})).collect();
    let reply = app.post("/v1/orders", order(lines.into())).await;
    assert_eq!(reply.is_problem(422, "order_too_long")["lines_max"], 2_000);
    app.stop().await;
}

#[tokio::test]
async fn an_order_that_stands_with_other_content_is_not_overwritten() {
    let app = App::start().await;
    app.sell("A", 100, 1).await;
    app.post("/v1/orders", order(json!([{"sku": "A", "quantity": 1}]))).await.is(201);
    app.post("/v1/orders", order(json!([{"sku": "A", "quantity": 2}]))).await.is_problem(409, "order_exists");
    app.post("/v1/orders", order(json!([{"sku": "NONE", "quantity": 2}])))
        .await
        .is_problem(409, "order_exists");
    assert_eq!(
        app.post("/v1/orders", order(json!([{"sku": "A", "quantity": 1}]))).await.is(200)["outcome"],
        "unchanged"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_product_of_kind_service_is_sold_as_one() {
    let app = App::start().await;
    let post = json!({"sku": "POST", "name": "Postage", "attributes": {"kind": "service"}});
    app.post("/v1/products", post).await.is(201);
    app.post("/v1/products/POST/price", json!({"price": pounds(300)})).await.is(200);
    app.post("/v1/products/POST/publish", Value::Null).await.is(200);
    app.post("/v1/orders", order(json!([{"sku": "POST", "quantity": 1}]))).await.is(201);
    assert_eq!(app.events("order/o").pop().unwrap().1["lines"][0]["kind"], "service");
    app.stop().await;
}

#[tokio::test]
async fn the_longest_order_fits_a_record_of_the_log_and_a_longer_one_is_refused_by_name() {
    let app = App::start().await;
    let long = "字".repeat(300);
    let address = json!({"name": long, "lines": vec![&long; 100], "city": long, "country": "GB"});
    for (name, fits) in [("n".repeat(179), true), (long.clone(), false)] {
        let sku = format!("{}{}", if fits { "F" } else { "L" }, "S".repeat(127));
        app.post("/v1/products", json!({"sku": sku, "name": name})).await.is(201);
        app.post(&format!("/v1/products/{sku}/price"), json!({"price": pounds(1)})).await.is(200);
        app.post(&format!("/v1/products/{sku}/publish"), Value::Null).await.is(200);
        let lines = vec![json!({"sku": sku, "quantity": 1}); schemas::order::LINES_MAX];
        let mut body = json!({"country": "GB", "lines": lines, "shipping_address": address});
        body["email"] = "e".repeat(320).into();
        let reply = app.post("/v1/orders", body).await;
        if fits {
            reply.is(201);
        } else {
            assert_eq!(reply.is_problem(422, "invalid_value")["field"], "lines");
        }
    }
    app.stop().await;
}
