//! Given events, then documents.

use std::collections::BTreeMap;

use crate::test_support::{Ending, Recorder, pounds};
use projections::{
    CartStatus, Carts, CustomerAccounts, CustomerCredits, CustomerOrders, MovementStatus, Orders,
    OrdersOfCustomer, PaymentStatus, Payments, ProductStatus, Products, Projection, RowId, Shipments,
    ShipmentsOfOrder, Stock, Streams, TotalsByDay,
};
use schemas::cart::{
    CartChange, CartChangeKind, CartChangesFound, CartCheckedOut, CartLine, CartLineAdded, CartLineRemoved,
    CartOpened,
};
use schemas::customer::{CreditKind, CustomerAddressPut, CustomerConsentRecorded, CustomerUntagged};
use schemas::order::{CancelReason, OrderStatus};
use schemas::payment::{CaptureFailed, PaymentUnwound};
use schemas::product::ProductRetired;
use schemas::shipment::{ShipmentFailed, ShipmentStatus, ShipmentTracked};
use schemas::stock::{AdjustmentKind, LowStockReached, LowStockThresholdSet};
use schemas::{CartId, CustomerId, Money, OrderId, Quantity, ShipmentId, Sku, StreamId};

/// Every row that a projection makes of these events.
fn fold<P: Projection>(recorder: &Recorder) -> BTreeMap<RowId, P::Document> {
    let mut rows: BTreeMap<RowId, P::Document> = BTreeMap::new();
    let mut touched = Vec::new();
    for event in recorder.events().iter().filter(|e| P::TOPICS.contains(&e.event.aggregate_type())) {
        P::rows(event, &mut touched);
        for id in touched.drain(..) {
            let document = rows.remove(&id);
            if let Some(document) = P::fold(&id, document, event).unwrap() {
                rows.insert(id, document);
            }
        }
    }
    // What is stored is JSON: nothing may get lost on the way.
    for document in rows.values_mut() {
        let json = serde_json::to_vec(document).unwrap();
        *document = serde_json::from_slice(&json).unwrap();
        assert_eq!(serde_json::to_vec(document).unwrap(), json);
    }
    rows
}

fn one<P: Projection>(recorder: &Recorder, id: &str) -> P::Document {
    fold::<P>(recorder).remove(&RowId::of(id)).unwrap()
}

fn sku(text: &str) -> Sku {
    Sku::new(text).unwrap()
}

fn order_id(text: &str) -> OrderId {
    OrderId::new(text).unwrap()
}

/// One customer and a guest; orders with every ending.
fn shop() -> Recorder {
    let mut shop = Recorder::new(2);
    let (heart, stand) = (sku("85123A"), sku("22423"));
    let customer = CustomerId::new("17850").unwrap();
    shop.product(&heart, "heart", pounds(100));
    shop.receive(&heart, 100);
    shop.receive(&stand, 50);
    shop.customer(&customer, "A. Buyer");
    shop.order(&order_id("1"), Some(&customer), &[(&heart, 3), (&stand, 2)], Ending::Returned);
    shop.pass_days(1);
    shop.order(&order_id("2"), Some(&customer), &[(&heart, 1)], Ending::Declined);
    shop.order(&order_id("3"), None, &[(&heart, 4)], Ending::Placed);
    shop
}

#[test]
fn a_product_has_its_last_description_and_a_price_per_currency() {
    let mut shop = Recorder::new(2);
    let heart = sku("85123A");
    shop.product(&heart, "heart", pounds(255));
    let euros = Money::new(299, schemas::Currency::EUR);
    let priced = |price, previous| schemas::product::ProductPriced { sku: heart.clone(), price, previous };
    shop.record(StreamId::product(&heart), priced(euros, None));
    shop.record(StreamId::product(&heart), priced(pounds(260), Some(pounds(255))));
    let product = one::<Products>(&shop, "85123A");
    assert_eq!((product.name.as_str(), product.status), ("heart", ProductStatus::Published));
    assert_eq!(product.prices, [euros, pounds(260)]);
    assert_eq!(product.version.get(), 5);
    assert_eq!(product.position, shop.events().last().unwrap().position);
    let retired = ProductRetired { sku: heart.clone(), reason: String::new() };
    shop.record(StreamId::product(&heart), retired);
    assert_eq!(one::<Products>(&shop, "85123A").status, ProductStatus::Retired);
}

