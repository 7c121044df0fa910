//! What was once written can be read for ever: one event of every released type, as JSON and as Avro bytes.
//!
//! A fixture never changes. To add those of a new event type: put a sample below and run this test with
//! `MILLRACE_RELEASE_SCHEMAS=1`, which writes only what is missing.

use std::fs;
use std::path::{Path, PathBuf};

use schemas::cart::*;
use schemas::customer::*;
use schemas::order::*;
use schemas::payment::*;
use schemas::product::*;
use schemas::shipment::*;
use schemas::stock::*;
use schemas::{Currency, Event, EventSchema, Money, Quantity, decode_event, encode_event, event_schemas};
use serde_json::{Value, json};

/// Reads an id or a reference.
fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn gbp(pence: i64) -> Money {
    Money::new(pence, Currency::GBP)
}

fn units(count: i64) -> Quantity {
    Quantity::new(count).unwrap()
}

fn address() -> PostalAddress {
    PostalAddress {
        name: "Zoë Ångström".into(),
        lines: vec!["Flat 2".into(), "10 Mill Lane".into()],
        postal_code: "HU1 1AA".into(),
        city: "Hull".into(),
        country: "GB".into(),
    }
}

fn description() -> ProductDescription {
    ProductDescription {
        name: "WHITE HANGING HEART T-LIGHT HOLDER".into(),
        description: "A heart of white wood, for one candle – 10 × 8 cm".into(),
        brand: Some("Mill & Race".into()),
        category_path: vec!["Home".into(), "Candles".into()],
        attributes: Attributes(
            [("colour".into(), "white".into()), ("size".into(), "10 × 8 cm".into())].into(),
        ),
        tax_class: TaxClass::Reduced,
        media: vec!["https://example.org/85123A.jpg".into()],
    }
}

fn product_samples() -> Vec<Event> {
    let sku = || id("85123A");
    vec![
        ProductDrafted { sku: sku(), description: description() }.into(),
        ProductDescribed { sku: sku(), description: description() }.into(),
        ProductPriced { sku: sku(), price: gbp(255), previous: Some(gbp(275)) }.into(),
        ProductPublished { sku: sku() }.into(),
        ProductRetired { sku: sku(), reason: "no longer made".into() }.into(),
    ]
}

fn stock_samples() -> Vec<Event> {
    let sku = || id("85123A");
    let levels = StockLevels { on_hand: 100, reserved: 8, available: 92 };
    let (line, quantity) = (3, units(6));
    let order_id = || id("536365");
    vec![
        StockReceived { sku: sku(), quantity: units(100), reference: Some(id("opening")), levels }.into(),
        StockReserved { sku: sku(), order_id: order_id(), line, quantity, levels }.into(),
        StockReleased { sku: sku(), order_id: order_id(), line, quantity: 0, levels }.into(),
        StockShipped {
            sku: sku(),
            order_id: order_id(),
            line,
            quantity,
            shipment_id: id("s-536365"),
            levels,
        }
        .into(),
        StockReturned {
            sku: sku(),
            order_id: order_id(),
            line,
            quantity: units(2),
            reference: id("C536379/1/2"),
            restocked: true,
            levels,
        }
        .into(),
        StockAdjusted {
            sku: sku(),
            delta: -10,
            kind: AdjustmentKind::Correction,
            reason: "damages".into(),
            reference: id("536589/1"),
            levels,
        }
        .into(),
        LowStockThresholdSet { sku: sku(), threshold: 20 }.into(),
        LowStockReached { sku: sku(), available: 19, threshold: 20 }.into(),
        LowStockRecovered { sku: sku(), available: 20, threshold: 20 }.into(),
    ]
}

