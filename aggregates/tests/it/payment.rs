//! The rules of payments.

use aggregates::{PaymentError, PaymentStatus, State};
use schemas::payment::{
    PaymentBalance, PaymentCommand, RecordAuthorised, RecordCaptured, RecordDeclined, RecordFailed,
    RecordRefunded, RecordVoided, RequestCapture, RequestPayment, RequestRefund, RequestVoid, UnwindPayment,
};
use schemas::{Command, Money};

use crate::scenario::{chars, eur, every_rule_refuses, gbp, given, id};

pub(crate) fn to_payment(body: PaymentCommand) -> Command {
    Command::Payment { id: id("o1"), body }
}

pub(crate) fn request(amount: Money) -> Command {
    let (order_id, method) = (id("o1"), "card".to_owned());
    to_payment(PaymentCommand::Request(RequestPayment { order_id, customer_id: None, amount, method }))
}

pub(crate) fn authorised(amount: Money) -> Command {
    let provider_reference = "auth".to_owned();
    to_payment(PaymentCommand::RecordAuthorised(RecordAuthorised { amount, provider_reference }))
}

fn failure(reference: &str) -> RecordFailed {
    RecordFailed { reference: id(reference), code: "no".into(), message: "not today".into() }
}

pub(crate) fn declined() -> Command {
    let (code, message) = ("no".to_owned(), "not today".to_owned());
    to_payment(PaymentCommand::RecordDeclined(RecordDeclined { code, message }))
}

pub(crate) fn capture(reference: &str, amount: Option<Money>) -> Command {
    to_payment(PaymentCommand::RequestCapture(RequestCapture { reference: id(reference), amount }))
}

pub(crate) fn captured(reference: &str) -> Command {
    let provider_reference = format!("p-{reference}");
    to_payment(PaymentCommand::RecordCaptured(RecordCaptured {
        reference: id(reference),
        provider_reference,
    }))
}

pub(crate) fn capture_failed(reference: &str) -> Command {
    to_payment(PaymentCommand::RecordCaptureFailed(failure(reference)))
}

pub(crate) fn void() -> Command {
    to_payment(PaymentCommand::RequestVoid(RequestVoid { reason: "why".into() }))
}

pub(crate) fn voided(provider_reference: &str) -> Command {
    let provider_reference = provider_reference.to_owned();
    to_payment(PaymentCommand::RecordVoided(RecordVoided { provider_reference }))
}

pub(crate) fn refund(reference: &str, amount: Money) -> Command {
    let reason = "why".to_owned();
    to_payment(PaymentCommand::RequestRefund(RequestRefund { reference: id(reference), amount, reason }))
}

pub(crate) fn refunded(reference: &str) -> Command {
    let provider_reference = format!("p-{reference}");
    to_payment(PaymentCommand::RecordRefunded(RecordRefunded {
        reference: id(reference),
        provider_reference,
    }))
}

pub(crate) fn refund_failed(reference: &str) -> Command {
    to_payment(PaymentCommand::RecordRefundFailed(failure(reference)))
}

pub(crate) fn unwind() -> Command {
    to_payment(PaymentCommand::Unwind(UnwindPayment { reason: "cancelled".into() }))
}

fn open() -> Vec<Command> {
    vec![request(gbp(100)), authorised(gbp(100))]
}

fn after(more: impl IntoIterator<Item = Command>) -> Vec<Command> {
    open().into_iter().chain(more).collect()
}

fn taken() -> Vec<Command> {
    after([capture("k/1", Some(gbp(60))), captured("k/1")])
}

#[track_caller]
fn balance(state: &State, captured: i64, voided: i64, refunded: i64) {
    let expected =
        PaymentBalance { authorised: 100, captured, voided, open: 100 - captured - voided, refunded };
    assert_eq!(state.as_payment().unwrap().balance(), expected);
}

