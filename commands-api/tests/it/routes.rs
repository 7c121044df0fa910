//! Every route decides its command.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{App, Reply, line, pounds};

/// Calls routes by their templates and notes which.
struct Tour {
    app: App,
    seen: BTreeSet<String>,
}

impl Tour {
    /// `route` as in `POST /v1/carts/{id}/lines/{sku}`, its parameters filled from `params` in order.
    async fn call(&mut self, route: &str, params: &[&str], body: Value) -> Reply {
        self.seen.insert(route.to_owned());
        let (method, template) = route.split_once(' ').unwrap();
        let mut params = params.iter();
        let filled: Vec<&str> = template
            .split('/')
            .map(|part| if part.starts_with('{') { *params.next().unwrap() } else { part })
            .collect();
        self.app.call(method, &filled.join("/"), body).await
    }

    /// As [`Tour::call`]; the command is accepted.
    #[track_caller]
    fn accepted(reply: &Reply, status: u16, stream: &str) {
        let body = reply.is(status);
        assert_eq!((&body["outcome"], &body["stream"]), (&json!("accepted"), &json!(stream)), "{reply:?}");
        assert_eq!(reply.header("etag"), format!("\"{}\"", body["version"]));
        assert_eq!(reply.header("millrace-position"), body["position"]);
        assert_eq!(reply.header("millrace-command-id"), body["command_id"]);
        assert_eq!(body["replayed"], false);
        assert!(!reply.headers.contains_key("idempotency-replayed"));
    }

    async fn ok(&mut self, route: &str, params: &[&str], body: Value, stream: &str) {
        Self::accepted(&self.call(route, params, body).await, 200, stream);
    }

    async fn created(&mut self, route: &str, body: Value, stream: &str, location: &str) {
        let reply = self.call(route, &[], body).await;
        Self::accepted(&reply, 201, stream);
        assert_eq!(reply.header("location"), location);
    }

