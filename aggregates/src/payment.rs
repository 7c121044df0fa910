//! The payment: a ledger of what was authorised, taken, given up and paid back, and of what was asked for and is not
//! answered yet.
//!
//! At every instant `authorised = captured + voided + open`, what is asked for never exceeds what is there (pending
//! captures and voids within `open`, refunds done and pending within `captured`), and an answer counts once, however
//! often and however late it comes. A payment that is *unwinding* undoes whatever still arrives.

mod answers;
mod error;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use imbl::Vector;
use schemas::payment::{
    PaymentBalance, PaymentCommand, PaymentEvent, PaymentRequested, RefundRequested, VoidRequested,
};
use schemas::{Currency, Money, PaymentId, Reference};
use serde::{Deserialize, Serialize};

pub use error::PaymentError;

/// Where the authorisation of a payment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Nothing was asked for.
    #[default]
    Missing,
    /// The provider was asked and has not answered.
    Requested,
    /// The provider authorised; the ledger says what became of it.
    Authorised,
    /// The provider declined. Final.
    Declined,
}

/// Which way money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Direction {
    Capture,
    Refund,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Refund => "refund",
        }
    }
}

/// What the provider said of a movement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    Pending,
    Done,
    Failed,
}

/// A capture or refund under its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Movement {
    direction: Direction,
    /// Minor units of the payment's currency, positive.
    amount: i64,
    answer: Answer,
}

/// A payment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    status: PaymentStatus,
    requested: Option<Arc<PaymentRequested>>,
    /// The provider's own name of the authorisation.
    authorisation: String,
    balance: PaymentBalance,
    movements: BTreeMap<Reference, Movement>,
    /// What the provider was asked to give up and has not answered; 0: nothing. One void at a time.
    void_pending: i64,
    /// The provider's own names of the voids it confirmed, to recognise an answer that comes again.
    voids: Vector<String>,
    unwinding: bool,
}

impl Payment {
    /// Where its authorisation stands.
    pub fn status(&self) -> PaymentStatus {
        self.status
    }

    /// The ledger's sums, minor units of [`Payment::currency`].
    pub fn balance(&self) -> PaymentBalance {
        self.balance
    }

    /// Its currency; none: nothing was asked for.
    pub fn currency(&self) -> Option<Currency> {
        self.requested.as_ref().map(|requested| requested.amount.currency)
    }

    /// What was asked for.
    pub fn requested(&self) -> Option<&PaymentRequested> {
        self.requested.as_deref()
    }

    /// Whether everything is being undone, late answers included.
    pub fn is_unwinding(&self) -> bool {
        self.unwinding
    }

    /// Minor units of captures that the provider has not answered.
    pub fn pending_captures(&self) -> i64 {
        self.pending(Direction::Capture)
    }

    /// Minor units of refunds that the provider has not answered.
    pub fn pending_refunds(&self) -> i64 {
        self.pending(Direction::Refund)
    }

    /// Minor units of the void that the provider has not answered.
    pub fn pending_void(&self) -> i64 {
        self.void_pending
    }

    fn pending(&self, direction: Direction) -> i64 {
        let is_pending = |m: &&Movement| m.direction == direction && m.answer == Answer::Pending;
        self.movements.values().filter(is_pending).map(|movement| movement.amount).sum()
    }

    /// What can still be asked for of the authorisation: to be captured, or to be voided.
    fn free(&self) -> i64 {
        self.balance.open - self.pending_captures() - self.void_pending
    }

    /// What can still be asked to be paid back.
    fn refundable(&self) -> i64 {
        self.balance.captured - self.balance.refunded - self.pending_refunds()
    }

    fn must_exist(&self, payment_id: &PaymentId) -> Result<&PaymentRequested, PaymentError> {
        self.requested().ok_or_else(|| PaymentError::NotFound { payment_id: payment_id.clone() })
    }

    fn wrong_status(&self, payment_id: PaymentId, wanted: &'static str) -> PaymentError {
        PaymentError::WrongStatus { payment_id, status: self.status, unwinding: self.unwinding, wanted }
    }

    fn void_requested(
        &self,
        requested: &PaymentRequested,
        amount: i64,
        provider_reference: &str,
        reason: &str,
    ) -> PaymentEvent {
        VoidRequested {
            payment_id: requested.payment_id.clone(),
            order_id: requested.order_id.clone(),
            amount: Money::new(amount, requested.amount.currency),
            provider_reference: provider_reference.to_owned(),
            reason: reason.to_owned(),
        }
        .into()
    }

