//! What is asked of the provider: the rules of requests.

use schemas::payment::{
    CaptureRequested, PaymentEvent, PaymentRequested, PaymentUnwound, RefundRequested, RequestCapture,
    RequestPayment, RequestRefund,
};
use schemas::{Currency, Money, PaymentId};

use super::{Direction, Payment, PaymentError, PaymentStatus};
use crate::limits::{self, Invalid};

impl Payment {
    pub(super) fn request(
        &self,
        payment_id: PaymentId,
        command: RequestPayment,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let RequestPayment { order_id, customer_id, amount, method } = command;
        let wanted = PaymentRequested { payment_id, order_id, customer_id, amount, method };
        if let Some(requested) = self.requested() {
            if *requested == wanted {
                return Ok(Vec::new());
            }
            return Err(PaymentError::Exists { payment_id: wanted.payment_id });
        }
        // Undone before it was asked for: the cancellation has overtaken the request.
        if self.unwinding {
            return Err(self.wrong_status(wanted.payment_id, "request"));
        }
        if wanted.order_id.as_str() != wanted.payment_id.as_str() {
            return Err(Invalid::new("order_id", "is not the payment's id, as it has to be").into());
        }
        limits::text("method", &wanted.method, 1..=limits::LABEL_CHARS_MAX)?;
        check_amount(amount, amount.currency)?;
        Ok(vec![wanted.into()])
    }

    pub(super) fn request_capture(
        &self,
        payment_id: PaymentId,
        command: RequestCapture,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let RequestCapture { reference, amount } = command;
        if let Some(movement) = self.movements.get(&reference) {
            let same_amount =
                amount.is_none_or(|a| a == Money::new(movement.amount, requested.amount.currency));
            if movement.direction == Direction::Capture && same_amount {
                return Ok(Vec::new());
            }
            return Err(PaymentError::ReferenceReused { payment_id, reference });
        }
        if self.status != PaymentStatus::Authorised || self.unwinding {
            return Err(self.wrong_status(payment_id, "capture"));
        }
        let free = Money::new(self.free(), requested.amount.currency);
        let amount = amount.unwrap_or(free);
        if amount.currency == free.currency && (free.is_zero() || amount.amount_minor > free.amount_minor) {
            return Err(PaymentError::CaptureExceedsAuthorised { payment_id, requested: amount, free });
        }
        check_amount(amount, free.currency)?;
        let order_id = requested.order_id.clone();
        let provider_reference = self.authorisation.clone();
        Ok(vec![CaptureRequested { payment_id, order_id, reference, amount, provider_reference }.into()])
    }

    pub(super) fn request_void(
        &self,
        payment_id: PaymentId,
        reason: String,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        if self.status != PaymentStatus::Authorised {
            return Err(self.wrong_status(payment_id, "void"));
        }
        if self.void_pending > 0 {
            return Ok(Vec::new());
        }
        let free = self.free();
        if free == 0 && self.balance.voided > 0 {
            return Ok(Vec::new());
        }
        if free == 0 {
            return Err(PaymentError::NothingToVoid { payment_id });
        }
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        Ok(vec![self.void_requested(requested, free, &self.authorisation, &reason)])
    }

    pub(super) fn request_refund(
        &self,
        payment_id: PaymentId,
        command: RequestRefund,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let currency = requested.amount.currency;
        let RequestRefund { reference, amount, reason } = command;
        if let Some(movement) = self.movements.get(&reference) {
            let same_amount = amount == Money::new(movement.amount, currency);
            if movement.direction == Direction::Refund && same_amount {
                return Ok(Vec::new());
            }
            return Err(PaymentError::ReferenceReused { payment_id, reference });
        }
        check_amount(amount, currency)?;
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        if amount.amount_minor > self.refundable() {
            let captured = Money::new(self.balance.captured, currency);
            let refunded = Money::new(self.balance.refunded + self.pending_refunds(), currency);
            let requested = amount;
            return Err(PaymentError::RefundExceedsCaptured { payment_id, requested, captured, refunded });
        }
        let order_id = requested.order_id.clone();
        let provider_reference = self.authorisation.clone();
        Ok(vec![
            RefundRequested { payment_id, order_id, reference, amount, provider_reference, reason }.into(),
        ])
    }

    /// Undo everything: the open rest is voided, what is captured refunded; what is still under way is undone when its
    /// answer comes. A declined payment has nothing to undo, and nothing can come any more.
    pub(super) fn unwind(
        &self,
        payment_id: PaymentId,
        reason: String,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        if self.unwinding || self.status == PaymentStatus::Declined {
            return Ok(Vec::new());
        }
        limits::text("reason", &reason, 0..=limits::NOTE_CHARS_MAX)?;
        let order_id = payment_id.order_id();
        let mut events = vec![PaymentUnwound { payment_id, order_id, reason: reason.clone() }.into()];
        if let Some(requested) = self.requested() {
            if self.free() > 0 && self.void_pending == 0 {
                events.push(self.void_requested(requested, self.free(), &self.authorisation, &reason));
            }
            if self.refundable() > 0 {
                events.push(self.unwinding_refund(requested, self.refundable(), &reason));
            }
        }
        Ok(events)
    }
}

/// Amounts are positive, ones that a document can have, and in the payment's currency.
pub(super) fn check_amount(given: Money, currency: Currency) -> Result<(), PaymentError> {
    if given.amount_minor <= 0 {
        return Err(PaymentError::AmountInvalid { given, problem: "is not positive" });
    }
    if given.amount_minor > limits::AMOUNT_MINOR_MAX {
        return Err(PaymentError::AmountInvalid { given, problem: "is too large" });
    }
    if given.currency != currency {
        return Err(PaymentError::AmountInvalid { given, problem: "is not in the payment's currency" });
    }
    Ok(())
}