fn cart_samples() -> Vec<Event> {
    let cart_id = || id("cart-1");
    let line = || CartLine { sku: id("85123A"), quantity: units(6), unit_price: gbp(255) };
    let changes = vec![
        CartChange {
            sku: id("85123A"),
            kind: CartChangeKind::PriceChanged,
            seen_price: gbp(255),
            current_price: Some(gbp(275)),
            quantity: units(6),
            available: 92,
        },
        CartChange {
            sku: id("22752"),
            kind: CartChangeKind::NotForSale,
            seen_price: gbp(765),
            current_price: None,
            quantity: units(2),
            available: 0,
        },
    ];
    vec![
        CartOpened {
            cart_id: cart_id(),
            customer_id: Some(id("17850")),
            currency: Currency::GBP,
            channel: "web".into(),
        }
        .into(),
        CartLineAdded { cart_id: cart_id(), customer_id: Some(id("17850")), added: units(2), line: line() }
            .into(),
        CartLineChanged { cart_id: cart_id(), previous: units(4), line: line() }.into(),
        CartLineRemoved { cart_id: cart_id(), sku: id("22752") }.into(),
        CartClaimed { cart_id: cart_id(), customer_id: id("17850") }.into(),
        CartChangesFound { cart_id: cart_id(), changes, lines: vec![line()] }.into(),
        CartCheckedOut {
            cart_id: cart_id(),
            order_id: id("536365"),
            customer_id: None,
            email: Some("zoe@example.org".into()),
            channel: "web".into(),
            country: "GB".into(),
            currency: Currency::GBP,
            lines: vec![line()],
            shipping_address: Some(address()),
            payment_method: "card".into(),
        }
        .into(),
    ]
}

fn order_samples() -> Vec<Event> {
    let order_id = || id("536365");
    let customer_id = || Some(id("17850"));
    let goods = || vec![GoodsLine { line: 1, sku: id("85123A"), quantity: units(6) }];
    let line = |line, sku, kind, name: &str, quantity: i64, price: i64| OrderLine {
        line,
        sku: id(sku),
        kind,
        name: name.into(),
        quantity: units(quantity),
        unit_price: gbp(price),
        discount: gbp(30),
        tax_class: TaxClass::Standard,
        tax: gbp(quantity * price / 6),
        total: gbp(quantity * price - 30),
    };
    vec![
        OrderPlaced {
            order_id: order_id(),
            customer_id: customer_id(),
            email: None,
            channel: "import".into(),
            country: "United Kingdom".into(),
            currency: Currency::GBP,
            lines: vec![
                line(1, "85123A", LineKind::Goods, "WHITE HANGING HEART T-LIGHT HOLDER", 6, 255),
                line(2, "POST", LineKind::Service, "POSTAGE", 1, 1_800),
            ],
            total: gbp(3_270),
            tax: gbp(555),
            shipping_address: Some(address()),
            payment_method: "card".into(),
        }
        .into(),
        OrderReserved {
            order_id: order_id(),
            customer_id: customer_id(),
            total: gbp(3_270),
            payment_method: "card".into(),
        }
        .into(),
        OrderConfirmed {
            order_id: order_id(),
            goods: goods(),
            total: gbp(3_270),
            shipping_address: Some(address()),
        }
        .into(),
        OrderShipped { order_id: order_id(), shipment_id: id("s-536365"), total: gbp(3_270) }.into(),
        OrderDelivered { order_id: order_id(), customer_id: customer_id(), total: gbp(3_270) }.into(),
        OrderCancelled {
            order_id: order_id(),
            reason: CancelReason::ShipmentFailed,
            detail: "lost on the way".into(),
            goods: goods(),
            shipment_id: Some(id("s-536365")),
            total: gbp(3_270),
        }
        .into(),
        OrderLineReturned {
            order_id: order_id(),
            customer_id: customer_id(),
            reference: id("C536379/1"),
            line: 1,
            sku: id("85123A"),
            kind: LineKind::Goods,
            quantity: units(2),
            refund: gbp(510),
            restock: true,
            reason: "broken".into(),
        }
        .into(),
    ]
}

