//! How much there is: commands and events of the stock aggregate, one instance a SKU.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{OrderId, Quantity, Reference, ShipmentId, Sku};

/// The counters of a SKU. At every instant `reserved + available = on_hand`, and none is negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[avro(namespace = "millrace")]
pub struct StockLevels {
    /// Units in the house.
    pub on_hand: i64,
    /// Units of these that are promised to orders.
    pub reserved: i64,
    /// Units that can still be promised.
    pub available: i64,
}

/// Why stock was adjusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdjustmentKind {
    /// A count or a correction by staff: damages, losses, finds.
    Correction,
    /// Goods came back that no known order explains.
    ReturnWithoutOrder,
}

avro_enum!(AdjustmentKind, "Why stock was adjusted.": "correction", "return_without_order");

/// What one can ask of stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum StockCommand {
    /// Goods arrive.
    Receive(ReceiveStock),
    /// Promise units to an order line.
    Reserve(ReserveStock),
    /// Take the promise back.
    Release(ReleaseStock),
    /// The promised units leave the house.
    Ship(ShipStock),
    /// Units of an order line come back.
    Return(ReturnStock),
    /// Correct the count.
    Adjust(AdjustStock),
    /// Say below which level stock is low.
    SetLowStockThreshold(SetLowStockThreshold),
}

/// Goods arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiveStock {
    /// How many units.
    pub quantity: Quantity,
    /// The delivery; the same reference is received once.
    #[serde(default)]
    pub reference: Option<Reference>,
}

/// Promise units to an order line. Repeating it with the same quantity changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveStock {
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
}

/// Take a promise back; afterwards the line cannot be reserved again. Nothing reserved: the line is closed all the
/// same, so that a reservation that arrives late is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseStock {
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
}

/// The promised units of an order line leave the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipStock {
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// The shipment they travel in.
    pub shipment_id: ShipmentId,
}

/// Units of an order line come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnStock {
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// The return; the same reference is taken back once.
    pub reference: Reference,
    /// Whether they can be sold again; if not, they are recorded but not added.
    pub restock: bool,
}

/// Correct the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustStock {
    /// Units to add (negative: take away), not 0.
    pub delta: i64,
    /// Which kind of correction.
    pub kind: AdjustmentKind,
    /// Why, for people.
    pub reason: String,
    /// The document; the same reference is adjusted once.
    pub reference: Reference,
}

/// Say below which level stock is low. 0 turns the alert off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLowStockThreshold {
    /// Stock is low while `available` is below this.
    pub threshold: i64,
}

/// Goods arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct StockReceived {
    /// Stock keeping unit.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The delivery.
    pub reference: Option<Reference>,
    /// The counters afterwards.
    pub levels: StockLevels,
}

/// Units were promised to an order line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct StockReserved {
    /// Stock keeping unit.
    pub sku: Sku,
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// The counters afterwards.
    pub levels: StockLevels,
}

/// A promise was taken back; the order line cannot be reserved again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct StockReleased {
    /// Stock keeping unit.
    pub sku: Sku,
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// How many units were freed; 0: nothing was reserved, and nothing can be any more.
    pub quantity: i64,
    /// The counters afterwards.
    pub levels: StockLevels,
}

/// Promised units left the house.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct StockShipped {
    /// Stock keeping unit.
    pub sku: Sku,
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// The shipment they travel in.
    pub shipment_id: ShipmentId,
    /// The counters afterwards.
    pub levels: StockLevels,
}

/// Units of an order line came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct StockReturned {
    /// Stock keeping unit.
    pub sku: Sku,
    /// The order.
    pub order_id: OrderId,
    /// Its line, from 1.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// The return.
    pub reference: Reference,
    /// Whether they were added to the stock.
    pub restocked: bool,
    /// The counters afterwards.
    pub levels: StockLevels,
}

/// The count was corrected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct StockAdjusted {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Units added (negative: taken away).
    pub delta: i64,
    /// Which kind of correction.
    pub kind: AdjustmentKind,
    /// Why, for people.
    pub reason: String,
    /// The document.
    pub reference: Reference,
    /// The counters afterwards.
    pub levels: StockLevels,
}

/// It was said below which level stock is low.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct LowStockThresholdSet {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Stock is low while `available` is below this; 0: never.
    pub threshold: i64,
}

/// Stock became low: once on the way down, again only after it recovered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct LowStockReached {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Units that can still be promised.
    pub available: i64,
    /// The level below which stock is low.
    pub threshold: i64,
}

/// Stock is no longer low.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.stock.v1")]
pub struct LowStockRecovered {
    /// Stock keeping unit.
    pub sku: Sku,
    /// Units that can be promised.
    pub available: i64,
    /// The level below which stock is low.
    pub threshold: i64,
}

events! {
    /// What happened to the stock of a SKU.
    StockEvent of Stock {
        Received(StockReceived) = "stock.received" v 1,
        Reserved(StockReserved) = "stock.reserved" v 1,
        Released(StockReleased) = "stock.released" v 1,
        Shipped(StockShipped) = "stock.shipped" v 1,
        Returned(StockReturned) = "stock.returned" v 1,
        Adjusted(StockAdjusted) = "stock.adjusted" v 1,
        LowStockThresholdSet(LowStockThresholdSet) = "stock.low_stock_threshold_set" v 1,
        LowStockReached(LowStockReached) = "stock.low_stock_reached" v 1,
        LowStockRecovered(LowStockRecovered) = "stock.low_stock_recovered" v 1,
    }
}
