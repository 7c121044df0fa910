//! The rules of carts.

use aggregates::{CartError, CartStatus};
use schemas::cart::{
    AddToCart, CartChangeKind, CartCommand, ChangeCartLine, CheckOutCart, ClaimCart, LINES_MAX, OpenCart,
    Quote, RemoveFromCart,
};
use schemas::{Command, Currency, Money};

use crate::scenario::{chars, eur, every_rule_refuses, gbp, given, id, units};

pub(crate) fn to_cart(body: CartCommand) -> Command {
    Command::Cart { id: id("c1"), body }
}

pub(crate) fn open(customer: Option<&str>) -> Command {
    let customer_id = customer.map(id);
    to_cart(CartCommand::Open(OpenCart { customer_id, currency: Currency::GBP, channel: "web".into() }))
}

pub(crate) fn add(sku: &str, quantity: i64, unit_price: Money) -> Command {
    to_cart(CartCommand::Add(AddToCart { sku: id(sku), quantity: units(quantity), unit_price }))
}

pub(crate) fn change(sku: &str, quantity: i64) -> Command {
    to_cart(CartCommand::Change(ChangeCartLine { sku: id(sku), quantity: units(quantity) }))
}

pub(crate) fn remove(sku: &str) -> Command {
    to_cart(CartCommand::Remove(RemoveFromCart { sku: id(sku) }))
}

pub(crate) fn claim(customer: &str) -> Command {
    to_cart(CartCommand::Claim(ClaimCart { customer_id: id(customer) }))
}

pub(crate) fn quote(sku: &str, unit_price: Option<Money>, available: i64) -> Quote {
    Quote { sku: id(sku), unit_price, available }
}

pub(crate) fn check_out(order: &str, quotes: Vec<Quote>) -> Command {
    to_cart(CartCommand::CheckOut(CheckOutCart {
        order_id: id(order),
        quotes,
        email: Some("guest@example.org".into()),
        country: "GB".into(),
        shipping_address: None,
        payment_method: "card".into(),
    }))
}

#[test]
fn every_rule_refuses_by_name() {
    let cart_id = || id("c1");
    let invalid = |field, problem: &str| CartError::InvalidValue { field, problem: problem.into() };
    let closed = || CartError::Closed { cart_id: cart_id(), order_id: id("o1") };
    let mismatch = || CartError::CurrencyMismatch { expected: Currency::GBP, given: Currency::EUR };
    let good = || vec![quote("A", Some(gbp(100)), 9)];
    let filled = || vec![open(None), add("A", 2, gbp(100))];
    let bought = || [filled(), vec![check_out("o1", good())]].concat();
    let full = || {
        let adds = (0..LINES_MAX).map(|n| add(&format!("S{n}"), 1, gbp(1)));
        std::iter::once(open(None)).chain(adds).collect::<Vec<_>>()
    };
    let opened_from = |channel: String| {
        to_cart(CartCommand::Open(OpenCart { customer_id: None, currency: Currency::GBP, channel }))
    };
    every_rule_refuses(vec![
        (vec![], add("A", 1, gbp(1)), CartError::NotFound { cart_id: cart_id() }),
        (vec![], check_out("o1", good()), CartError::NotFound { cart_id: cart_id() }),
        (vec![open(None)], open(Some("u1")), CartError::Exists { cart_id: cart_id() }),
        (bought(), add("A", 1, gbp(1)), closed()),
        (bought(), change("A", 1), closed()),
        (bought(), remove("A"), closed()),
        (bought(), claim("u1"), closed()),
        (bought(), check_out("o2", good()), closed()),
        (vec![open(Some("u1"))], claim("u2"), CartError::Claimed { cart_id: cart_id() }),
        (vec![open(None)], check_out("o1", vec![]), CartError::Empty { cart_id: cart_id() }),
        (filled(), change("B", 1), CartError::LineNotFound { cart_id: cart_id(), sku: id("B") }),
        (filled(), remove("B"), CartError::LineNotFound { cart_id: cart_id(), sku: id("B") }),
        (full(), add("B", 1, gbp(1)), CartError::Full { cart_id: cart_id(), lines_max: 500 }),
        (vec![open(None)], add("A", 1, eur(1)), mismatch()),
        (filled(), check_out("o1", vec![quote("A", Some(eur(100)), 9)]), mismatch()),
        (filled(), check_out("o1", vec![]), invalid("quotes", "has none for A")),
        (filled(), check_out("o1", vec![quote("A", None, -1)]), invalid("available", "is -1 of A")),
        (
            vec![open(None)],
            add("A", 1, gbp(-1)),
            invalid("unit_price", "is -0.01 GBP, it may not be negative"),
        ),
        (
            filled(),
            add("A", 1_000_000_000, gbp(100)),
            invalid("quantity", "would be 1000000002, more than 1000000000"),
        ),
        (vec![], opened_from(chars(65)), invalid("channel", "has 65 characters, 1 to 64 are allowed")),
    ]);
}