fn payment_samples() -> Vec<Event> {
    let payment_id = || id("536365");
    let order_id = || id("536365");
    let amount = gbp(3_270);
    let provider_reference = || "sandbox-auth-1".to_owned();
    let (code, message) = (|| "insufficient_funds".to_owned(), || "Not enough money".to_owned());
    let reason = || "cancelled".to_owned();
    let balance =
        PaymentBalance { authorised: 3_270, captured: 2_000, voided: 1_000, open: 270, refunded: 510 };
    vec![
        PaymentRequested {
            payment_id: payment_id(),
            order_id: order_id(),
            customer_id: Some(id("17850")),
            amount,
            method: "card".into(),
        }
        .into(),
        PaymentAuthorised {
            payment_id: payment_id(),
            order_id: order_id(),
            amount,
            provider_reference: provider_reference(),
            balance,
        }
        .into(),
        PaymentDeclined { payment_id: payment_id(), order_id: order_id(), code: code(), message: message() }
            .into(),
        CaptureRequested {
            payment_id: payment_id(),
            order_id: order_id(),
            reference: id("s-536365/1"),
            amount,
            provider_reference: provider_reference(),
        }
        .into(),
        PaymentCaptured {
            payment_id: payment_id(),
            order_id: order_id(),
            reference: id("s-536365/1"),
            amount,
            provider_reference: provider_reference(),
            balance,
        }
        .into(),
        CaptureFailed {
            payment_id: payment_id(),
            order_id: order_id(),
            reference: id("s-536365/1"),
            amount,
            code: code(),
            message: message(),
        }
        .into(),
        VoidRequested {
            payment_id: payment_id(),
            order_id: order_id(),
            amount,
            provider_reference: provider_reference(),
            reason: reason(),
        }
        .into(),
        PaymentVoided {
            payment_id: payment_id(),
            order_id: order_id(),
            amount,
            provider_reference: provider_reference(),
            balance,
        }
        .into(),
        RefundRequested {
            payment_id: payment_id(),
            order_id: order_id(),
            reference: id("C536379/1"),
            amount: gbp(510),
            provider_reference: provider_reference(),
            reason: reason(),
        }
        .into(),
        PaymentRefunded {
            payment_id: payment_id(),
            order_id: order_id(),
            reference: id("C536379/1"),
            amount: gbp(510),
            provider_reference: provider_reference(),
            balance,
        }
        .into(),
        RefundFailed {
            payment_id: payment_id(),
            order_id: order_id(),
            reference: id("C536379/1"),
            amount: gbp(510),
            code: code(),
            message: message(),
        }
        .into(),
        PaymentUnwound { payment_id: payment_id(), order_id: order_id(), reason: reason() }.into(),
    ]
}

fn customer_samples() -> Vec<Event> {
    let customer_id = || id("17850");
    let profile = || CustomerProfile {
        name: "Zoë Ångström".into(),
        emails: vec!["zoe@example.org".into()],
        phones: vec!["+44 1482 000000".into()],
        locale: "en-GB".into(),
        country: "United Kingdom".into(),
    };
    vec![
        CustomerRegistered { customer_id: customer_id(), profile: profile() }.into(),
        CustomerProfileChanged { customer_id: customer_id(), profile: profile() }.into(),
        CustomerAddressPut { customer_id: customer_id(), address_id: id("home"), address: address() }.into(),
        CustomerAddressRemoved { customer_id: customer_id(), address_id: id("home") }.into(),
        CustomerConsentRecorded {
            customer_id: customer_id(),
            purpose: "newsletter".into(),
            granted: true,
            source: "sign-up form".into(),
        }
        .into(),
        CustomerInteractionRecorded {
            customer_id: customer_id(),
            kind: InteractionKind::Searched,
            sku: Some(id("85123A")),
            detail: "heart holder".into(),
            channel: "web".into(),
            session: Some("visit-1".into()),
        }
        .into(),
        CustomerTagged { customer_id: customer_id(), tag: "wholesale".into() }.into(),
        CustomerUntagged { customer_id: customer_id(), tag: "wholesale".into() }.into(),
        CustomerCredited {
            customer_id: customer_id(),
            reference: id("C536379/1"),
            amount: gbp(-2_750),
            kind: CreditKind::Note,
            order_id: Some(id("536365")),
            reason: "Discount".into(),
            balance: gbp(-2_750),
        }
        .into(),
    ]
}

fn shipment_samples() -> Vec<Event> {
    let shipment_id = || id("s-536365");
    let order_id = || id("536365");
    let goods = || vec![GoodsLine { line: 1, sku: id("85123A"), quantity: units(6) }];
    vec![
        ShipmentCreated {
            shipment_id: shipment_id(),
            order_id: order_id(),
            goods: goods(),
            address: Some(address()),
            carrier: "sandbox".into(),
        }
        .into(),
        ShipmentDispatched {
            shipment_id: shipment_id(),
            order_id: order_id(),
            goods: goods(),
            carrier: "sandbox".into(),
            tracking_number: "SB-1".into(),
        }
        .into(),
        ShipmentTracked {
            shipment_id: shipment_id(),
            order_id: order_id(),
            code: "in_transit".into(),
            place: "Leeds".into(),
            message: "Sorted".into(),
        }
        .into(),
        ShipmentDelivered {
            shipment_id: shipment_id(),
            order_id: order_id(),
            received_by: "a neighbour".into(),
        }
        .into(),
        ShipmentFailed {
            shipment_id: shipment_id(),
            order_id: order_id(),
            code: "lost".into(),
            reason: "Not found at the depot".into(),
            dispatched: true,
        }
        .into(),
    ]
}

