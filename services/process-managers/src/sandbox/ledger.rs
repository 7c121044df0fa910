//! The sandbox provider's own books: what each key stands for, and the sums of each authorisation.

use schemas::{EventId, PaymentId};

use super::bounded::Bounded;
use super::provider::Behaviour;
use crate::payment_provider::{PaymentOperation, PaymentRequest, PaymentResult, PortError};

/// The provider's own sums of a payment, minor units. At every instant captured + voided ≤ authorised and refunded ≤
/// captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderBalance {
    /// Promised.
    pub authorised: i64,
    /// Taken.
    pub captured: i64,
    /// Given up.
    pub voided: i64,
    /// Paid back.
    pub refunded: i64,
}

/// The books.
pub(super) struct Ledger {
    entries: Bounded<EventId, Entry>,
    balances: Bounded<PaymentId, ProviderBalance>,
    refunds_failed: Bounded<PaymentId, EventId>,
}

struct Entry {
    request: PaymentRequest,
    result: PaymentResult,
}

/// The parts of an authorisation's name, `sbx.<behaviour>.<amount>.<key>`: all that a restarted sandbox needs of it.
fn authorisation_name(behaviour: Behaviour, amount_minor: i64, key: &EventId) -> String {
    format!("sbx.{}.{amount_minor}.{}", behaviour.name(), digest(key))
}

/// What an authorisation's name says: the behaviour and the amount, minor units.
fn read_authorisation(name: &str) -> Option<(Behaviour, i64)> {
    let mut parts = name.splitn(4, '.');
    let (Some("sbx"), Some(behaviour), Some(amount)) = (parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    Some((Behaviour::from_name(behaviour)?, amount.parse().ok()?))
}

/// A name of the provider's own: the same key has the same, another key another one.
fn digest(key: &EventId) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, key.as_str().as_bytes()).simple().to_string()
}

/// How the provider behaves with a request; none: it knows no such behaviour.
pub(super) fn behaviour(request: &PaymentRequest) -> Option<Behaviour> {
    match &request.operation {
        PaymentOperation::Authorise { method, .. } => match method.strip_prefix("sandbox:") {
            Some(name) => Behaviour::from_name(name).filter(|behaviour| *behaviour != Behaviour::Approve),
            None => Some(Behaviour::Approve),
        },
        PaymentOperation::Capture { authorisation, .. }
        | PaymentOperation::Void { authorisation, .. }
        | PaymentOperation::Refund { authorisation, .. } => Some(read_authorisation(authorisation)?.0),
    }
}

impl Ledger {
    pub(super) fn new(keys_max: usize) -> Self {
        Self {
            entries: Bounded::new(keys_max),
            balances: Bounded::new(keys_max),
            refunds_failed: Bounded::new(keys_max),
        }
    }

    /// Does a request, once per key; another request under the key is refused.
    pub(super) fn perform(&mut self, request: &PaymentRequest) -> Result<PaymentResult, PortError> {
        if let Some(entry) = self.entries.get(&request.key) {
            let is_same = entry.request.payment_id == request.payment_id
                && entry.request.operation == request.operation;
            return if is_same {
                Ok(entry.result.clone())
            } else {
                Err(PortError::KeyReused { key: request.key.clone() })
            };
        }
        let result = self.decide(request);
        if matches!(result, PaymentResult::Done { .. }) {
            self.book(request);
        }
        self.entries.insert(request.key.clone(), Entry { request: request.clone(), result: result.clone() });
        Ok(result)
    }

    /// What a key stands for; none: nothing was done under it.
    pub(super) fn result(&self, key: &EventId) -> Option<PaymentResult> {
        self.entries.get(key).map(|entry| entry.result.clone())
    }

    pub(super) fn balance(&self, payment_id: &PaymentId) -> ProviderBalance {
        self.balances.get(payment_id).copied().unwrap_or_default()
    }

    fn decide(&mut self, request: &PaymentRequest) -> PaymentResult {
        let declined = |code: &str, message: &str| PaymentResult::Declined {
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let Some(behaviour) = behaviour(request) else {
            return declined("unknown_behaviour", "the sandbox has no such payment method or authorisation");
        };
        let amount = request.operation.amount().amount_minor;
        let balance = self.known_balance(request);
        match &request.operation {
            PaymentOperation::Authorise { .. } if behaviour == Behaviour::Decline => {
                declined("card_declined", "the bank has declined the payment")
            }
            PaymentOperation::Authorise { .. } => {
                let provider_reference = authorisation_name(behaviour, amount, &request.key);
                PaymentResult::Done { provider_reference }
            }
            PaymentOperation::Capture { .. } if behaviour == Behaviour::DeclineCapture => {
                declined("capture_declined", "the bank does not pay")
            }
            PaymentOperation::Capture { .. } | PaymentOperation::Void { .. }
                if balance.captured + balance.voided + amount > balance.authorised =>
            {
                declined("exceeds_authorisation", "there is less open than asked for")
            }
            PaymentOperation::Refund { .. }
                if behaviour == Behaviour::FailRefundOnce && self.is_first_refund(request) =>
            {
                declined("refund_failed", "the bank could not be reached for the refund")
            }
            // What was captured before a restart is not known: a refund is checked only against what is.
            PaymentOperation::Refund { .. }
                if balance.captured > 0 && balance.refunded + amount > balance.captured =>
            {
                declined("exceeds_capture", "there is less captured than asked for")
            }
            operation => PaymentResult::Done {
                provider_reference: format!("sbx.{}.{}", operation.name(), digest(&request.key)),
            },
        }
    }

    /// The balance, or what the authorisation's name says of one from before a restart.
    fn known_balance(&self, request: &PaymentRequest) -> ProviderBalance {
        let from_name = || match &request.operation {
            PaymentOperation::Authorise { .. } => 0,
            PaymentOperation::Capture { authorisation, .. }
            | PaymentOperation::Void { authorisation, .. }
            | PaymentOperation::Refund { authorisation, .. } => {
                read_authorisation(authorisation).map_or(0, |(_, amount)| amount)
            }
        };
        let known = self.balances.get(&request.payment_id).copied();
        known.unwrap_or_else(|| ProviderBalance { authorised: from_name(), ..ProviderBalance::default() })
    }

    fn is_first_refund(&mut self, request: &PaymentRequest) -> bool {
        let first = self.refunds_failed.entry(&request.payment_id, || request.key.clone());
        *first == request.key
    }

    fn book(&mut self, request: &PaymentRequest) {
        let mut balance = self.known_balance(request);
        let amount = request.operation.amount().amount_minor;
        match &request.operation {
            PaymentOperation::Authorise { .. } => balance.authorised += amount,
            PaymentOperation::Capture { .. } => balance.captured += amount,
            PaymentOperation::Void { .. } => balance.voided += amount,
            PaymentOperation::Refund { .. } => balance.refunded += amount,
        }
        self.balances.insert(request.payment_id.clone(), balance);
    }
}
