//! Reading one's own writes: waiting for a position, and giving up on it.

use axum::http::StatusCode;
use projections::test_support::{Recorder, append, pounds};
use schemas::{CustomerId, Sku};

use crate::bed::{Bed, PARTITIONS, positions};

fn shop() -> Recorder {
    let mut shop = Recorder::new(PARTITIONS);
    shop.product(&Sku::new("85123A").unwrap(), "heart", pounds(100));
    shop.customer(&CustomerId::new("17850").unwrap(), "A. Buyer");
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_position_it_asks_for() {
    let shop = shop();
    let bed = Bed::open(30_000).await;
    let written = positions(shop.events()).to_string();
    // The request is there before the write is.
    let waiting = bed.get_at("/v1/products/85123A", Some(&written));
    let writing = async {
        tokio::task::yield_now().await;
        assert_eq!(append(&*bed.log, shop.events()), positions(shop.events()));
    };
    let (answer, ()) = tokio::join!(waiting, writing);
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.body["status"], "published");
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_does_not_come_is_503_and_says_how_far_the_view_is() {
    let bed = Bed::with(&shop()).await;
    let reached = bed.get("/v1/products/85123A").await.header("millrace-position").to_owned();
    let partition = if reached.contains("/0@") { 0 } else { 1 };
    let asked = format!("shop.product.events/{partition}@999");
    let answer = bed.get_at("/v1/products/85123A", Some(&asked)).await;
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"read_model_behind".into())
    );
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!((&answer.body["asked"], &answer.body["reached"]), (&asked.into(), &reached.clone().into()));
    // What it has reached, it answers at once.
    assert_eq!(bed.get_at("/v1/products/85123A", Some(&reached)).await.status, StatusCode::OK);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_a_view_does_not_read_are_ignored() {
    let bed = Bed::with(&shop()).await;
    let elsewhere = "shop.order.events/0@999,other.product.events/0@999,shop.outcomes/99@1";
    assert_eq!(bed.get_at("/v1/products/85123A", Some(elsewhere)).await.status, StatusCode::OK);
    let answer = bed.get_at("/v1/orders/1", Some(elsewhere)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_at_once() {
    let bed = Bed::with(&shop()).await;
    for text in ["nonsense", "shop.product.events/0", "shop.product.events/x@1", "shop.product.events/7@1"] {
        let answer = bed.get_at("/v1/products/85123A", Some(text)).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (StatusCode::BAD_REQUEST, &"invalid_request".into()),
            "{text}"
        );
    }
    bed.close().await;
}
