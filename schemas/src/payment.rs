//! How it was paid: commands and events of the payment aggregate, a ledger of one payment.
//!
//! Money moves in two steps: a *request* is decided here and recorded; the provider is asked; its answer comes back
//! as a `record_…` command. An answer that never comes leaves the request open, never the balance wrong.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CustomerId, Money, OrderId, PaymentId, Reference};

/// The ledger's sums. At every instant `authorised = captured + voided + open` and `refunded ≤ captured`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[avro(namespace = "millrace")]
pub struct PaymentBalance {
    /// Promised by the buyer's bank, minor units of the payment's currency.
    pub authorised: i64,
    /// Taken.
    pub captured: i64,
    /// Given up without being taken.
    pub voided: i64,
    /// Promised, and neither taken nor given up.
    pub open: i64,
    /// Given back out of what was taken.
    pub refunded: i64,
}

/// What one can ask of a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum PaymentCommand {
    /// Ask the provider to authorise.
    Request(RequestPayment),
    /// The provider authorised.
    RecordAuthorised(RecordAuthorised),
    /// The provider declined.
    RecordDeclined(RecordDeclined),
    /// Ask the provider to take money.
    RequestCapture(RequestCapture),
    /// The provider took it.
    RecordCaptured(RecordCaptured),
    /// The provider could not take it.
    RecordCaptureFailed(RecordFailed),
    /// Ask the provider to give the open rest up.
    RequestVoid(RequestVoid),
    /// The provider gave it up.
    RecordVoided(RecordVoided),
    /// Ask the provider to pay back.
    RequestRefund(RequestRefund),
    /// The provider paid back.
    RecordRefunded(RecordRefunded),
    /// The provider could not pay back.
    RecordRefundFailed(RecordFailed),
    /// Undo everything: void what is open, refund what is captured, whatever is still under way included.
    Unwind(UnwindPayment),
}

/// Ask the provider to authorise an amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestPayment {
    /// What is paid for.
    pub order_id: OrderId,
    /// Who pays; none: a guest.
    #[serde(default)]
    pub customer_id: Option<CustomerId>,
    /// How much, positive.
    pub amount: Money,
    /// The way to pay, as the provider names it.
    pub method: String,
}

/// The provider authorised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordAuthorised {
    /// How much, positive, at most what was requested.
    pub amount: Money,
    /// The provider's own name of the authorisation.
    pub provider_reference: String,
}

/// The provider declined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordDeclined {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// Ask the provider to take money of the authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestCapture {
    /// The capture; the same reference is captured once.
    pub reference: Reference,
    /// How much; none: all that is open.
    #[serde(default)]
    pub amount: Option<Money>,
}

/// The provider took the money of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordCaptured {
    /// The capture.
    pub reference: Reference,
    /// The provider's own name of it.
    pub provider_reference: String,
}

/// The provider could not do what a capture or refund asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordFailed {
    /// The capture or refund.
    pub reference: Reference,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// Ask the provider to give up what is open of the authorisation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestVoid {
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// The provider gave the open rest up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordVoided {
    /// The provider's own name of it.
    pub provider_reference: String,
}

/// Ask the provider to pay back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestRefund {
    /// The refund; the same reference is refunded once.
    pub reference: Reference,
    /// How much, positive.
    pub amount: Money,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// The provider paid back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordRefunded {
    /// The refund.
    pub reference: Reference,
    /// The provider's own name of it.
    pub provider_reference: String,
}

/// Undo everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnwindPayment {
    /// Why, for people.
    pub reason: String,
}

/// The provider is to be asked for an authorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentRequested {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid for.
    pub order_id: OrderId,
    /// Who pays; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// How much.
    pub amount: Money,
    /// The way to pay.
    pub method: String,
}

/// The provider authorised an amount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentAuthorised {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid for.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// The provider's own name of the authorisation.
    pub provider_reference: String,
    /// The ledger afterwards.
    pub balance: PaymentBalance,
}

/// The provider declined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentDeclined {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid for.
    pub order_id: OrderId,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// The provider is to be asked to take money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct CaptureRequested {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid for.
    pub order_id: OrderId,
    /// The capture.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// The provider's own name of the authorisation.
    pub provider_reference: String,
}

/// The provider took money.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentCaptured {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid for.
    pub order_id: OrderId,
    /// The capture.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// The provider's own name of the capture.
    pub provider_reference: String,
    /// The ledger afterwards.
    pub balance: PaymentBalance,
}

/// The provider could not take money; it stays open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct CaptureFailed {
    /// The payment.
    pub payment_id: PaymentId,
    /// What is paid for.
    pub order_id: OrderId,
    /// The capture.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// The provider is to be asked to give up what is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct VoidRequested {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid for.
    pub order_id: OrderId,
    /// How much is given up.
    pub amount: Money,
    /// The provider's own name of the authorisation.
    pub provider_reference: String,
    /// Why, for people.
    pub reason: String,
}

/// The provider gave up what was open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentVoided {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid for.
    pub order_id: OrderId,
    /// How much.
    pub amount: Money,
    /// The provider's own name of it.
    pub provider_reference: String,
    /// The ledger afterwards.
    pub balance: PaymentBalance,
}

/// The provider is to be asked to pay back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct RefundRequested {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was paid for.
    pub order_id: OrderId,
    /// The refund.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// The provider's own name of the authorisation.
    pub provider_reference: String,
    /// Why, for people.
    pub reason: String,
}

/// The provider paid back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentRefunded {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was paid for.
    pub order_id: OrderId,
    /// The refund.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// The provider's own name of the refund.
    pub provider_reference: String,
    /// The ledger afterwards.
    pub balance: PaymentBalance,
}

/// The provider could not pay back; the balance has not moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct RefundFailed {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was paid for.
    pub order_id: OrderId,
    /// The refund.
    pub reference: Reference,
    /// How much.
    pub amount: Money,
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// The payment is being undone: what is open is voided, what is captured refunded, late answers included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.payment.v1")]
pub struct PaymentUnwound {
    /// The payment.
    pub payment_id: PaymentId,
    /// What was to be paid for.
    pub order_id: OrderId,
    /// Why, for people.
    pub reason: String,
}

events! {
    /// What happened to a payment.
    PaymentEvent of Payment {
        Requested(PaymentRequested) = "payment.requested" v 1,
        Authorised(PaymentAuthorised) = "payment.authorised" v 1,
        Declined(PaymentDeclined) = "payment.declined" v 1,
        CaptureRequested(CaptureRequested) = "payment.capture_requested" v 1,
        Captured(PaymentCaptured) = "payment.captured" v 1,
        CaptureFailed(CaptureFailed) = "payment.capture_failed" v 1,
        VoidRequested(VoidRequested) = "payment.void_requested" v 1,
        Voided(PaymentVoided) = "payment.voided" v 1,
        RefundRequested(RefundRequested) = "payment.refund_requested" v 1,
        Refunded(PaymentRefunded) = "payment.refunded" v 1,
        RefundFailed(RefundFailed) = "payment.refund_failed" v 1,
        Unwound(PaymentUnwound) = "payment.unwound" v 1,
    }
}