#[test]
fn an_item_has_one_line_at_the_price_last_seen() {
    let before = [open(None), add("A", 2, gbp(100)), add("B", 1, gbp(50))];
    let state = given(before).when(&add("A", 3, gbp(90))).happens(&["cart.line_added"]).state;
    let cart = state.as_cart().unwrap();
    let lines: Vec<_> = cart.lines().map(|l| (l.sku.to_string(), l.quantity.get(), l.unit_price)).collect();
    assert_eq!(lines, [("A".into(), 5, gbp(90)), ("B".into(), 1, gbp(50))]);
}

#[test]
fn a_guest_s_cart_becomes_the_customer_s_and_keeps_its_lines() {
    let before = [open(None), add("A", 2, gbp(100))];
    let state = given(before).when(&claim("u1")).happens(&["cart.claimed"]).state;
    let cart = state.as_cart().unwrap();
    assert_eq!((cart.customer_id().unwrap().as_str(), cart.lines().len()), ("u1", 1));
}

#[test]
fn checking_out_at_the_price_seen_makes_an_order() {
    let command = check_out("o1", vec![quote("A", Some(gbp(100)), 2)]);
    let happened =
        given([open(Some("u1")), add("A", 2, gbp(100))]).when(&command).happens(&["cart.checked_out"]);
    let cart = happened.state.as_cart().unwrap();
    assert_eq!((cart.status(), cart.order_id()), (CartStatus::CheckedOut, Some(&id("o1"))));
    let body = happened.events[0].body_json();
    assert_eq!((&body["channel"], &body["customer_id"]), (&"web".into(), &"u1".into()));
    assert_eq!(body["lines"][0]["quantity"], 2);
}

#[test]
fn what_changed_is_told_taken_on_and_bought_only_on_the_next_checkout() {
    let filled = [
        open(None),
        add("dearer", 2, gbp(100)),
        add("scarce", 5, gbp(10)),
        add("both", 5, gbp(10)),
        add("retired", 1, gbp(70)),
        add("sold-out", 1, gbp(80)),
        add("same", 1, gbp(5)),
    ];
    let quotes = || {
        vec![
            quote("dearer", Some(gbp(120)), 9),
            quote("scarce", Some(gbp(10)), 3),
            quote("both", Some(gbp(11)), 4),
            quote("retired", None, 9),
            quote("sold-out", Some(gbp(80)), 0),
            quote("same", Some(gbp(5)), 1),
            quote("not in the cart", Some(gbp(5)), 1),
        ]
    };
    let command = check_out("o1", quotes());
    let state = given(filled.clone()).when(&command).happens(&["cart.changes_found"]).state;
    let cart = state.as_cart().unwrap();
    let changes: Vec<_> = cart.changes().iter().map(|c| (c.sku.to_string(), c.kind)).collect();
    assert_eq!(
        changes,
        [
            ("dearer".into(), CartChangeKind::PriceChanged),
            ("scarce".into(), CartChangeKind::NotEnough),
            ("both".into(), CartChangeKind::PriceChanged),
            ("both".into(), CartChangeKind::NotEnough),
            ("retired".into(), CartChangeKind::NotForSale),
            ("sold-out".into(), CartChangeKind::NotEnough),
        ]
    );
    let lines: Vec<_> =
        cart.lines().map(|l| (l.sku.as_str(), l.quantity.get(), l.unit_price.amount_minor)).collect();
    assert_eq!(lines, [("dearer", 2, 120), ("scarce", 3, 10), ("both", 4, 11), ("same", 1, 5)]);

    let told = [filled.to_vec(), vec![command]].concat();
    let again = check_out("o2", quotes());
    let state = given(told).when(&again).happens(&["cart.checked_out"]).state;
    assert!(state.as_cart().unwrap().changes().is_empty());
}

#[test]
fn the_told_changes_are_forgotten_when_the_buyer_goes_on() {
    let told = [open(None), add("A", 2, gbp(100)), check_out("o1", vec![quote("A", Some(gbp(90)), 9)])];
    let state = given(told).when(&change("A", 1)).happens(&["cart.line_changed"]).state;
    assert!(state.as_cart().unwrap().changes().is_empty());
}
