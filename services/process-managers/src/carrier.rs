//! The port to whoever carries the goods.

use async_trait::async_trait;
use schemas::order::{GoodsLine, PostalAddress};
use schemas::{EventId, OrderId, ShipmentId, Timestamp};

use crate::payment_provider::{Found, PortError, Reply};

/// What a carrier is asked to fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct BookingRequest {
    /// The idempotency key: the event that asks for it.
    pub key: EventId,
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// The order.
    pub order_id: OrderId,
    /// Who shall carry it.
    pub carrier: String,
    /// What is in it; empty where an earlier booking is taken back.
    pub goods: Vec<GoodsLine>,
    /// Where to.
    pub address: Option<PostalAddress>,
}

/// The carrier's final word on a booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookingResult {
    /// It will fetch the shipment.
    Booked {
        /// The carrier's number.
        tracking_number: String,
    },
    /// It will not.
    Refused {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        reason: String,
    },
}

/// Which shipment to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackingRequest {
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// Who carries it.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_number: String,
    /// When it was handed over.
    pub dispatched_at: Timestamp,
}

/// Where a shipment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// On its way.
    InTransit,
    /// It has arrived.
    Delivered {
        /// Who took it.
        received_by: String,
    },
    /// It will not arrive.
    Failed {
        /// The carrier's code.
        code: String,
        /// The carrier's words.
        reason: String,
    },
}

/// Whoever carries the goods. Idempotence, durability and cancellation are as for
/// [`PaymentProvider`](crate::PaymentProvider).
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// Books a shipment.
    async fn book(&self, request: &BookingRequest) -> Result<Reply<BookingResult>, PortError>;

    /// Asks what became of a booking that was, perhaps, sent.
    async fn query(&self, request: &BookingRequest) -> Result<Found<BookingResult>, PortError>;

    /// Takes a booking back, by its key; doing it again, and for a booking that never was, changes nothing.
    async fn cancel(&self, request: &BookingRequest) -> Result<(), PortError>;

    /// Asks where a shipment is.
    async fn track(&self, request: &TrackingRequest) -> Result<Tracking, PortError>;
}
