//! Open matters: deadlines that run and results that are waited for, folded from events.
//!
//! | opened by | matter | looked at | closed by |
//! |---|---|---|---|
//! | `order.placed` | the stock is to be held | at the deadline: cancel the order | reserved, confirmed, cancelled |
//! | `order.reserved` | the money is to be promised | at the deadline: cancel the order | confirmed, cancelled |
//! | `payment.…requested` | the provider's word | again and again: ask the provider | authorised, declined, captured, … |
//! | `shipment.created` | the carrier's word | again and again: ask the carrier | dispatched, delivered, failed |
//! | `shipment.dispatched` | the parcel's way | again and again: ask the carrier | delivered, failed |
//! | `order.line_returned` | the refund of money that may not be captured yet | again and again: request it | being granted |

use schemas::order::OrderEvent;
use schemas::payment::PaymentEvent;
use schemas::shipment::ShipmentEvent;
use schemas::{AggregateType, Event, RecordedEvent, Timestamp};
use serde::{Deserialize, Serialize};

use crate::TimerLimits;

/// The aggregates whose events open and close matters.
pub(crate) const AGGREGATES: [AggregateType; 3] =
    [AggregateType::Order, AggregateType::Payment, AggregateType::Shipment];

/// What a matter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MatterKind {
    /// The stock of an order is to be held in time.
    Reservation,
    /// The payment of an order is to be authorised in time.
    Payment,
    /// A request to a provider or carrier is to be answered.
    Result,
    /// A parcel is to arrive.
    Tracking,
    /// A refund is to be granted.
    Refund,
}

impl MatterKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reservation => "reservation",
            Self::Payment => "payment",
            Self::Result => "result",
            Self::Tracking => "tracking",
            Self::Refund => "refund",
        }
    }

    /// How long after its event the matter is looked at first, milliseconds.
    pub(crate) fn first_look_ms(self, limits: &TimerLimits) -> i64 {
        let ms = match self {
            Self::Reservation => limits.reservation_timeout_ms,
            Self::Payment => limits.payment_timeout_ms,
            Self::Result => limits.result_first_ms,
            Self::Tracking => limits.tracking_first_ms,
            Self::Refund => limits.refund_first_ms,
        };
        i64::try_from(ms).unwrap_or(i64::MAX)
    }

    /// Whether it is a time limit, rather than something to ask for.
    pub(crate) fn is_deadline(self) -> bool {
        matches!(self, Self::Reservation | Self::Payment)
    }
}

/// Names a matter: the stream that it belongs to, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MatterKey {
    pub(crate) stream: String,
    pub(crate) what: String,
}

/// What an event does to the open matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MatterChange {
    Open(MatterKey, MatterKind),
    Close(MatterKey),
}

/// The changes of an event, in order.
pub(crate) fn changes(recorded: &RecordedEvent) -> Vec<MatterChange> {
    let key = |what: String| MatterKey { stream: recorded.metadata.stream.to_string(), what };
    let open = |what: &str, kind| MatterChange::Open(key(what.to_owned()), kind);
    let close = |what: &str| MatterChange::Close(key(what.to_owned()));
    match &recorded.event {
        Event::Order(event) => match event {
            OrderEvent::Placed(_) => vec![open("reservation", MatterKind::Reservation)],
            OrderEvent::Reserved(_) => vec![close("reservation"), open("payment", MatterKind::Payment)],
            OrderEvent::Confirmed(_) | OrderEvent::Cancelled(_) => {
                vec![close("reservation"), close("payment")]
            }
            OrderEvent::LineReturned(event) if event.refund.amount_minor > 0 => {
                vec![open(&format!("refund/{}", event.reference), MatterKind::Refund)]
            }
            OrderEvent::LineReturned(_) | OrderEvent::Shipped(_) | OrderEvent::Delivered(_) => Vec::new(),
        },
        Event::Payment(event) => match event {
            PaymentEvent::Requested(_) => vec![open("authorise", MatterKind::Result)],
            PaymentEvent::Authorised(_) | PaymentEvent::Declined(_) => vec![close("authorise")],
            PaymentEvent::CaptureRequested(event) => {
                vec![open(&format!("capture/{}", event.reference), MatterKind::Result)]
            }
            PaymentEvent::Captured(event) => vec![close(&format!("capture/{}", event.reference))],
            PaymentEvent::CaptureFailed(event) => vec![close(&format!("capture/{}", event.reference))],
            // One void at a time: the payment sees to it.
            PaymentEvent::VoidRequested(_) => vec![open("void", MatterKind::Result)],
            PaymentEvent::Voided(_) => vec![close("void")],
            PaymentEvent::RefundRequested(event) => {
                vec![open(&format!("refund/{}", event.reference), MatterKind::Result)]
            }
            PaymentEvent::Refunded(event) => vec![close(&format!("refund/{}", event.reference))],
            PaymentEvent::RefundFailed(event) => vec![close(&format!("refund/{}", event.reference))],
            PaymentEvent::Unwound(_) => Vec::new(),
        },
        Event::Shipment(event) => match event {
            ShipmentEvent::Created(_) => vec![open("booking", MatterKind::Result)],
            ShipmentEvent::Dispatched(_) => vec![close("booking"), open("tracking", MatterKind::Tracking)],
            ShipmentEvent::Delivered(_) | ShipmentEvent::Failed(_) => {
                vec![close("booking"), close("tracking")]
            }
            ShipmentEvent::Tracked(_) => Vec::new(),
        },
        Event::Product(_) | Event::Stock(_) | Event::Cart(_) | Event::Customer(_) => Vec::new(),
    }
}

/// When a matter is looked at again that was looked at `now`: the older it is, the later.
pub(crate) fn next_look(opened_at: Timestamp, now: Timestamp, limits: &TimerLimits) -> Timestamp {
    let ms = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    let (min, max) = (ms(limits.look_again_min_ms).max(1), ms(limits.look_again_max_ms));
    let age = now.as_millis().saturating_sub(opened_at.as_millis());
    now.plus_millis(age.clamp(min, max.max(min)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_a_matter_the_later_it_is_looked_at_again_within_the_limits() {
        let limits =
            TimerLimits { look_again_min_ms: 1_000, look_again_max_ms: 60_000, ..TimerLimits::default() };
        let opened = Timestamp::from_millis(1_000_000);
        let wait = |age_ms: i64| {
            let now = opened.plus_millis(age_ms);
            next_look(opened, now, &limits).as_millis() - now.as_millis()
        };
        assert_eq!([0, 500, 4_000, 10_000_000].map(wait), [1_000, 1_000, 4_000, 60_000]);
        // A clock that was set back does not stop the looking.
        assert_eq!(wait(-5_000), 1_000);
    }
}