/// One event of every current type.
fn samples() -> Vec<Event> {
    [
        product_samples(),
        stock_samples(),
        cart_samples(),
        order_samples(),
        payment_samples(),
        customer_samples(),
        shipment_samples(),
    ]
    .concat()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Reads a body in JSON as the current event of its type.
fn read_json(schema: &EventSchema, body: Value) -> Event {
    let (aggregate, event) = schema.ce_type.strip_prefix("millrace.").unwrap().split_once('.').unwrap();
    let (event, _version) = event.split_once('.').unwrap();
    let tagged = json!({"type": event, "data": body});
    match aggregate {
        "product" => serde_json::from_value::<ProductEvent>(tagged).map(Event::from),
        "stock" => serde_json::from_value::<StockEvent>(tagged).map(Event::from),
        "cart" => serde_json::from_value::<CartEvent>(tagged).map(Event::from),
        "order" => serde_json::from_value::<OrderEvent>(tagged).map(Event::from),
        "payment" => serde_json::from_value::<PaymentEvent>(tagged).map(Event::from),
        "customer" => serde_json::from_value::<CustomerEvent>(tagged).map(Event::from),
        "shipment" => serde_json::from_value::<ShipmentEvent>(tagged).map(Event::from),
        other => panic!("{other} is no aggregate"),
    }
    .unwrap_or_else(|e| panic!("{}: {e}", schema.ce_type))
}

fn encoded(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_event(event, &mut bytes).unwrap();
    bytes
}

/// Writes the fixture of a type that has none, when a release asks for it.
fn release_if_missing(schema: &EventSchema, samples: &[Event]) {
    let (json, avro) = paths(schema);
    if std::env::var_os("MILLRACE_RELEASE_SCHEMAS").is_none() || json.exists() || avro.exists() {
        return;
    }
    let sample = samples
        .iter()
        .find(|sample| sample.ce_type() == schema.ce_type)
        .unwrap_or_else(|| panic!("{} has no sample", schema.ce_type));
    fs::create_dir_all(folder()).unwrap();
    fs::write(json, serde_json::to_string_pretty(&sample.body_json()).unwrap() + "\n").unwrap();
    fs::write(avro, encoded(sample)).unwrap();
}

fn paths(schema: &EventSchema) -> (PathBuf, PathBuf) {
    let file = |extension: &str| folder().join(format!("{}.{extension}", schema.ce_type));
    (file("json"), file("avro"))
}

#[test]
fn every_released_type_has_a_fixture_that_reads_the_same_in_both_forms() {
    let samples = samples();
    for schema in event_schemas() {
        release_if_missing(schema, &samples);
        let (json, avro) = paths(schema);
        let missing = |e| panic!("{} has no fixture, see this module's words: {e}", schema.ce_type);
        let body: Value = serde_json::from_str(&fs::read_to_string(json).unwrap_or_else(missing)).unwrap();
        let bytes = fs::read(avro).unwrap();

        let event = decode_event(schema.id, &bytes).unwrap();
        assert_eq!(event, read_json(schema, body.clone()), "{}: the two forms differ", schema.ce_type);
        let sample = samples.iter().find(|sample| sample.ce_type() == schema.ce_type);
        assert_eq!(Some(&event), sample, "{}: the sample is not what was written", schema.ce_type);
        assert_eq!(event.body_json(), body, "{}: written otherwise as JSON now", schema.ce_type);
        assert_eq!(encoded(&event), bytes, "{}: written otherwise as Avro now", schema.ce_type);
    }
}

#[test]
fn every_current_type_has_just_one_sample() {
    let mut sampled: Vec<_> = samples().iter().map(Event::ce_type).collect();
    let mut current: Vec<_> = crate::released::derived().into_iter().map(|(ce_type, _)| ce_type).collect();
    sampled.sort_unstable();
    current.sort_unstable();
    assert_eq!(sampled, current);
}
