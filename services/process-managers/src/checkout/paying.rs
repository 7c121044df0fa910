//! Asking for money, and doing what the payment says.

use schemas::order::{CancelReason, OrderReserved};
use schemas::payment::{
    PaymentAuthorised, PaymentCommand, PaymentDeclined, PaymentEvent, RefundFailed, RequestCapture,
    RequestPayment, RequestRefund, UnwindPayment,
};
use schemas::{Command, Money, OrderId, PaymentId, RecordedEvent};

use super::{cancel, status};
use crate::effect::{NOTE_CHARS_MAX, cut, payment_result_step};
use crate::names::{capture_reference, is_repeated_refund, repeated_refund_reference};
use crate::{Answers, Effect, EffectResult, PaymentOperation, PaymentRequest, Step};

/// Requests the payment; an order with nothing to pay is confirmed at once.
pub(super) fn request(event: &OrderReserved, answers: &Answers) -> Vec<Step> {
    if event.total.amount_minor <= 0 {
        return vec![super::confirm("confirm", &event.order_id)];
    }
    let body = PaymentCommand::Request(RequestPayment {
        order_id: event.order_id.clone(),
        customer_id: event.customer_id.clone(),
        amount: event.total,
        method: event.payment_method.clone(),
    });
    let mut steps = vec![payment_command("request", event.order_id.payment_id(), body)];
    if let Some(rejection) = answers.rejection("request") {
        steps.push(cancel("not-payable", &event.order_id, CancelReason::PaymentDeclined, &rejection.detail));
    }
    steps
}

/// Confirms the order whose money is promised; if it does not want it any more, gives it back.
pub(super) fn confirm(event: &PaymentAuthorised, answers: &Answers) -> Vec<Step> {
    let mut steps = vec![super::confirm("confirm", &event.order_id)];
    if let Some(rejection) = answers.rejection("confirm")
        // Never of an order that has gone on: it keeps its money.
        && !matches!(status(rejection), Some("confirmed" | "shipped" | "delivered"))
    {
        steps.push(unwind(&event.payment_id, &rejection.detail));
    }
    steps
}

pub(super) fn decline(event: &PaymentDeclined) -> Step {
    let detail = format!("{}: {}", event.code, event.message);
    cancel("declined", &event.order_id, CancelReason::PaymentDeclined, &detail)
}

/// Takes the money; none where there is nothing to take.
pub(super) fn capture(order_id: &OrderId, total: Money) -> Option<Step> {
    let body = PaymentCommand::RequestCapture(RequestCapture {
        reference: capture_reference(order_id),
        amount: None,
    });
    (total.amount_minor > 0).then(|| payment_command("capture", order_id.payment_id(), body))
}

/// Gives all the money back.
pub(super) fn unwind(payment_id: &PaymentId, reason: &str) -> Step {
    let body = PaymentCommand::Unwind(UnwindPayment { reason: cut(reason, NOTE_CHARS_MAX) });
    payment_command("unwind", payment_id.clone(), body)
}

/// Asks once more for a refund that the provider could not make, as a new refund: the failed one keeps its reference
/// and its failure. When that one fails too, it is up to people.
pub(super) fn refund_again(recorded: &RecordedEvent, event: &RefundFailed) -> Option<Step> {
    let body = PaymentCommand::RequestRefund(RequestRefund {
        reference: repeated_refund_reference(&recorded.metadata.event_id()),
        amount: event.amount,
        reason: format!("the refund {} failed", event.reference),
    });
    (!is_repeated_refund(&event.reference))
        .then(|| payment_command("refund-again", event.payment_id.clone(), body))
}

/// Has the provider do what was decided, and records its final word.
pub(super) fn ask_provider(recorded: &RecordedEvent, event: &PaymentEvent, answers: &Answers) -> Vec<Step> {
    let Some((payment_id, operation)) = operation(event) else { return Vec::new() };
    let request = PaymentRequest {
        key: recorded.metadata.event_id(),
        correlation_id: recorded.metadata.correlation_id,
        occurred_at: recorded.follow_up_time(),
        payment_id: payment_id.clone(),
        operation,
    };
    let mut steps = Vec::new();
    if let Some(EffectResult::Payment(result)) = answers.effect(request.operation.name()) {
        steps.extend(payment_result_step(&request, result));
    }
    steps.push(Step::effect(request.operation.name(), Effect::Payment(request)));
    steps
}

fn operation(event: &PaymentEvent) -> Option<(&PaymentId, PaymentOperation)> {
    Some(match event {
        PaymentEvent::Requested(event) => {
            let method = event.method.clone();
            (&event.payment_id, PaymentOperation::Authorise { amount: event.amount, method })
        }
        PaymentEvent::CaptureRequested(event) => {
            let (reference, authorisation) = (event.reference.clone(), event.provider_reference.clone());
            (&event.payment_id, PaymentOperation::Capture { reference, amount: event.amount, authorisation })
        }
        PaymentEvent::VoidRequested(event) => {
            let authorisation = event.provider_reference.clone();
            (&event.payment_id, PaymentOperation::Void { amount: event.amount, authorisation })
        }
        PaymentEvent::RefundRequested(event) => {
            let (reference, authorisation) = (event.reference.clone(), event.provider_reference.clone());
            (&event.payment_id, PaymentOperation::Refund { reference, amount: event.amount, authorisation })
        }
        _ => return None,
    })
}

fn payment_command(name: &str, id: PaymentId, body: PaymentCommand) -> Step {
    Step::command(name, Command::Payment { id, body })
}
