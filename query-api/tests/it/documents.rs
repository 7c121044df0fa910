//! Single documents: passed through or joined, with position and version; what is not there is a problem.

use axum::http::StatusCode;
use projections::test_support::{Ending, Recorder, pounds};
use schemas::customer::CreditKind;
use schemas::{CustomerId, OrderId, Sku};

use crate::bed::{Bed, PARTITIONS};

fn shop() -> Recorder {
    let mut shop = Recorder::new(PARTITIONS);
    let (heart, bank) = (Sku::new("85123A").unwrap(), Sku::new("BANK CHARGES").unwrap());
    let customer = CustomerId::new("17850").unwrap();
    shop.product(&heart, "heart", pounds(100));
    shop.receive(&heart, 100);
    shop.receive(&bank, 5);
    shop.customer(&customer, "A. Buyer");
    let order = |n: &str| OrderId::new(n).unwrap();
    shop.order(&order("1"), Some(&customer), &[(&heart, 3)], Ending::Returned);
    shop.order(&order("2"), Some(&customer), &[(&heart, 1)], Ending::Declined);
    shop.order(&order("3"), None, &[(&heart, 4)], Ending::Placed);
    shop.credit(&customer, pounds(250), pounds(250), CreditKind::Note, "A1/1");
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_with_the_positions_they_reflect_and_their_version() {
    let shop = shop();
    let bed = Bed::with(&shop).await;
    let product = bed.get("/v1/products/85123A").await;
    assert_eq!(product.status, StatusCode::OK);
    assert_eq!(product.header("content-type"), "application/json");
    assert_eq!(product.header("etag"), "\"3\"");
    assert!(product.header("millrace-position").contains(product.body["position"].as_str().unwrap()));
    assert_eq!(product.body["status"], "published");
    assert_eq!(product.body["prices"][0]["amount_minor"], 100);

    let stock = bed.get("/v1/stock/85123A").await.body;
    assert_eq!(
        (&stock["on_hand"], &stock["reserved"], &stock["available"]),
        (&98.into(), &0.into(), &98.into())
    );
    // Ids may hold spaces.
    assert_eq!(bed.get("/v1/stock/BANK%20CHARGES").await.body["on_hand"], 5);

    assert_eq!(bed.get("/v1/payments/1").await.body["balance"]["refunded"], 100);
    assert_eq!(bed.get("/v1/shipments/1-s1").await.body["status"], "delivered");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_document_already_gets_no_body() {
    let bed = Bed::with(&shop()).await;
    for path in
        ["/v1/products/85123A", "/v1/orders/1", "/v1/customers/17850", "/v1/stock", "/v1/streams/order/1"]
    {
        let first = bed.get(path).await;
        let tag = first.header("etag").to_owned();
        assert!(!tag.is_empty(), "{path}");
        let again = bed.get_with(path, &[("if-none-match", &format!("\"other\", {tag}"))]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
        assert!(again.body.is_null(), "{path}: {}", again.body);
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("millrace-position"), first.header("millrace-position"));
        let other = bed.get_with(path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!((other.status, &other.body), (StatusCode::OK, &first.body));
    }
    // A refund moves the payment and not the order: the joined document has another tag, with the same version.
    let order = bed.get("/v1/orders/1").await;
    let version = order.body["version"].to_string();
    assert!(order.header("etag").starts_with(&format!("\"{version}-")), "{}", order.header("etag"));
    // What is refused is never "the same".
    assert_eq!(
        bed.get_with("/v1/orders/none", &[("if-none-match", "*")]).await.status,
        StatusCode::NOT_FOUND
    );
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_joined_with_its_payment_and_shipments() {
    let bed = Bed::with(&shop()).await;
    let delivered = bed.get("/v1/orders/1").await;
    assert_eq!(delivered.body["status"], "delivered");
    assert_eq!(delivered.body["lines"][0]["returned_quantity"], 1);
    assert_eq!(delivered.body["payment"]["status"], "captured");
    assert_eq!(delivered.body["shipments"][0]["tracking_number"], "TN1");
    let reflected = delivered.header("millrace-position");
    for topic in ["shop.order.events", "shop.payment.events", "shop.shipment.events"] {
        assert!(reflected.contains(topic), "{reflected}");
    }
    let cancelled = bed.get("/v1/orders/2").await.body;
    assert_eq!(
        (&cancelled["status"], &cancelled["cancel"]["reason"]),
        (&"cancelled".into(), &"payment_declined".into())
    );
    let placed = bed.get("/v1/orders/3").await.body;
    assert!(placed["payment"].is_null() && placed["shipments"].as_array().unwrap().is_empty());
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_an_account_with_the_sums_of_all_partitions() {
    let bed = Bed::with(&shop()).await;
    let customer = bed.get("/v1/customers/17850").await;
    assert_eq!(customer.body["profile"]["name"], "A. Buyer");
    assert_eq!(customer.body["balances"][0]["amount_minor"], 250);
    let orders = &customer.body["orders"];
    assert_eq!(
        (&orders["count"], &orders["delivered"], &orders["last_order_id"]),
        (&2.into(), &1.into(), &"2".into())
    );
    assert_eq!((&orders["money"][0]["gross"], &orders["money"][0]["refunds"]), (&400.into(), &100.into()));
    let credits = bed.get("/v1/customers/17850/credits").await.body;
    assert_eq!(credits["items"][0]["reference"], "A1/1");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_an_array_of_events_with_their_facts() {
    let bed = Bed::with(&shop()).await;
    let events = bed.get("/v1/streams/order/1").await.body;
    let versions: Vec<_> =
        events.as_array().unwrap().iter().map(|e| e["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    let members = [
        "id",
        "type",
        "version",
        "position",
        "occurred_at",
        "recorded_at",
        "command_id",
        "correlation_id",
        "causation_id",
        "principal",
        "data",
    ];
    let first = events[0].as_object().unwrap();
    assert!(members.iter().all(|member| first.contains_key(*member)), "{first:?}");
    assert_eq!(first.len(), members.len());
    assert_eq!(first["occurred_at"], "2010-12-01T12:00:00.000Z");
    let rest = bed.get("/v1/streams/order/1?after=4&limit=1").await.body;
    assert_eq!((rest.as_array().unwrap().len(), &rest[0]["version"]), (1, &5.into()));
    let behind = bed.get("/v1/streams/order/1?after=6").await;
    assert_eq!((behind.status, behind.body.as_array().unwrap().len()), (StatusCode::OK, 0));
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_problem_with_its_code() {
    let bed = Bed::with(&shop()).await;
    let cases = [
        ("/v1/products/nope", "product_not_found"),
        ("/v1/stock/nope", "not_found"),
        ("/v1/carts/nope", "cart_not_found"),
        ("/v1/orders/nope", "order_not_found"),
        ("/v1/payments/3", "payment_not_found"),
        ("/v1/shipments/nope", "shipment_not_found"),
        ("/v1/customers/nope", "customer_not_found"),
        ("/v1/customers/nope/credits", "customer_not_found"),
        ("/v1/streams/order/nope", "not_found"),
        ("/v1/streams/planet/1", "not_found"),
        ("/v1/products/a%00b", "product_not_found"),
    ];
    for (path, code) in cases {
        let answer = bed.get(path).await;
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::NOT_FOUND, &code.into()), "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    bed.close().await;
}
