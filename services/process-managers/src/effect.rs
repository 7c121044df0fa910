//! Effects: calls to the outside as values, their results, and the commands that record the results.

use schemas::payment::{
    PaymentCommand, RecordAuthorised, RecordCaptured, RecordDeclined, RecordFailed, RecordRefunded,
    RecordVoided,
};
use schemas::shipment::{DeliverShipment, DispatchShipment, FailShipment, ShipmentCommand};
use schemas::{Command, ShipmentId};

use crate::{
    BookingRequest, BookingResult, PaymentOperation, PaymentRequest, PaymentResult, Step, Tracking,
    TrackingRequest,
};

/// Most characters of a text for people, as the aggregates allow it.
pub(crate) const NOTE_CHARS_MAX: usize = 2_000;
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 300;
/// Most characters of a code.
const CODE_CHARS_MAX: usize = 64;

/// The text, cut where an aggregate would refuse it for its length.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// A call to the outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Move money.
    Payment(PaymentRequest),
    /// Book a shipment with its carrier.
    Book(BookingRequest),
    /// Take a booking back.
    CancelBooking(BookingRequest),
    /// Ask where a shipment is.
    Track(TrackingRequest),
}

impl Effect {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Payment(request) => request.operation.name(),
            Self::Book(_) => "book",
            Self::CancelBooking(_) => "cancel_booking",
            Self::Track(_) => "track",
        }
    }
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EffectResult {
    /// The provider's final word.
    Payment(PaymentResult),
    /// The carrier's final word.
    Booking(BookingResult),
    /// The booking is taken back.
    BookingCancelled,
    /// Where the shipment is.
    Tracking(Tracking),
    /// It was taken on; the final word comes later.
    Pending,
}

/// The step that records a payment result; none for a void that was refused, which nothing can record: it stays open
/// and is asked for again.
///
/// A reply, a notification and a later query all come through here: they are one command.
pub(crate) fn payment_result_step(request: &PaymentRequest, result: &PaymentResult) -> Option<Step> {
    use PaymentOperation::{Authorise, Capture, Refund, Void};
    let failed = |reference: &schemas::Reference, code: &String, message: &String| RecordFailed {
        reference: reference.clone(),
        code: cut(code, CODE_CHARS_MAX),
        message: cut(message, NOTE_CHARS_MAX),
    };
    let body = match (&request.operation, result) {
        (Authorise { amount, .. }, PaymentResult::Done { provider_reference }) => {
            let provider_reference = provider_reference.clone();
            PaymentCommand::RecordAuthorised(RecordAuthorised { amount: *amount, provider_reference })
        }
        (Authorise { .. }, PaymentResult::Declined { code, message }) => {
            PaymentCommand::RecordDeclined(RecordDeclined {
                code: cut(code, CODE_CHARS_MAX),
                message: cut(message, NOTE_CHARS_MAX),
            })
        }
        (Capture { reference, .. }, PaymentResult::Done { provider_reference }) => {
            let (reference, provider_reference) = (reference.clone(), provider_reference.clone());
            PaymentCommand::RecordCaptured(RecordCaptured { reference, provider_reference })
        }
        (Capture { reference, .. }, PaymentResult::Declined { code, message }) => {
            PaymentCommand::RecordCaptureFailed(failed(reference, code, message))
        }
        (Void { .. }, PaymentResult::Done { provider_reference }) => {
            PaymentCommand::RecordVoided(RecordVoided { provider_reference: provider_reference.clone() })
        }
        (Void { .. }, PaymentResult::Declined { .. }) => return None,
        (Refund { reference, .. }, PaymentResult::Done { provider_reference }) => {
            let (reference, provider_reference) = (reference.clone(), provider_reference.clone());
            PaymentCommand::RecordRefunded(RecordRefunded { reference, provider_reference })
        }
        (Refund { reference, .. }, PaymentResult::Declined { code, message }) => {
            PaymentCommand::RecordRefundFailed(failed(reference, code, message))
        }
    };
    let command = Command::Payment { id: request.payment_id.clone(), body };
    Some(Step::command(format!("{}-result", request.operation.name()), command))
}

/// The step that records a booking result.
pub(crate) fn booking_result_step(shipment_id: &ShipmentId, result: &BookingResult) -> Step {
    let (name, body) = match result {
        BookingResult::Booked { tracking_number } => (
            "dispatch",
            ShipmentCommand::Dispatch(DispatchShipment { tracking_number: tracking_number.clone() }),
        ),
        BookingResult::Refused { code, reason } => ("booking-refused", fail(code, reason)),
    };
    Step::command(name, Command::Shipment { id: shipment_id.clone(), body })
}

/// The step that records the end of a shipment's way; none while it is on it.
pub(crate) fn tracking_step(shipment_id: &ShipmentId, tracking: &Tracking) -> Option<Step> {
    let (name, body) = match tracking {
        Tracking::InTransit => return None,
        Tracking::Delivered { received_by } => {
            let received_by = cut(received_by, NAME_CHARS_MAX);
            ("delivered", ShipmentCommand::Deliver(DeliverShipment { received_by }))
        }
        Tracking::Failed { code, reason } => ("undeliverable", fail(code, reason)),
    };
    Some(Step::command(name, Command::Shipment { id: shipment_id.clone(), body }))
}

fn fail(code: &str, reason: &str) -> ShipmentCommand {
    ShipmentCommand::Fail(FailShipment {
        code: cut(code, CODE_CHARS_MAX),
        reason: cut(reason, NOTE_CHARS_MAX),
    })
}