#[test]
fn stock_shows_the_counters_of_its_last_event_and_whether_it_is_low() {
    let mut shop = shop();
    let stock = one::<Stock>(&shop, "85123A");
    // 100 received, 3 shipped, 1 came back, the declined order's unit was released.
    assert_eq!((stock.on_hand, stock.reserved, stock.available), (98, 0, 98));
    assert!(!stock.low_stock.low);
    let heart = sku("85123A");
    let threshold = 200;
    shop.record(StreamId::stock(&heart), LowStockThresholdSet { sku: heart.clone(), threshold });
    shop.record(StreamId::stock(&heart), LowStockReached { sku: heart.clone(), available: 98, threshold });
    let stock = one::<Stock>(&shop, "85123A");
    assert_eq!((stock.low_stock.threshold, stock.low_stock.low, stock.on_hand), (200, true, 98));
}

#[test]
fn a_cart_shows_its_lines_what_the_checkout_found_and_the_order_it_became() {
    let mut shop = Recorder::new(1);
    let cart_id = CartId::new("basket").unwrap();
    let line = |name: &str, units: i64| CartLine {
        sku: sku(name),
        quantity: Quantity::new(units).unwrap(),
        unit_price: pounds(100),
    };
    let (currency, channel) = (schemas::Currency::GBP, "web".to_owned());
    let opened =
        CartOpened { cart_id: cart_id.clone(), customer_id: None, currency, channel: channel.clone() };
    shop.record(&cart_id, opened);
    for (name, units) in [("a", 1), ("b", 5), ("a", 3)] {
        let (line, added) = (line(name, units), Quantity::new(units).unwrap());
        shop.record(&cart_id, CartLineAdded { cart_id: cart_id.clone(), customer_id: None, added, line });
    }
    let cart = one::<Carts>(&shop, "basket");
    assert_eq!((cart.status, cart.lines), (CartStatus::Open, vec![line("a", 3), line("b", 5)]));

    let change = CartChange {
        sku: sku("b"),
        kind: CartChangeKind::NotEnough,
        seen_price: pounds(100),
        current_price: Some(pounds(100)),
        quantity: Quantity::new(5).unwrap(),
        available: 2,
    };
    let lines = vec![line("a", 3), line("b", 2)];
    shop.record(
        &cart_id,
        CartChangesFound { cart_id: cart_id.clone(), changes: vec![change.clone()], lines },
    );
    let cart = one::<Carts>(&shop, "basket");
    assert_eq!((cart.changes, cart.lines[1].quantity.get()), (vec![change], 2));

    shop.record(&cart_id, CartLineRemoved { cart_id: cart_id.clone(), sku: sku("b") });
    let cart = one::<Carts>(&shop, "basket");
    assert_eq!((cart.changes.len(), cart.lines), (0, vec![line("a", 3)]));
    shop.record(
        &cart_id,
        CartCheckedOut {
            cart_id: cart_id.clone(),
            order_id: order_id("1"),
            customer_id: None,
            email: None,
            channel,
            country: "United Kingdom".to_owned(),
            currency,
            lines: vec![line("a", 3)],
            shipping_address: None,
            payment_method: "card".to_owned(),
        },
    );
    let cart = one::<Carts>(&shop, "basket");
    assert_eq!((cart.status, cart.order_id), (CartStatus::CheckedOut, Some(order_id("1"))));
}

#[test]
fn an_order_shows_its_lifecycle_and_what_came_back() {
    let orders = fold::<Orders>(&shop());
    let order = &orders[&RowId::of("1")];
    assert_eq!(order.status, OrderStatus::Delivered);
    assert_eq!((order.total, order.refunded), (pounds(500), pounds(100)));
    assert_eq!((order.lines[0].returned_quantity, order.lines[0].refunded), (1, pounds(100)));
    assert_eq!(order.lines[1].returned_quantity, 0);
    assert_eq!(order.shipment_ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["1-s1"]);
    assert!(order.reserved_at.is_some() && order.confirmed_at.is_some() && order.delivered_at.is_some());
    let cancelled = &orders[&RowId::of("2")];
    assert_eq!(cancelled.status, OrderStatus::Cancelled);
    assert_eq!(cancelled.cancel.as_ref().unwrap().reason, CancelReason::PaymentDeclined);
    let placed = &orders[&RowId::of("3")];
    assert_eq!((placed.status, placed.customer_id.as_ref()), (OrderStatus::Placed, None));
    assert_eq!(placed.email.as_deref(), Some("guest@example.com"));
}

