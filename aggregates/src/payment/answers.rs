//! What the provider answered: the rules of recording it, once, in whatever order it comes.

use schemas::payment::{
    CaptureFailed, PaymentAuthorised, PaymentBalance, PaymentCaptured, PaymentDeclined, PaymentEvent,
    PaymentRefunded, PaymentVoided, RecordAuthorised, RecordCaptured, RecordDeclined, RecordFailed,
    RecordRefunded, RefundFailed,
};
use schemas::{Money, PaymentId, Reference};

use super::requests::check_amount;
use super::{Answer, Direction, Movement, Payment, PaymentError, PaymentStatus};
use crate::limits;

/// Why an unwinding payment undoes what arrives late; the reason proper stands in its `unwound` event.
const UNWINDING: &str = "the payment is being undone";

impl Payment {
    pub(super) fn record_authorised(
        &self,
        payment_id: PaymentId,
        command: RecordAuthorised,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let RecordAuthorised { amount, provider_reference } = command;
        match self.status {
            PaymentStatus::Missing | PaymentStatus::Requested => {}
            PaymentStatus::Authorised
                if self.authorisation == provider_reference
                    && amount == Money::new(self.balance.authorised, requested.amount.currency) =>
            {
                return Ok(Vec::new());
            }
            PaymentStatus::Authorised | PaymentStatus::Declined => {
                return Err(self.wrong_status(payment_id, "authorise"));
            }
        }
        check_amount(amount, requested.amount.currency)?;
        if amount.amount_minor > requested.amount.amount_minor {
            return Err(PaymentError::AmountInvalid { given: amount, problem: "is more than was requested" });
        }
        limits::text("provider_reference", &provider_reference, 1..=limits::FOREIGN_ID_CHARS_MAX)?;
        let balance = PaymentBalance {
            authorised: amount.amount_minor,
            open: amount.amount_minor,
            ..PaymentBalance::default()
        };
        let undo = self
            .unwinding
            .then(|| self.void_requested(requested, amount.amount_minor, &provider_reference, UNWINDING));
        let order_id = requested.order_id.clone();
        let authorised = PaymentAuthorised { payment_id, order_id, amount, provider_reference, balance };
        Ok(events(authorised, undo))
    }

    pub(super) fn record_declined(
        &self,
        payment_id: PaymentId,
        command: RecordDeclined,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        match self.status {
            PaymentStatus::Missing | PaymentStatus::Requested => {}
            PaymentStatus::Declined => return Ok(Vec::new()),
            PaymentStatus::Authorised => return Err(self.wrong_status(payment_id, "decline")),
        }
        let RecordDeclined { code, message } = command;
        check_failure(&code, &message)?;
        let order_id = requested.order_id.clone();
        Ok(events(PaymentDeclined { payment_id, order_id, code, message }, None))
    }

    pub(super) fn record_captured(
        &self,
        payment_id: PaymentId,
        command: RecordCaptured,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let RecordCaptured { reference, provider_reference } = command;
        let Some(amount) = self.unanswered(&payment_id, Direction::Capture, &reference, Answer::Done)? else {
            return Ok(Vec::new());
        };
        limits::text("provider_reference", &provider_reference, 1..=limits::FOREIGN_ID_CHARS_MAX)?;
        let balance = PaymentBalance {
            captured: self.balance.captured + amount,
            open: self.balance.open - amount,
            ..self.balance
        };
        let undo = self.unwinding.then(|| self.unwinding_refund(requested, amount, UNWINDING));
        let amount = Money::new(amount, requested.amount.currency);
        let order_id = requested.order_id.clone();
        let captured =
            PaymentCaptured { payment_id, order_id, reference, amount, provider_reference, balance };
        Ok(events(captured, undo))
    }

    pub(super) fn record_capture_failed(
        &self,
        payment_id: PaymentId,
        command: RecordFailed,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let RecordFailed { reference, code, message } = command;
        let Some(amount) = self.unanswered(&payment_id, Direction::Capture, &reference, Answer::Failed)?
        else {
            return Ok(Vec::new());
        };
        check_failure(&code, &message)?;
        // While a void waits for its answer, the freed amount waits for it too: one void at a time.
        let undo = (self.unwinding && self.void_pending == 0)
            .then(|| self.void_requested(requested, self.free() + amount, &self.authorisation, UNWINDING));
        let amount = Money::new(amount, requested.amount.currency);
        let order_id = requested.order_id.clone();
        let failed = CaptureFailed { payment_id, order_id, reference, amount, code, message };
        Ok(events(failed, undo))
    }

