//! The rules of customers.

use aggregates::{AMOUNT_MINOR_MAX, CustomerError};
use schemas::customer::{
    CreditAccount, CreditKind, CustomerCommand, CustomerProfile, InteractionKind, PutAddress, RecordConsent,
    RecordInteraction, RemoveAddress, Tag,
};
use schemas::order::PostalAddress;
use schemas::{Command, Currency, Money};

use crate::scenario::{chars, eur, every_rule_refuses, gbp, given, id};

pub(crate) fn to_customer(body: CustomerCommand) -> Command {
    Command::Customer { id: id("17850"), body }
}

fn profile(name: &str) -> CustomerProfile {
    CustomerProfile { name: name.into(), emails: vec!["a@example.org".into()], ..Default::default() }
}

pub(crate) fn register() -> Command {
    to_customer(CustomerCommand::Register(profile("Ann")))
}

pub(crate) fn change_profile(name: &str) -> Command {
    to_customer(CustomerCommand::ChangeProfile(profile(name)))
}

pub(crate) fn put_address(address: &str, city: &str) -> Command {
    let postal = PostalAddress { name: "Ann".into(), city: city.into(), ..Default::default() };
    to_customer(CustomerCommand::PutAddress(PutAddress { address_id: id(address), address: postal }))
}

pub(crate) fn remove_address(address: &str) -> Command {
    to_customer(CustomerCommand::RemoveAddress(RemoveAddress { address_id: id(address) }))
}

pub(crate) fn consent(purpose: &str, granted: bool) -> Command {
    let (purpose, source) = (purpose.to_owned(), "form".to_owned());
    to_customer(CustomerCommand::RecordConsent(RecordConsent { purpose, granted, source }))
}

pub(crate) fn viewed(detail: String) -> Command {
    to_customer(CustomerCommand::RecordInteraction(RecordInteraction {
        kind: InteractionKind::Viewed,
        sku: Some(id("85123A")),
        detail,
        channel: "web".into(),
        session: None,
    }))
}

pub(crate) fn tag(tag: &str) -> Command {
    to_customer(CustomerCommand::AddTag(Tag { tag: tag.into() }))
}

pub(crate) fn untag(tag: &str) -> Command {
    to_customer(CustomerCommand::RemoveTag(Tag { tag: tag.into() }))
}

pub(crate) fn credit(reference: &str, amount: Money) -> Command {
    to_customer(CustomerCommand::Credit(CreditAccount {
        reference: id(reference),
        amount,
        kind: CreditKind::Note,
        order_id: None,
        reason: "Discount".into(),
    }))
}

#[test]
fn every_rule_refuses_by_name() {
    let customer_id = || id("17850");
    let invalid = |field, problem: &str| CustomerError::InvalidValue { field, problem: problem.into() };
    let limit = |what| CustomerError::Limit { customer_id: customer_id(), what, limit: 100 };
    let hundred = |command: fn(String) -> Command| {
        let commands = (0..100).map(|n| command(format!("n{n}")));
        std::iter::once(register()).chain(commands).collect::<Vec<_>>()
    };
    let mut refusals = vec![
        (
            vec![register()],
            to_customer(CustomerCommand::Register(profile("Bob"))),
            CustomerError::Exists { customer_id: customer_id() },
        ),
        (
            vec![register()],
            remove_address("home"),
            CustomerError::AddressNotFound { customer_id: customer_id(), address_id: id("home") },
        ),
        (hundred(|n| put_address(&n, "Hull")), put_address("one-more", "Hull"), limit("addresses")),
        (hundred(|n| consent(&n, true)), consent("one-more", true), limit("consents")),
        (hundred(|n| tag(&n)), tag("one-more"), limit("tags")),
        (
            vec![register(), credit("C1/1", gbp(5))],
            credit("C1/1", gbp(6)),
            CustomerError::ReferenceReused { customer_id: customer_id(), reference: id("C1/1") },
        ),
        (
            vec![register(), credit("C1/1", gbp(5))],
            credit("C1/2", eur(5)),
            CustomerError::CurrencyMismatch { expected: Currency::GBP, given: Currency::EUR },
        ),
        (
            vec![register()],
            credit("C1/1", gbp(AMOUNT_MINOR_MAX + 1)),
            invalid("amount", "is 10000000000.01 GBP, at most 10000000000.00 GBP is allowed"),
        ),
        (
            vec![register()],
            credit("C1/1", gbp(i64::MIN)),
            invalid("amount", "is -92233720368547758.08 GBP, at most 10000000000.00 GBP is allowed"),
        ),
        (vec![register()], tag(""), invalid("tag", "has 0 characters, 1 to 64 are allowed")),
        (
            vec![register()],
            viewed(chars(2_001)),
            invalid("detail", "has 2001 characters, 0 to 2000 are allowed"),
        ),
        (
            vec![],
            to_customer(CustomerCommand::Register(CustomerProfile {
                emails: vec![String::new()],
                ..Default::default()
            })),
            invalid("emails", "has 0 characters, 1 to 320 are allowed"),
        ),
    ];
    for command in [
        change_profile("Bob"),
        put_address("home", "Hull"),
        remove_address("home"),
        consent("newsletter", true),
        viewed(String::new()),
        tag("vip"),
        untag("vip"),
        credit("C1/1", gbp(5)),
    ] {
        refusals.push((vec![], command, CustomerError::NotFound { customer_id: customer_id() }));
    }
    every_rule_refuses(refusals);
}

#[test]
fn the_account_may_be_overdrawn_and_counts_a_reference_once() {
    let before = [register(), credit("C1/1", gbp(500)), credit("C1/2", gbp(-800)), credit("C1/3", gbp(0))];
    let state = given(before).when(&credit("C1/2", gbp(-800))).nothing_happens();
    assert_eq!(state.as_customer().unwrap().balance(), Some(gbp(-300)));
}

#[test]
fn what_is_already_so_is_not_recorded_again() {
    let before = [
        register(),
        change_profile("Bob"),
        put_address("home", "Hull"),
        consent("newsletter", true),
        tag("vip"),
    ];
    for command in [
        change_profile("Bob"),
        put_address("home", "Hull"),
        consent("newsletter", true),
        tag("vip"),
        untag("x"),
    ] {
        given(before.clone()).when(&command).nothing_happens();
    }
    let withdrawn = consent("newsletter", false);
    let state = given(before.clone()).when(&withdrawn).happens(&["customer.consent_recorded"]).state;
    assert_eq!(state.as_customer().unwrap().consent("newsletter"), Some(false));
    let untagged = given(before.clone()).when(&untag("vip")).happens(&["customer.untagged"]);
    given([before.to_vec(), vec![untag("vip")]].concat()).when(&tag("vip")).happens(&["customer.tagged"]);
    assert_ne!(untagged.state, state);
}

#[test]
fn every_interaction_is_recorded() {
    let before = [register(), viewed("a".into())];
    given(before).when(&viewed("a".into())).happens(&["customer.interaction_recorded"]);
}