#[test]
fn every_rule_refuses_by_name() {
    let payment_id = || id("o1");
    let wrong = |status, unwinding, wanted| PaymentError::WrongStatus {
        payment_id: payment_id(),
        status,
        unwinding,
        wanted,
    };
    let amount = |given, problem| PaymentError::AmountInvalid { given, problem };
    let reused =
        |reference| PaymentError::ReferenceReused { payment_id: payment_id(), reference: id(reference) };
    let over = |requested, free| PaymentError::CaptureExceedsAuthorised {
        payment_id: payment_id(),
        requested: gbp(requested),
        free: gbp(free),
    };
    let too_much = |requested, captured, refunded| PaymentError::RefundExceedsCaptured {
        payment_id: payment_id(),
        requested: gbp(requested),
        captured: gbp(captured),
        refunded: gbp(refunded),
    };
    let unknown = |movement, reference| PaymentError::MovementNotFound {
        payment_id: payment_id(),
        movement,
        reference: id(reference),
    };
    let contradicts = |movement, reference| PaymentError::AnswerContradicts {
        payment_id: payment_id(),
        movement,
        reference: id(reference),
    };
    let refunding = || [taken(), vec![refund("f/1", gbp(40))]].concat();
    let all_pending = || after([capture("k/1", None)]);
    use PaymentStatus::{Authorised, Declined, Missing, Requested};
    let mut refusals = vec![
        (vec![request(gbp(100))], request(gbp(99)), PaymentError::Exists { payment_id: payment_id() }),
        (vec![unwind()], request(gbp(100)), wrong(Missing, true, "request")),
        (vec![request(gbp(100)), declined()], authorised(gbp(100)), wrong(Declined, false, "authorise")),
        (open(), authorised(gbp(99)), wrong(Authorised, false, "authorise")),
        (open(), declined(), wrong(Authorised, false, "decline")),
        (vec![request(gbp(100))], capture("k/1", None), wrong(Requested, false, "capture")),
        (after([unwind()]), capture("k/1", None), wrong(Authorised, true, "capture")),
        (vec![request(gbp(100))], void(), wrong(Requested, false, "void")),
        (vec![], request(gbp(0)), amount(gbp(0), "is not positive")),
        (vec![], request(gbp(i64::MAX)), amount(gbp(i64::MAX), "is too large")),
        (vec![request(gbp(100))], authorised(eur(100)), amount(eur(100), "is not in the payment's currency")),
        (vec![request(gbp(100))], authorised(gbp(101)), amount(gbp(101), "is more than was requested")),
        (open(), capture("k/1", Some(gbp(0))), amount(gbp(0), "is not positive")),
        (taken(), refund("f/1", eur(1)), amount(eur(1), "is not in the payment's currency")),
        (open(), capture("k/1", Some(gbp(101))), over(101, 100)),
        (after([capture("k/1", Some(gbp(60)))]), capture("k/2", Some(gbp(41))), over(41, 40)),
        (after([void()]), capture("k/1", None), over(0, 0)),
        (open(), refund("f/1", gbp(1)), too_much(1, 0, 0)),
        (all_pending(), refund("f/1", gbp(1)), too_much(1, 0, 0)),
        (refunding(), refund("f/2", gbp(21)), too_much(21, 60, 40)),
        (all_pending(), void(), PaymentError::NothingToVoid { payment_id: payment_id() }),
        (open(), voided("v1"), PaymentError::VoidNotRequested { payment_id: payment_id() }),
        (
            after([void(), voided("v1")]),
            voided("v2"),
            PaymentError::VoidNotRequested { payment_id: payment_id() },
        ),
        (open(), captured("k/1"), unknown("capture", "k/1")),
        (refunding(), captured("f/1"), unknown("capture", "f/1")),
        (taken(), refund_failed("k/1"), unknown("refund", "k/1")),
        (taken(), capture_failed("k/1"), contradicts("capture", "k/1")),
        ([refunding(), vec![refund_failed("f/1")]].concat(), refunded("f/1"), contradicts("refund", "f/1")),
        (taken(), capture("k/1", Some(gbp(61))), reused("k/1")),
        (taken(), refund("k/1", gbp(60)), reused("k/1")),
        (refunding(), capture("f/1", Some(gbp(40))), reused("f/1")),
        (
            vec![],
            to_payment(PaymentCommand::Request(RequestPayment {
                order_id: id("another"),
                customer_id: None,
                amount: gbp(1),
                method: "card".into(),
            })),
            PaymentError::InvalidValue {
                field: "order_id",
                problem: "is not the payment's id, as it has to be".into(),
            },
        ),
        (
            after([void()]),
            voided(&chars(257)),
            PaymentError::InvalidValue {
                field: "provider_reference",
                problem: "has 257 characters, 1 to 256 are allowed".into(),
            },
        ),
    ];
    for command in [
        authorised(gbp(100)),
        declined(),
        capture("k/1", None),
        captured("k/1"),
        capture_failed("k/1"),
        void(),
        voided("v1"),
        refund("f/1", gbp(1)),
        refunded("f/1"),
        refund_failed("f/1"),
    ] {
        refusals.push((vec![], command, PaymentError::NotFound { payment_id: payment_id() }));
    }
    every_rule_refuses(refusals);
}

#[test]
fn money_is_taken_in_parts_the_rest_given_up_and_some_paid_back() {
    let mut before = vec![];
    for (command, event) in [
        (request(gbp(100)), "payment.requested"),
        (authorised(gbp(100)), "payment.authorised"),
        (capture("k/1", Some(gbp(60))), "payment.capture_requested"),
        (captured("k/1"), "payment.captured"),
        (capture("k/2", Some(gbp(10))), "payment.capture_requested"),
        (capture_failed("k/2"), "payment.capture_failed"),
        (void(), "payment.void_requested"),
        (voided("v1"), "payment.voided"),
        (refund("f/1", gbp(20)), "payment.refund_requested"),
        (refunded("f/1"), "payment.refunded"),
        (refund("f/2", gbp(40)), "payment.refund_requested"),
        (refund_failed("f/2"), "payment.refund_failed"),
        (refund("f/3", gbp(40)), "payment.refund_requested"),
    ] {
        given(before.clone()).when(&command).happens(&[event]);
        before.push(command);
        // Whatever was said up to here may be said again.
        for again in &before {
            given(before.clone()).when(again).nothing_happens();
        }
    }
    let state = given(before).when(&refunded("f/3")).happens(&["payment.refunded"]).state;
    balance(&state, 60, 40, 60);
}