#[test]
fn a_payment_shows_its_ledger_declines_and_refunds() {
    let mut shop = shop();
    let payment = one::<Payments>(&shop, "1");
    assert_eq!(payment.status, PaymentStatus::Captured);
    assert_eq!((payment.balance.captured, payment.balance.refunded, payment.balance.open), (500, 100, 0));
    assert_eq!(payment.captures[0].status, MovementStatus::Done);
    assert_eq!((payment.refunds[0].status, payment.refunds[0].amount), (MovementStatus::Done, pounds(100)));
    let declined = one::<Payments>(&shop, "2");
    assert_eq!(declined.status, PaymentStatus::Declined);
    assert_eq!(declined.declines[0].code, "51");

    let (payment_id, order_id) = (order_id("1").payment_id(), order_id("1"));
    let failed = CaptureFailed {
        payment_id: payment_id.clone(),
        order_id,
        reference: "1/1".parse().unwrap(),
        amount: pounds(500),
        code: "91".to_owned(),
        message: "no answer".to_owned(),
    };
    shop.record(&payment_id, failed);
    let payment = one::<Payments>(&shop, "1");
    assert_eq!(payment.captures[0].status, MovementStatus::Failed);
    assert_eq!(payment.captures[0].failure.as_ref().unwrap().code, "91");
}

#[test]
fn a_payment_called_off_before_it_was_asked_for_is_void_and_of_no_amount() {
    let mut shop = Recorder::new(1);
    let (payment_id, order_id) = (order_id("9").payment_id(), order_id("9"));
    shop.record(
        &payment_id,
        PaymentUnwound { payment_id: payment_id.clone(), order_id, reason: String::new() },
    );
    let payment = one::<Payments>(&shop, "9");
    assert_eq!((payment.status, payment.amount, payment.unwound), (PaymentStatus::Voided, None, true));
}

#[test]
fn a_shipment_stands_under_its_own_id_and_under_its_order_s() {
    let mut shop = shop();
    let own = one::<Shipments>(&shop, "1-s1");
    assert_eq!((own.status, own.order_id.as_str()), (ShipmentStatus::Delivered, "1"));
    assert_eq!(
        (own.tracking_number.as_deref(), own.received_by.as_deref()),
        (Some("TN1"), Some("neighbour"))
    );
    let of_order = fold::<ShipmentsOfOrder>(&shop);
    assert_eq!(of_order.keys().collect::<Vec<_>>(), [&RowId::new("1", "1-s1")]);
    assert_eq!(of_order[&RowId::new("1", "1-s1")], own);

    let shipment_id = ShipmentId::new("1-s1").unwrap();
    for number in 0..150 {
        let (code, place, message) = (number.to_string(), String::new(), String::new());
        let tracked = ShipmentTracked {
            shipment_id: shipment_id.clone(),
            order_id: order_id("1"),
            code,
            place,
            message,
        };
        shop.record(&shipment_id, tracked);
    }
    let (code, reason) = ("lost".to_owned(), "nobody knows".to_owned());
    let failed = ShipmentFailed {
        shipment_id: shipment_id.clone(),
        order_id: order_id("1"),
        code,
        reason,
        dispatched: true,
    };
    shop.record(&shipment_id, failed);
    let own = one::<Shipments>(&shop, "1-s1");
    assert_eq!((own.tracking.len(), own.tracking[0].code.as_str()), (100, "50"));
    assert_eq!((own.status, own.failure.unwrap().code.as_str()), (ShipmentStatus::Failed, "lost"));
}

#[test]
fn an_account_has_the_last_word_on_everything_and_its_credits_one_by_one() {
    let mut shop = shop();
    let id = CustomerId::new("17850").unwrap();
    let address_id = schemas::AddressId::new("home").unwrap();
    for city in ["London", "Leeds"] {
        let address = schemas::order::PostalAddress { city: city.to_owned(), ..Default::default() };
        let put = CustomerAddressPut { customer_id: id.clone(), address_id: address_id.clone(), address };
        shop.record(&id, put);
    }
    let (purpose, source) = ("newsletter".to_owned(), "call".to_owned());
    shop.record(&id, CustomerConsentRecorded { customer_id: id.clone(), purpose, granted: false, source });
    shop.record(&id, CustomerUntagged { customer_id: id.clone(), tag: "regular".to_owned() });
    shop.credit(&id, pounds(250), pounds(250), CreditKind::Note, "A1/1");
    shop.credit(&id, pounds(-300), pounds(-50), CreditKind::Note, "A2/1");
    let account = one::<CustomerAccounts>(&shop, "17850");
    assert_eq!(account.profile.name, "A. Buyer");
    assert!(account.tags.is_empty());
    assert_eq!((account.consents.len(), account.consents[0].granted), (1, false));
    assert_eq!((account.addresses.len(), account.addresses[0].address.city.as_str()), (1, "Leeds"));
    assert_eq!((account.balances.as_slice(), account.credits), ([pounds(-50)].as_slice(), 2));
    assert_eq!(account.interactions, 1);
    let credits = fold::<CustomerCredits>(&shop);
    assert_eq!(credits.values().map(|credit| credit.amount).collect::<Vec<_>>(), [pounds(250), pounds(-300)]);
}

