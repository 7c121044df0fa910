//! The rules of products.

use aggregates::{AMOUNT_MINOR_MAX, ProductError, ProductStatus};
use schemas::order::LineKind;
use schemas::product::{
    Attributes, ProductCommand, ProductDescription, PublishProduct, RetireProduct, SetPrice, TaxClass,
};
use schemas::{Command, Currency, Money};

use crate::scenario::{chars, eur, every_rule_refuses, gbp, given, id};

pub(crate) fn to_product(body: ProductCommand) -> Command {
    Command::Product { id: id("85123A"), body }
}

pub(crate) fn described(name: &str) -> ProductDescription {
    ProductDescription { name: name.into(), tax_class: TaxClass::Reduced, ..Default::default() }
}

pub(crate) fn draft() -> Command {
    to_product(ProductCommand::Draft(described("Holder")))
}

pub(crate) fn describe(description: ProductDescription) -> Command {
    to_product(ProductCommand::Describe(description))
}

pub(crate) fn price(price: Money) -> Command {
    to_product(ProductCommand::Price(SetPrice { price }))
}

pub(crate) fn publish() -> Command {
    to_product(ProductCommand::Publish(PublishProduct {}))
}

pub(crate) fn retire() -> Command {
    to_product(ProductCommand::Retire(RetireProduct { reason: "gone".into() }))
}

#[test]
fn every_rule_refuses_by_name() {
    let sku = || id("85123A");
    let invalid = |field, problem: &str| ProductError::InvalidValue { field, problem: problem.into() };
    let with = |change: fn(&mut ProductDescription)| {
        let mut description = described("Holder");
        change(&mut description);
        to_product(ProductCommand::Draft(description))
    };
    every_rule_refuses(vec![
        (vec![], price(gbp(1)), ProductError::NotFound { sku: sku() }),
        (vec![], publish(), ProductError::NotFound { sku: sku() }),
        (vec![], retire(), ProductError::NotFound { sku: sku() }),
        (
            vec![draft()],
            to_product(ProductCommand::Draft(described("Other"))),
            ProductError::Exists { sku: sku() },
        ),
        (vec![draft(), retire()], describe(described("Other")), ProductError::Retired { sku: sku() }),
        (vec![draft(), retire()], publish(), ProductError::Retired { sku: sku() }),
        (vec![draft()], publish(), ProductError::NotPriced { sku: sku() }),
        (vec![draft()], price(gbp(-1)), invalid("price", "is -0.01 GBP, it may not be negative")),
        (
            vec![draft()],
            price(gbp(AMOUNT_MINOR_MAX + 1)),
            invalid("price", "is 10000000000.01 GBP, at most 10000000000.00 GBP is allowed"),
        ),
        (vec![], with(|d| d.name.clear()), invalid("name", "has 0 characters, 1 to 300 are allowed")),
        (
            vec![],
            with(|d| d.description = chars(20_001)),
            invalid("description", "has 20001 characters, 0 to 20000 are allowed"),
        ),
        (
            vec![],
            with(|d| {
                (d.media, d.category_path) = (vec!["字".repeat(2_000); 100], vec!["ö".repeat(300); 100])
            }),
            invalid(
                "category_path, attributes and media",
                "have 660000 bytes of text, at most 614400 are allowed",
            ),
        ),
        (
            vec![],
            with(|d| d.category_path = vec!["Kitchen".into(); 101]),
            invalid("category_path", "has 101 entries, at most 100 are allowed"),
        ),
        (
            vec![],
            with(|d| d.attributes = Attributes([(chars(65), String::new())].into())),
            invalid("attributes", "has 65 characters, 1 to 64 are allowed"),
        ),
    ]);
}

#[test]
fn a_product_is_for_sale_from_publishing_to_retiring() {
    let then = given([draft(), price(gbp(255)), price(eur(300))]).when(&publish());
    let state = then.happens(&["product.published"]).state;
    let product = state.as_product().unwrap();
    assert!(product.is_for_sale());
    assert_eq!(product.price(Currency::GBP), Some(gbp(255)));
    assert_eq!(product.price(Currency::EUR), Some(eur(300)));
    assert_eq!(product.price(Currency::JPY), None);
    assert_eq!(
        (product.name(), product.tax_class(), product.kind()),
        ("Holder", TaxClass::Reduced, LineKind::Goods)
    );

    let then = given([draft(), price(gbp(255)), publish()]).when(&retire());
    let state = then.happens(&["product.retired"]).state;
    assert_eq!(state.as_product().unwrap().status(), ProductStatus::Retired);
    assert!(!state.as_product().unwrap().is_for_sale());
}

#[test]
fn a_price_says_what_it_replaces() {
    let happened = given([draft(), price(gbp(255))]).when(&price(gbp(0))).happens(&["product.priced"]);
    assert_eq!(happened.events[0].body_json()["previous"]["amount_minor"], 255);
}

#[test]
fn an_attribute_makes_a_product_a_service() {
    let mut postage = described("Postage");
    postage.attributes.0.insert("kind".into(), "service".into());
    let state = given([draft()]).when(&describe(postage)).happens(&["product.described"]).state;
    assert_eq!(state.as_product().unwrap().kind(), LineKind::Service);
}
