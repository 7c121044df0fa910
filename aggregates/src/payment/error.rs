//! Why a payment refuses a command.

use schemas::{Money, PaymentId, Reference};

use super::PaymentStatus;

domain_errors! {
    /// Why a payment refuses a command.
    PaymentError {
        #[error("there is no payment {payment_id}")]
        NotFound { payment_id: PaymentId } => PaymentNotFound,
        #[error("the payment {payment_id} exists already, with other content")]
        Exists { payment_id: PaymentId } => PaymentExists,
        #[error("to {wanted} is not possible for payment {payment_id}, which is {status:?}{}", if *unwinding { " and unwinding" } else { "" })]
        WrongStatus { payment_id: PaymentId, status: PaymentStatus, unwinding: bool, wanted: &'static str } => PaymentWrongStatus,
        #[error("the amount {given} {problem}")]
        AmountInvalid { given: Money, problem: &'static str } => PaymentAmountInvalid,
        #[error("{requested} would be captured of payment {payment_id}, {free} can be")]
        CaptureExceedsAuthorised { payment_id: PaymentId, requested: Money, free: Money } => CaptureExceedsAuthorised,
        #[error("{requested} would be refunded of payment {payment_id}: {captured} are captured, {refunded} refunded or about to be")]
        RefundExceedsCaptured { payment_id: PaymentId, requested: Money, captured: Money, refunded: Money } => RefundExceedsCaptured,
        #[error("nothing of payment {payment_id} is open to be voided")]
        NothingToVoid { payment_id: PaymentId } => PaymentWrongStatus,
        #[error("no void of payment {payment_id} waits for an answer")]
        VoidNotRequested { payment_id: PaymentId } => PaymentWrongStatus,
        #[error("the payment {payment_id} has no {movement} {reference}")]
        MovementNotFound { payment_id: PaymentId, movement: &'static str, reference: Reference } => NotFound,
        #[error("the {movement} {reference} of payment {payment_id} was answered otherwise before")]
        AnswerContradicts { payment_id: PaymentId, movement: &'static str, reference: Reference } => PaymentWrongStatus,
        #[error("the reference {reference} stands for something else in payment {payment_id}")]
        ReferenceReused { payment_id: PaymentId, reference: Reference } => ReferenceReused,
        #[error("{field} {problem}")]
        InvalidValue { field: &'static str, problem: String } => InvalidValue,
    }
}