    /// The refund with which an unwinding payment undoes a capture: its reference is the first free of `unwind/1`,
    /// `unwind/2`, …, which depends on the state alone.
    fn unwinding_refund(&self, requested: &PaymentRequested, amount: i64, reason: &str) -> PaymentEvent {
        let reference = (1..)
            .map(|row| Reference::row("unwind", row).expect("`unwind/<row from 1>` is a reference"))
            .find(|reference| !self.movements.contains_key(reference))
            .expect("there are fewer movements than rows");
        RefundRequested {
            payment_id: requested.payment_id.clone(),
            order_id: requested.order_id.clone(),
            reference,
            amount: Money::new(amount, requested.amount.currency),
            provider_reference: self.authorisation.clone(),
            reason: reason.to_owned(),
        }
        .into()
    }

    fn ask(&mut self, reference: Reference, direction: Direction, amount: Money) {
        let movement = Movement { direction, amount: amount.amount_minor, answer: Answer::Pending };
        self.movements.insert(reference, movement);
    }

    fn answer(&mut self, reference: &Reference, answer: Answer) {
        if let Some(movement) = self.movements.get_mut(reference) {
            movement.answer = answer;
        }
    }
}

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Command = (PaymentId, PaymentCommand);
    type Event = PaymentEvent;
    type Error = PaymentError;
    type Services = ();

    async fn handle(
        &mut self,
        (payment_id, command): Self::Command,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), PaymentError> {
        let events = match command {
            PaymentCommand::Request(command) => self.request(payment_id, command)?,
            PaymentCommand::RecordAuthorised(command) => self.record_authorised(payment_id, command)?,
            PaymentCommand::RecordDeclined(command) => self.record_declined(payment_id, command)?,
            PaymentCommand::RequestCapture(command) => self.request_capture(payment_id, command)?,
            PaymentCommand::RecordCaptured(command) => self.record_captured(payment_id, command)?,
            PaymentCommand::RecordCaptureFailed(command) => {
                self.record_capture_failed(payment_id, command)?
            }
            PaymentCommand::RequestVoid(command) => self.request_void(payment_id, command.reason)?,
            PaymentCommand::RecordVoided(command) => {
                self.record_voided(payment_id, command.provider_reference)?
            }
            PaymentCommand::RequestRefund(command) => self.request_refund(payment_id, command)?,
            PaymentCommand::RecordRefunded(command) => self.record_refunded(payment_id, command)?,
            PaymentCommand::RecordRefundFailed(command) => self.record_refund_failed(payment_id, command)?,
            PaymentCommand::Unwind(command) => self.unwind(payment_id, command.reason)?,
        };
        for event in events {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: PaymentEvent) {
        match event {
            PaymentEvent::Requested(event) => {
                self.status = PaymentStatus::Requested;
                self.requested = Some(Arc::new(event));
            }
            PaymentEvent::Authorised(event) => {
                self.status = PaymentStatus::Authorised;
                self.authorisation = event.provider_reference;
                self.balance = event.balance;
            }
            PaymentEvent::Declined(_) => self.status = PaymentStatus::Declined,
            PaymentEvent::CaptureRequested(event) => {
                self.ask(event.reference, Direction::Capture, event.amount);
            }
            PaymentEvent::Captured(event) => {
                self.answer(&event.reference, Answer::Done);
                self.balance = event.balance;
            }
            PaymentEvent::CaptureFailed(event) => self.answer(&event.reference, Answer::Failed),
            PaymentEvent::VoidRequested(event) => self.void_pending = event.amount.amount_minor,
            PaymentEvent::Voided(event) => {
                self.void_pending = 0;
                self.voids.push_back(event.provider_reference);
                self.balance = event.balance;
            }
            PaymentEvent::RefundRequested(event) => {
                self.ask(event.reference, Direction::Refund, event.amount);
            }
            PaymentEvent::Refunded(event) => {
                self.answer(&event.reference, Answer::Done);
                self.balance = event.balance;
            }
            PaymentEvent::RefundFailed(event) => self.answer(&event.reference, Answer::Failed),
            PaymentEvent::Unwound(_) => self.unwinding = true,
        }
    }
}
