//! Payments: what staff do. Everything else is between the process managers and the payment provider.

use schemas::payment::{PaymentCommand, RequestCapture, RequestRefund, RequestVoid};
use schemas::{Command, Money, PaymentId, Reference};
use serde::{Deserialize, Serialize};
use service_kit::problem_codes;
use utoipa::ToSchema;

use crate::answer::{CommandHeaders, Done};
use crate::call::Call;
use crate::extract::{Body, Params};
use crate::refusals::Responses;

use super::Reply;

problem_codes! {
    /// Of moving the money of a payment.
    PaymentRules: PaymentNotFound, PaymentWrongStatus, PaymentAmountInvalid, ReferenceReused,
        CaptureExceedsAuthorised, RefundExceedsCaptured;
}

/// Money to take of an authorisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capture {
    /// The capture, taken once; none: this request.
    #[serde(default)]
    reference: Option<Reference>,
    /// How much; none: all that is open.
    #[serde(default)]
    amount: Option<Money>,
}

/// Money to pay back.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refund {
    /// The refund, paid once; none: this request.
    #[serde(default)]
    reference: Option<Reference>,
    /// How much, positive.
    amount: Money,
    /// Why, for people.
    #[serde(default)]
    reason: String,
}

/// Ask the provider to take money of the authorisation.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/capture",
    tag = "payments",
    params(("id" = PaymentId, Path, description = "Which"), CommandHeaders),
    request_body = Capture,
    responses(Responses<Done, PaymentRules>),
)]
pub(crate) async fn capture(call: Call, Params(id): Params<PaymentId>, Body(body): Body<Capture>) -> Reply {
    let request =
        RequestCapture { reference: call.reference_or_derived(body.reference), amount: body.amount };
    call.submit(Command::Payment { id, body: PaymentCommand::RequestCapture(request) }).await
}

/// Ask the provider to give up what is open of the authorisation.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/void",
    tag = "payments",
    params(("id" = PaymentId, Path, description = "Which"), CommandHeaders),
    request_body = RequestVoid,
    responses(Responses<Done, PaymentRules>),
)]
pub(crate) async fn void(call: Call, Params(id): Params<PaymentId>, Body(body): Body<RequestVoid>) -> Reply {
    call.submit(Command::Payment { id, body: PaymentCommand::RequestVoid(body) }).await
}

/// Ask the provider to pay back.
#[utoipa::path(
    post,
    path = "/v1/payments/{id}/refund",
    tag = "payments",
    params(("id" = PaymentId, Path, description = "Which"), CommandHeaders),
    request_body = Refund,
    responses(Responses<Done, PaymentRules>),
)]
pub(crate) async fn refund(call: Call, Params(id): Params<PaymentId>, Body(body): Body<Refund>) -> Reply {
    let Refund { reference, amount, reason } = body;
    let request = RequestRefund { reference: call.reference_or_derived(reference), amount, reason };
    call.submit(Command::Payment { id, body: PaymentCommand::RequestRefund(request) }).await
}
