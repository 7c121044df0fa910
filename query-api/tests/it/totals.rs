//! The totals, against a count of the events themselves.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use projections::test_support::{pounds, shop};
use query_api::TotalsView;
use schemas::customer::{CreditKind, CustomerEvent};
use schemas::order::OrderEvent;
use schemas::payment::PaymentEvent;
use schemas::{Currency, CustomerId, Event, Money, RecordedEvent};

use crate::bed::{Bed, PARTITIONS};

const STEPS: &[u8] = &[0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 14, 18, 22, 26, 33, 34, 42, 63];

fn gross(events: &[RecordedEvent]) -> i64 {
    let total = |event: &RecordedEvent| match &event.event {
        Event::Order(OrderEvent::Placed(placed)) => placed.total.amount_minor,
        _ => 0,
    };
    events.iter().map(total).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_the_sums_over_all_events_of_all_partitions() {
    let shop = shop(PARTITIONS, STEPS);
    let bed = Bed::with(&shop).await;
    let events = shop.events();
    let answer = bed.get("/v1/reports/totals").await;
    let totals: TotalsView = serde_json::from_value(answer.body).unwrap();

    let placed: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.event {
            Event::Order(OrderEvent::Placed(placed)) => Some(placed),
            _ => None,
        })
        .collect();
    let customers: BTreeSet<_> = placed.iter().filter_map(|order| order.customer_id.as_ref()).collect();
    let guests = placed.iter().filter(|order| order.customer_id.is_none()).count();
    assert!(guests > 0 && customers.len() > 1, "the history has both");
    assert_eq!(totals.currency, Some(Currency::GBP));
    assert_eq!((totals.orders, totals.guest_orders), (placed.len() as i64, guests as i64));
    assert_eq!(totals.order_lines, placed.iter().map(|order| order.lines.len() as i64).sum::<i64>());
    assert_eq!((totals.customers, totals.skus), (customers.len() as i64, 3));
    assert_eq!(totals.gross, gross(events));
    let refunds: i64 = events
        .iter()
        .map(|event| match &event.event {
            Event::Payment(PaymentEvent::Refunded(refunded)) => refunded.amount.amount_minor,
            _ => 0,
        })
        .sum();
    let credits: i64 = events
        .iter()
        .map(|event| match &event.event {
            Event::Customer(CustomerEvent::Credited(credited)) => credited.amount.amount_minor,
            _ => 0,
        })
        .sum();
    assert!(refunds > 0 && credits > 0);
    assert_eq!((totals.refunds, totals.credits), (refunds, credits));
    assert_eq!(totals.net, totals.gross - refunds - credits);
    assert_eq!(totals.opening_units, 30_000);

    // The same number from the stock documents.
    let stock = bed.get("/v1/stock").await.body;
    let on_hand: i64 =
        stock["items"].as_array().unwrap().iter().map(|item| item["on_hand"].as_i64().unwrap()).sum();
    assert_eq!(totals.on_hand_units, on_hand);

    assert!(totals.by_day.len() > 2);
    assert!(totals.by_day.is_sorted_by(|a, b| a.day < b.day));
    assert_eq!(totals.by_day.iter().map(|day| day.orders).sum::<i64>(), totals.orders);
    assert_eq!(totals.by_day.iter().map(|day| day.net).sum::<i64>(), totals.net);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_days_is_cut_out_and_both_ends_are_in_it() {
    let shop = shop(PARTITIONS, STEPS);
    let bed = Bed::with(&shop).await;
    let whole: TotalsView = serde_json::from_value(bed.get("/v1/reports/totals").await.body).unwrap();
    let (first, last) = (whole.by_day[1].day.clone(), whole.by_day[2].day.clone());
    let path = format!("/v1/reports/totals?from={first}&to={last}");
    let range: TotalsView = serde_json::from_value(bed.get(&path).await.body).unwrap();
    assert_eq!((range.from.as_deref(), range.to.as_deref()), (Some(&*first), Some(&*last)));
    assert_eq!(range.by_day, whole.by_day[1..=2]);
    assert_eq!(range.gross, whole.by_day[1].gross + whole.by_day[2].gross);
    assert_eq!((range.customers, range.on_hand_units), (whole.customers, whole.on_hand_units));

    for query in
        ["from=2010-12-32", "to=yesterday", "from=2010-12-05&to=2010-12-04", "currency=XYZ", "from=20101201"]
    {
        let answer = bed.get(&format!("/v1/reports/totals?{query}")).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (422, &"invalid_value".into()), "{query}");
    }
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_of_several_currencies_is_never_added_up() {
    let mut shop = shop(PARTITIONS, STEPS);
    let yen = Money::new(5_000, "JPY".parse().unwrap());
    shop.credit(&CustomerId::new("12583").unwrap(), yen, yen, CreditKind::Note, "Y1/1");
    let bed = Bed::with(&shop).await;
    let answer = bed.get("/v1/reports/totals").await;
    assert_eq!(answer.status.as_u16(), 422);
    assert_eq!(answer.body["currencies"], serde_json::json!(["GBP", "JPY"]));
    let yen: TotalsView =
        serde_json::from_value(bed.get("/v1/reports/totals?currency=JPY").await.body).unwrap();
    assert_eq!((yen.gross, yen.credits, yen.net), (0, 5_000, -5_000));
    let sterling: TotalsView =
        serde_json::from_value(bed.get("/v1/reports/totals?currency=GBP").await.body).unwrap();
    assert_eq!(sterling.gross, gross(shop.events()));
    assert_eq!(pounds(sterling.gross).currency, Currency::GBP);
    bed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_has_totals_of_nothing() {
    let bed = Bed::open(50).await;
    let answer = bed.get("/v1/reports/totals").await;
    assert_eq!(answer.status, StatusCode::OK);
    let totals: TotalsView = serde_json::from_value(answer.body).unwrap();
    assert_eq!((totals.orders, totals.currency, totals.by_day.len()), (0, None, 0));
    bed.close().await;
}