    async fn process(&self, lines: &[Value]) {
        for answer in self.app.bulk("process:test", lines).await {
            assert_eq!(answer["outcome"], "accepted", "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_decides_its_command() {
    let mut tour = Tour { app: App::start().await, seen: BTreeSet::new() };
    products_and_stock(&mut tour).await;
    carts(&mut tour).await;
    orders_payments_shipments(&mut tour).await;
    customers(&mut tour).await;

    let described = serde_json::to_value(commands_api::openapi()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert!(routes.remove("POST /v1/commands") && routes.remove("GET /v1/commands/{command_id}"));
    assert_eq!(tour.seen, routes);
    tour.app.stop().await;
}

async fn products_and_stock(tour: &mut Tour) {
    let mug =
        json!({"sku": "MUG", "name": "Mug", "category_path": ["Kitchen"], "attributes": {"colour": "red"}});
    tour.created("POST /v1/products", mug, "product/MUG", "/v1/products/MUG").await;
    tour.ok("PUT /v1/products/{sku}", &["MUG"], json!({"name": "Big mug"}), "product/MUG").await;
    tour.ok("POST /v1/products/{sku}/price", &["MUG"], json!({"price": pounds(255)}), "product/MUG").await;
    tour.ok("POST /v1/products/{sku}/publish", &["MUG"], Value::Null, "product/MUG").await;
    tour.ok("POST /v1/stock/{sku}/receive", &["MUG"], json!({"quantity": 100}), "stock/MUG").await;
    let broken = json!({"delta": -3, "reason": "broken"});
    tour.ok("POST /v1/stock/{sku}/adjust", &["MUG"], broken, "stock/MUG").await;
    let low = json!({"threshold": 5});
    tour.ok("POST /v1/stock/{sku}/low-stock-threshold", &["MUG"], low, "stock/MUG").await;

    let draft = tour.app.post("/v1/products", json!({"name": "Old"})).await;
    let sku = draft.is(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(sku.len(), 32);
    tour.ok("POST /v1/products/{sku}/retire", &[&sku], json!({"reason": "old"}), &format!("product/{sku}"))
        .await;
}

async fn carts(tour: &mut Tour) {
    tour.created("POST /v1/carts", json!({"id": "c1"}), "cart/c1", "/v1/carts/c1").await;
    let mugs = json!({"sku": "MUG", "quantity": 2, "unit_price": pounds(255)});
    tour.ok("POST /v1/carts/{id}/lines", &["c1"], mugs.clone(), "cart/c1").await;
    tour.ok("PUT /v1/carts/{id}/lines/{sku}", &["c1", "MUG"], json!({"quantity": 3}), "cart/c1").await;
    tour.ok("DELETE /v1/carts/{id}/lines/{sku}", &["c1", "MUG"], Value::Null, "cart/c1").await;
    tour.ok("POST /v1/carts/{id}/lines", &["c1"], mugs, "cart/c1").await;
    tour.ok("POST /v1/carts/{id}/claim", &["c1"], json!({"customer_id": "17850"}), "cart/c1").await;
    let reply = tour.call("POST /v1/carts/{id}/checkout", &["c1"], json!({"country": "GB"})).await;
    Tour::accepted(&reply, 200, "cart/c1");
    assert_eq!((&reply.body["checked_out"], &reply.body["changes"]), (&json!(true), &json!([])));
    assert_eq!(reply.body["order_id"].as_str().unwrap().len(), 32);
}

async fn orders_payments_shipments(tour: &mut Tour) {
    let mugs = json!({"id": "o1", "country": "GB", "lines": [{"sku": "MUG", "quantity": 2}]});
    tour.created("POST /v1/orders", mugs, "order/o1", "/v1/orders/o1").await;
    let request = json!({"order_id": "o1", "amount": pounds(510), "method": "sandbox"});
    let goods = json!([{"line": 1, "sku": "MUG", "quantity": 2}]);
    tour.process(&[
        line("stock", "MUG", "reserve", json!({"order_id": "o1", "line": 1, "quantity": 2})),
        line("order", "o1", "mark_reserved", json!({})),
        line("payment", "o1", "request", request),
        line("payment", "o1", "record_authorised", json!({"amount": pounds(510), "provider_reference": "a"})),
        line("order", "o1", "confirm", Value::Null),
        line("shipment", "s1", "create", json!({"order_id": "o1", "goods": goods, "carrier": "sandbox"})),
        line("shipment", "s1", "dispatch", json!({"tracking_number": "T1"})),
        line("order", "o1", "mark_shipped", json!({"shipment_id": "s1"})),
    ])
    .await;
    tour.ok(
        "POST /v1/shipments/{id}/track",
        &["s1"],
        json!({"code": "hub", "place": "Leeds"}),
        "shipment/s1",
    )
    .await;
    tour.ok("POST /v1/shipments/{id}/deliver", &["s1"], json!({"received_by": "A. Buyer"}), "shipment/s1")
        .await;

    tour.ok("POST /v1/payments/{id}/capture", &["o1"], json!({"amount": pounds(500)}), "payment/o1").await;
    let capture = tour.app.events("payment/o1").last().unwrap().1["reference"].clone();
    let captured = json!({"reference": capture, "provider_reference": "c"});
    tour.process(&[
        line("payment", "o1", "record_captured", captured),
        line("order", "o1", "mark_delivered", json!({})),
    ])
    .await;
    tour.ok("POST /v1/payments/{id}/void", &["o1"], json!({"reason": "rest"}), "payment/o1").await;
    tour.ok("POST /v1/payments/{id}/refund", &["o1"], json!({"amount": pounds(255)}), "payment/o1").await;
    let back = json!({"line": 1, "quantity": 1, "refund": pounds(255), "reference": "R1/1"});
    tour.ok("POST /v1/orders/{id}/returns", &["o1"], back, "order/o1").await;

    tour.app
        .post("/v1/orders", json!({"id": "o2", "country": "GB", "lines": [{"sku": "MUG", "quantity": 1}]}))
        .await
        .is(201);
    tour.ok("POST /v1/orders/{id}/cancel", &["o2"], Value::Null, "order/o2").await;
    tour.process(&[line(
        "shipment",
        "s2",
        "create",
        json!({"order_id": "o9", "goods": [{"line": 1, "sku": "MUG", "quantity": 1}], "carrier": "x"}),
    )])
    .await;
    tour.ok("POST /v1/shipments/{id}/fail", &["s2"], json!({"code": "lost"}), "shipment/s2").await;
}

async fn customers(tour: &mut Tour) {
    let buyer = json!({"id": "17850", "name": "A. Buyer", "emails": ["a@example.org"]});
    tour.created("POST /v1/customers", buyer, "customer/17850", "/v1/customers/17850").await;
    let stream = "customer/17850";
    tour.ok("PUT /v1/customers/{id}", &["17850"], json!({"name": "B. Buyer"}), stream).await;
    let address = json!({"name": "B. Buyer", "lines": ["1 High St"], "country": "GB"});
    tour.ok("PUT /v1/customers/{id}/addresses/{address_id}", &["17850", "home"], address, stream).await;
    tour.ok("DELETE /v1/customers/{id}/addresses/{address_id}", &["17850", "home"], Value::Null, stream)
        .await;
    let consent = json!({"purpose": "newsletter", "granted": true, "source": "form"});
    tour.ok("POST /v1/customers/{id}/consents", &["17850"], consent, stream).await;
    let viewed = json!({"kind": "viewed", "sku": "MUG"});
    tour.ok("POST /v1/customers/{id}/interactions", &["17850"], viewed, stream).await;
    tour.ok("PUT /v1/customers/{id}/tags/{tag}", &["17850", "vip"], Value::Null, stream).await;
    tour.ok("DELETE /v1/customers/{id}/tags/{tag}", &["17850", "vip"], Value::Null, stream).await;
    tour.ok("POST /v1/customers/{id}/credits", &["17850"], json!({"amount": pounds(100)}), stream).await;
}

#[tokio::test]
async fn an_id_with_a_space_is_reachable_and_located() {
    let app = App::start().await;
    let reply = app.post("/v1/products", json!({"sku": "BANK CHARGES", "name": "Bank charges"})).await;
    reply.is(201);
    assert_eq!(reply.header("location"), "/v1/products/BANK%20CHARGES");
    let reply = app.post("/v1/products/BANK%20CHARGES/price", json!({"price": pounds(1)})).await;
    assert_eq!(reply.is(200)["id"], "BANK CHARGES");
    app.stop().await;
}