#[test]
fn a_failed_refund_moves_no_balance_and_frees_what_it_had_set_aside() {
    let before = [taken(), vec![refund("f/1", gbp(60)), refund_failed("f/1")]].concat();
    let state = given(before).when(&refund("f/2", gbp(60))).happens(&["payment.refund_requested"]).state;
    balance(&state, 60, 0, 0);
    assert_eq!(state.as_payment().unwrap().pending_refunds(), 60);
}

#[test]
fn voiding_leaves_a_pending_capture_its_money() {
    let before = after([capture("k/1", Some(gbp(60)))]);
    let happened = given(before.clone()).when(&void()).happens(&["payment.void_requested"]);
    assert_eq!(happened.events[0].body_json()["amount"]["amount_minor"], 40);
    let before = [before, vec![void(), voided("v1")]].concat();
    balance(&given(before).when(&captured("k/1")).happens(&["payment.captured"]).state, 60, 40, 0);
}

#[test]
fn a_payment_may_be_authorised_in_part() {
    let state = given([request(gbp(100))]).when(&authorised(gbp(70))).happens(&["payment.authorised"]).state;
    assert_eq!(state.as_payment().unwrap().balance().open, 70);
}

#[test]
fn unwinding_voids_what_is_open_and_refunds_what_is_taken() {
    let happened = given(taken()).when(&unwind()).happens(&[
        "payment.unwound",
        "payment.void_requested",
        "payment.refund_requested",
    ]);
    assert_eq!(happened.events[1].body_json()["amount"]["amount_minor"], 40);
    assert_eq!(happened.events[2].body_json()["amount"]["amount_minor"], 60);
    assert_eq!(happened.events[2].body_json()["reference"], "unwind/1");
    given([taken(), vec![unwind()]].concat()).when(&unwind()).nothing_happens();
}

#[test]
fn unwinding_refunds_only_what_is_not_being_refunded() {
    let before = [taken(), vec![refund("unwind/1", gbp(25))]].concat();
    let happened = given(before).when(&unwind()).happens(&[
        "payment.unwound",
        "payment.void_requested",
        "payment.refund_requested",
    ]);
    assert_eq!(happened.events[2].body_json()["amount"]["amount_minor"], 35);
    assert_eq!(happened.events[2].body_json()["reference"], "unwind/2");
}

#[test]
fn an_authorisation_that_comes_after_unwinding_is_voided() {
    let before = vec![request(gbp(100)), unwind()];
    let happened = given(before.clone())
        .when(&authorised(gbp(100)))
        .happens(&["payment.authorised", "payment.void_requested"]);
    assert_eq!(happened.events[1].body_json()["provider_reference"], "auth");
    given(before).when(&declined()).happens(&["payment.declined"]);
}

#[test]
fn a_capture_that_comes_after_unwinding_is_refunded() {
    let before = after([capture("k/1", Some(gbp(60))), unwind()]);
    let late = given(before.clone())
        .when(&captured("k/1"))
        .happens(&["payment.captured", "payment.refund_requested"]);
    assert_eq!(late.events[1].body_json()["amount"]["amount_minor"], 60);
}

#[test]
fn a_capture_that_fails_after_unwinding_is_voided_after_the_void_under_way() {
    let before = after([capture("k/1", Some(gbp(60))), unwind()]);
    given(before.clone()).when(&capture_failed("k/1")).happens(&["payment.capture_failed"]);
    let before = [before, vec![capture_failed("k/1")]].concat();
    given(before.clone()).when(&voided("v1")).happens(&["payment.voided", "payment.void_requested"]);
    let before = [before, vec![voided("v1")]].concat();
    given(before.clone()).when(&voided("v1")).nothing_happens();
    balance(&given(before).when(&voided("v2")).happens(&["payment.voided"]).state, 0, 100, 0);

    let before = after([capture("k/1", None), unwind()]);
    given(before).when(&capture_failed("k/1")).happens(&["payment.capture_failed", "payment.void_requested"]);
}

#[test]
fn unwinding_before_anything_was_asked_for_keeps_it_from_being_asked() {
    let state = given([]).when(&unwind()).happens(&["payment.unwound"]).state;
    assert!(state.as_payment().unwrap().is_unwinding());
}

#[test]
fn a_declined_payment_has_nothing_to_unwind() {
    given([request(gbp(100)), declined()]).when(&unwind()).nothing_happens();
}