    pub(super) fn record_voided(
        &self,
        payment_id: PaymentId,
        provider_reference: String,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        if self.voids.contains(&provider_reference) {
            return Ok(Vec::new());
        }
        let amount = self.void_pending;
        if amount == 0 {
            return Err(PaymentError::VoidNotRequested { payment_id });
        }
        limits::text("provider_reference", &provider_reference, 1..=limits::FOREIGN_ID_CHARS_MAX)?;
        let balance = PaymentBalance {
            voided: self.balance.voided + amount,
            open: self.balance.open - amount,
            ..self.balance
        };
        // What a failed capture has freed meanwhile.
        let undo = (self.unwinding && self.free() > 0)
            .then(|| self.void_requested(requested, self.free(), &self.authorisation, UNWINDING));
        let amount = Money::new(amount, requested.amount.currency);
        let order_id = requested.order_id.clone();
        let voided = PaymentVoided { payment_id, order_id, amount, provider_reference, balance };
        Ok(events(voided, undo))
    }

    pub(super) fn record_refunded(
        &self,
        payment_id: PaymentId,
        command: RecordRefunded,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let RecordRefunded { reference, provider_reference } = command;
        let Some(amount) = self.unanswered(&payment_id, Direction::Refund, &reference, Answer::Done)? else {
            return Ok(Vec::new());
        };
        limits::text("provider_reference", &provider_reference, 1..=limits::FOREIGN_ID_CHARS_MAX)?;
        let balance = PaymentBalance { refunded: self.balance.refunded + amount, ..self.balance };
        let amount = Money::new(amount, requested.amount.currency);
        let order_id = requested.order_id.clone();
        let refunded =
            PaymentRefunded { payment_id, order_id, reference, amount, provider_reference, balance };
        Ok(events(refunded, None))
    }

    /// The refund frees what it had set aside; the balance does not move. Paying back again is a new request: trying
    /// for ever would not be an end.
    pub(super) fn record_refund_failed(
        &self,
        payment_id: PaymentId,
        command: RecordFailed,
    ) -> Result<Vec<PaymentEvent>, PaymentError> {
        let requested = self.must_exist(&payment_id)?;
        let RecordFailed { reference, code, message } = command;
        let Some(amount) = self.unanswered(&payment_id, Direction::Refund, &reference, Answer::Failed)?
        else {
            return Ok(Vec::new());
        };
        check_failure(&code, &message)?;
        let amount = Money::new(amount, requested.amount.currency);
        let order_id = requested.order_id.clone();
        Ok(events(RefundFailed { payment_id, order_id, reference, amount, code, message }, None))
    }

    /// The amount of the movement that waits for an answer; none: it has had just this answer before.
    fn unanswered(
        &self,
        payment_id: &PaymentId,
        direction: Direction,
        reference: &Reference,
        answer: Answer,
    ) -> Result<Option<i64>, PaymentError> {
        let (payment_id, reference) = (payment_id.clone(), reference.clone());
        let movement = direction.name();
        match self.movements.get(&reference) {
            Some(Movement { direction: asked, answer: Answer::Pending, amount }) if *asked == direction => {
                Ok(Some(*amount))
            }
            Some(known) if known.direction == direction && known.answer == answer => Ok(None),
            Some(known) if known.direction == direction => {
                Err(PaymentError::AnswerContradicts { payment_id, movement, reference })
            }
            _ => Err(PaymentError::MovementNotFound { payment_id, movement, reference }),
        }
    }
}

/// What happened, and what an unwinding payment does about it.
fn events(happened: impl Into<PaymentEvent>, undo: Option<PaymentEvent>) -> Vec<PaymentEvent> {
    std::iter::once(happened.into()).chain(undo).collect()
}

fn check_failure(code: &str, message: &str) -> Result<(), limits::Invalid> {
    limits::text("code", code, 0..=limits::LABEL_CHARS_MAX)?;
    limits::text("message", message, 0..=limits::NOTE_CHARS_MAX)
}
