//! The port to whoever moves the money.

use async_trait::async_trait;
use schemas::{CorrelationId, EventId, Money, PaymentId, Reference, Timestamp};

/// What a provider is asked to do for one payment.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentRequest {
    /// The idempotency key: the event that asks for it. The same key is the same deed, however often it is sent.
    pub key: EventId,
    /// To be kept with the deed and sent back in notifications.
    pub correlation_id: CorrelationId,
    /// The business time of what follows, where it lies in the past; to be sent back like the correlation.
    pub occurred_at: Option<Timestamp>,
    /// The payment.
    pub payment_id: PaymentId,
    /// What to do.
    pub operation: PaymentOperation,
}

/// The operations of a provider. `authorisation` is the provider's own name of the authorisation.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are the amount, the method, the reference of ours and the provider's"
)]
pub enum PaymentOperation {
    /// Promise an amount.
    Authorise { amount: Money, method: String },
    /// Take an amount of what was promised.
    Capture { reference: Reference, amount: Money, authorisation: String },
    /// Give up an amount of what was promised.
    Void { amount: Money, authorisation: String },
    /// Pay back an amount of what was taken.
    Refund { reference: Reference, amount: Money, authorisation: String },
}

impl PaymentOperation {
    /// Its name: `authorise`, `capture`, `void`, `refund`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Authorise { .. } => "authorise",
            Self::Capture { .. } => "capture",
            Self::Void { .. } => "void",
            Self::Refund { .. } => "refund",
        }
    }

    /// How much it is about.
    pub fn amount(&self) -> Money {
        match self {
            Self::Authorise { amount, .. }
            | Self::Capture { amount, .. }
            | Self::Void { amount, .. }
            | Self::Refund { amount, .. } => *amount,
        }
    }
}

/// The provider's final word on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentResult {
    /// It was done.
    Done {
        /// The provider's own name of it.
        provider_reference: String,
    },
    /// It was not done and will not be.
    Declined {
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// The final word.
    Final(T),
    /// It was taken on; the final word comes later, by a notification or by asking.
    Pending,
}

/// What asking for a request finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// The final word.
    Known(T),
    /// It was taken on; there is no final word yet.
    Pending,
    /// It never arrived, and will not any more: sending it again under the same key is the only way on.
    NotFound,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Whether it was done is not known: a time-out, a connection that broke, an answer that cannot be read.
    #[error("whether it was done is not known: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// Nothing was sent: sending it (again) is safe.
    #[error("it was not sent: {reason}")]
    NotSent {
        /// What happened.
        reason: String,
    },
    /// The key stands for another request.
    #[error("the key {key} stands for another request")]
    KeyReused {
        /// The key.
        key: EventId,
    },
}

/// A final word that the provider sends by itself: a webhook that was authenticated. It may come before the reply,
/// twice, late, or never.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentNotification {
    /// The request as it was sent.
    pub request: PaymentRequest,
    /// The final word.
    pub result: PaymentResult,
}

/// Whoever moves the money.
///
/// * **Idempotence**: the same key and request have the same result for ever; the same key with another request is
///   [`PortError::KeyReused`].
/// * **Durability**: a final word is final.
/// * **Cancellation**: dropping [`perform`](Self::perform) leaves open whether it is done; [`query`](Self::query) tells.
/// * Whoever calls bounds the waiting; an error that comes late is as good as none.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// Sends a request.
    async fn perform(&self, request: &PaymentRequest) -> Result<Reply<PaymentResult>, PortError>;

    /// Asks what became of a request that was, perhaps, sent.
    async fn query(&self, request: &PaymentRequest) -> Result<Found<PaymentResult>, PortError>;

    /// Waits for the next notification. A provider that sends none waits for ever, which is the default. Dropping the
    /// future loses nothing.
    async fn next_notification(&self) -> PaymentNotification {
        std::future::pending().await
    }
}
