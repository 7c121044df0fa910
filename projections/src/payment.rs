//! How it was paid: one document per payment. A payment has its order's id.

use read_store::Table;
use schemas::payment::{PaymentBalance, PaymentEvent};
use schemas::{
    AggregateType, CustomerId, Event, Money, OrderId, PaymentId, Position, RecordedEvent, Reference,
    Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FoldError, Key, Projection, RowId};

/// Where a payment stands; the balance says how much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The provider is asked.
    #[default]
    Requested,
    /// The provider declined.
    Declined,
    /// Money is promised, none of it taken.
    Authorised,
    /// Money was taken.
    Captured,
    /// All that was taken was paid back.
    Refunded,
    /// All that was promised was given up, or it was called off before anything was asked for.
    Voided,
}

/// What the provider said no with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decline {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// How far a capture or refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementStatus {
    /// The provider is asked.
    Requested,
    /// The money has moved.
    Done,
    /// The provider could not do it.
    Failed,
}

/// A capture or a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Movement {
    /// Its name within the payment.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub status: MovementStatus,
    /// When the provider was asked.
    pub requested_at: Timestamp,
    /// When the provider answered.
    pub answered_at: Option<Timestamp>,
    /// What the provider said no with.
    pub failure: Option<Decline>,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentDocument {
    /// The payment.
    pub id: PaymentId,
    /// What is paid for.
    pub order_id: OrderId,
    /// Who pays; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// How much was asked for; none: nothing was, and nothing will be.
    pub amount: Option<Money>,
    /// The way to pay.
    pub method: String,
    /// The ledger, minor units of the payment's currency.
    pub balance: PaymentBalance,
    /// What the provider declined with.
    pub declines: Vec<Decline>,
    /// Money taken, in the order asked for.
    pub captures: Vec<Movement>,
    /// Money paid back, in the order asked for.
    pub refunds: Vec<Movement>,
    /// Whether it is being undone.
    pub unwound: bool,
    /// When it was asked for, or called off before that.
    pub requested_at: Timestamp,
    /// Its stream's version.
    pub version: Version,
    /// Where its last event stands in the log.
    #[schema(value_type = String, example = "millrace.payment.events/0@17")]
    pub position: Position,
}

impl PaymentDocument {
    fn new(id: PaymentId, order_id: OrderId, status: PaymentStatus, event: &RecordedEvent) -> Self {
        Self {
            id,
            order_id,
            customer_id: None,
            status,
            amount: None,
            method: String::new(),
            balance: PaymentBalance { authorised: 0, captured: 0, voided: 0, open: 0, refunded: 0 },
            declines: Vec::new(),
            captures: Vec::new(),
            refunds: Vec::new(),
            unwound: false,
            requested_at: event.metadata.occurred_at,
            version: event.metadata.version,
            position: event.position.clone(),
        }
    }

    fn settle(&mut self, balance: &PaymentBalance) {
        self.balance = *balance;
        self.status = match balance {
            b if b.captured > 0 && b.refunded == b.captured => PaymentStatus::Refunded,
            b if b.captured > 0 => PaymentStatus::Captured,
            b if b.open > 0 => PaymentStatus::Authorised,
            b if b.voided > 0 => PaymentStatus::Voided,
            _ => PaymentStatus::Requested,
        };
    }
}

fn ask(movements: &mut Vec<Movement>, reference: &Reference, amount: Money, at: Timestamp) {
    movements.retain(|known| known.reference != *reference);
    movements.push(Movement {
        reference: reference.clone(),
        amount,
        status: MovementStatus::Requested,
        requested_at: at,
        answered_at: None,
        failure: None,
    });
}

fn answer(
    movements: &mut [Movement],
    reference: &Reference,
    failure: Option<Decline>,
    at: Timestamp,
) -> Result<(), FoldError> {
    let movement = movements.iter_mut().find(|known| known.reference == *reference);
    let movement = movement.ok_or_else(|| FoldError::NoSuchPart { what: format!("movement {reference}") })?;
    movement.status = if failure.is_some() { MovementStatus::Failed } else { MovementStatus::Done };
    movement.answered_at = Some(at);
    movement.failure = failure;
    Ok(())
}

/// The payments.
pub struct Payments;

impl Projection for Payments {
    type Document = PaymentDocument;
    const TABLE: Table = Table::new("payment", 1);
    const TOPICS: &'static [AggregateType] = &[AggregateType::Payment];
    const KEY: Key = Key::Stream;

    fn rows(event: &RecordedEvent, rows: &mut Vec<RowId>) {
        rows.push(RowId::of(event.metadata.stream.id()));
    }

    fn fold(
        _: &RowId,
        document: Option<PaymentDocument>,
        event: &RecordedEvent,
    ) -> Result<Option<PaymentDocument>, FoldError> {
        let Event::Payment(body) = &event.event else { return Ok(document) };
        let mut payment = match (document, body) {
            (Some(payment), _) => payment,
            (None, PaymentEvent::Requested(request)) => {
                let (id, order_id) = (request.payment_id.clone(), request.order_id.clone());
                PaymentDocument::new(id, order_id, PaymentStatus::Requested, event)
            }
            // An order can be undone before its payment was asked for.
            (None, PaymentEvent::Unwound(unwound)) => {
                let (id, order_id) = (unwound.payment_id.clone(), unwound.order_id.clone());
                PaymentDocument::new(id, order_id, PaymentStatus::Voided, event)
            }
            (None, other) => return Err(FoldError::NotStarted { what: other.ce_type() }),
        };
        let at = event.metadata.occurred_at;
        let declined =
            |code: &str, message: &str| Decline { code: code.to_owned(), message: message.to_owned(), at };
        match body {
            PaymentEvent::Requested(request) => {
                payment.amount = Some(request.amount);
                payment.customer_id.clone_from(&request.customer_id);
                payment.method.clone_from(&request.method);
                payment.status = PaymentStatus::Requested;
            }
            PaymentEvent::Authorised(authorised) => payment.settle(&authorised.balance),
            PaymentEvent::Declined(refusal) => {
                payment.declines.push(declined(&refusal.code, &refusal.message));
                payment.status = PaymentStatus::Declined;
            }
            PaymentEvent::CaptureRequested(c) => ask(&mut payment.captures, &c.reference, c.amount, at),
            PaymentEvent::Captured(captured) => {
                answer(&mut payment.captures, &captured.reference, None, at)?;
                payment.settle(&captured.balance);
            }
            PaymentEvent::CaptureFailed(failed) => {
                let failure = declined(&failed.code, &failed.message);
                answer(&mut payment.captures, &failed.reference, Some(failure), at)?;
            }
            PaymentEvent::VoidRequested(_) => {}
            PaymentEvent::Voided(voided) => payment.settle(&voided.balance),
            PaymentEvent::RefundRequested(r) => ask(&mut payment.refunds, &r.reference, r.amount, at),
            PaymentEvent::Refunded(refunded) => {
                answer(&mut payment.refunds, &refunded.reference, None, at)?;
                payment.settle(&refunded.balance);
            }
            PaymentEvent::RefundFailed(failed) => {
                let failure = declined(&failed.code, &failed.message);
                answer(&mut payment.refunds, &failed.reference, Some(failure), at)?;
            }
            PaymentEvent::Unwound(_) => payment.unwound = true,
        }
        payment.version = event.metadata.version;
        payment.position = event.position.clone();
        Ok(Some(payment))
    }
}