#[test]
fn a_customer_s_orders_add_up_per_partition_and_are_listed() {
    let shop = shop();
    let sums = fold::<CustomerOrders>(&shop);
    // One row per partition that holds orders of the customer; guests have none.
    assert!(sums.keys().all(|row| row.partition_key == "17850"));
    let of = |count: fn(&projections::CustomerOrdersDocument) -> i64| sums.values().map(count).sum::<i64>();
    assert_eq!((of(|s| s.orders), of(|s| s.delivered_orders)), (2, 1));
    assert_eq!(of(|s| s.money[&schemas::Currency::GBP].gross), 600);
    assert_eq!(of(|s| s.money[&schemas::Currency::GBP].refunds), 100);
    let listed = fold::<OrdersOfCustomer>(&shop);
    assert_eq!(listed.keys().map(|row| row.sort_key.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn totals_count_each_thing_on_the_day_it_happened() {
    let mut shop = shop();
    let heart = sku("85123A");
    let id = CustomerId::new("17850").unwrap();
    shop.adjust(&heart, -10, AdjustmentKind::Correction, "537000/1");
    // One row of a return document in two parts, and a whole one.
    shop.adjust(&heart, 2, AdjustmentKind::ReturnWithoutOrder, "C9/1/1");
    shop.adjust(&heart, 1, AdjustmentKind::ReturnWithoutOrder, "C9/1/2");
    shop.adjust(&heart, 5, AdjustmentKind::ReturnWithoutOrder, "C9/2");
    shop.credit(&id, pounds(250), pounds(250), CreditKind::Note, "A1/1");
    shop.credit(&id, pounds(30), pounds(280), CreditKind::ReturnWithoutOrder, "C9/2");
    let mut days: BTreeMap<String, projections::DayTotals> = BTreeMap::new();
    for (row, totals) in fold::<TotalsByDay>(&shop) {
        days.entry(row.partition_key).or_default().merge(&totals).unwrap();
    }
    assert_eq!(days.keys().collect::<Vec<_>>(), ["2010-12-01", "2010-12-02"]);
    let (first, second) = (&days["2010-12-01"], &days["2010-12-02"]);
    assert_eq!((first.orders, first.guest_orders, first.order_lines, first.cancelled_orders), (1, 0, 2, 0));
    assert_eq!(
        (second.orders, second.guest_orders, second.order_lines, second.cancelled_orders),
        (2, 1, 2, 1)
    );
    assert_eq!((first.products, second.products), (1, 0));
    assert_eq!((first.received_units, first.shipped_units, first.returned_units), (150, 5, 1));
    assert_eq!((second.adjusted_units, second.correction_lines), (-2, 1));
    assert_eq!((first.return_rows, second.return_rows), (1, 2));
    assert_eq!((first.credit_rows, second.credit_rows), (0, 1));
    let money = |day: &projections::DayTotals| day.money[&schemas::Currency::GBP];
    assert_eq!((money(first).gross, money(first).refunds, money(first).return_value), (500, 100, 100));
    assert_eq!((money(second).gross, money(second).cancelled_gross, money(second).credits), (500, 100, 280));
}

#[test]
fn a_stream_has_every_event_in_order_with_its_facts() {
    let shop = shop();
    let entries: Vec<_> = fold::<Streams>(&shop)
        .into_iter()
        .filter(|(row, _)| row.partition_key == "order/1")
        .map(|(_, e)| e)
        .collect();
    let versions: Vec<_> = entries.iter().map(|entry| entry.version.get()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6]);
    let first = &entries[0];
    assert_eq!((first.id.as_str(), first.event_type.as_str()), ("order/1/1", "millrace.order.placed.v1"));
    assert_eq!(first.data["lines"][0]["sku"], "85123A");
    assert_eq!(fold::<Streams>(&shop).len(), shop.events().len());
}
