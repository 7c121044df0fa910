//! What was bought: commands and events of the order aggregate.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::product::TaxClass;
use crate::{Currency, CustomerId, Money, Quantity, Reference, ShipmentId, Sku};

/// Most lines of an order.
pub const LINES_MAX: usize = 2_000;

/// Where an order stands.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// It exists; stock and payment are being arranged.
    #[default]
    Placed,
    /// Stock is held and the payment authorised.
    Confirmed,
    /// The goods have left the house.
    Shipped,
    /// The goods have arrived. Final.
    Delivered,
    /// It will not be delivered; the reason is recorded. Final.
    Cancelled,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Something with stock.
    #[default]
    Goods,
    /// Postage, a voucher, work: no stock.
    Service,
}

avro_enum!(LineKind, "What a line is about.": "goods", "service");

/// One line of an order: what, how many, at which price. Prices and tax are a snapshot that never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[avro(namespace = "millrace")]
pub struct OrderLine {
    /// From 1, in the order given.
    pub line: u32,
    /// What is bought.
    pub sku: Sku,
    /// Goods or a service.
    pub kind: LineKind,
    /// Its name when it was bought.
    pub name: String,
    /// How many.
    pub quantity: Quantity,
    /// Price of one, before discount, not negative.
    pub unit_price: Money,
    /// Taken off the whole line, not negative.
    pub discount: Money,
    /// How it was taxed.
    pub tax_class: TaxClass,
    /// The tax that the total includes.
    pub tax: Money,
    /// quantity × unit price − discount.
    pub total: Money,
}

/// A line of goods, as stock and shipping need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[avro(namespace = "millrace")]
pub struct GoodsLine {
    /// The order's line, from 1.
    pub line: u32,
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
}

/// Where to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[serde(deny_unknown_fields)]
#[avro(namespace = "millrace")]
pub struct PostalAddress {
    /// Who receives.
    pub name: String,
    /// Street, house, further lines.
    pub lines: Vec<String>,
    /// Postal code.
    #[serde(default)]
    pub postal_code: String,
    /// City or town.
    #[serde(default)]
    pub city: String,
    /// Country, as the shop names it or ISO 3166-1 alpha-2.
    pub country: String,
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The buyer asked for it.
    CustomerRequest,
    /// Staff decided so.
    StaffDecision,
    /// There was not enough of an item.
    OutOfStock,
    /// The payment was declined.
    PaymentDeclined,
    /// The payment was not authorised in time.
    PaymentExpired,
    /// The stock could not be reserved in time.
    ReservationExpired,
    /// The carrier could not deliver.
    ShipmentFailed,
}

avro_enum!(CancelReason, "Why an order was cancelled.": "customer_request", "staff_decision", "out_of_stock", "payment_declined", "payment_expired", "reservation_expired", "shipment_failed");

/// What one can ask of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum OrderCommand {
    /// Buy.
    Place(PlaceOrder),
    /// All stock is held (checkout says so).
    MarkReserved(MarkOrderReserved),
    /// The payment is authorised or not needed (checkout says so).
    Confirm(ConfirmOrder),
    /// The goods have left (checkout says so).
    MarkShipped(MarkOrderShipped),
    /// The goods have arrived (checkout says so).
    MarkDelivered(MarkOrderDelivered),
    /// Don't deliver.
    Cancel(CancelOrder),
    /// Take goods back.
    Return(ReturnOrderLine),
}

/// Buy. Lines come with their prices: the API fills them in from the products, or states them for an importer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// Who buys; none: a guest.
    #[serde(default)]
    pub customer_id: Option<CustomerId>,
    /// How to reach a guest.
    #[serde(default)]
    pub email: Option<String>,
    /// Where the order came from: `web`, `shop`, `import`, …
    pub channel: String,
    /// The country it counts for.
    pub country: String,
    /// Currency of all its amounts.
    pub currency: Currency,
    /// 1 to 2,000 lines, numbered from 1 without gaps.
    pub lines: Vec<OrderLine>,
    /// Where to send goods.
    #[serde(default)]
    pub shipping_address: Option<PostalAddress>,
    /// The way to pay, as the payment provider names it.
    pub payment_method: String,
}

/// All stock of the order is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkOrderReserved {}

/// The order's payment is authorised, or it needs none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOrder {}

/// The order's goods have left the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkOrderShipped {
    /// The shipment.
    pub shipment_id: ShipmentId,
}

/// The order is complete: the goods have arrived, or there were none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkOrderDelivered {}

/// Don't deliver. Possible until the goods have left; afterwards only because the shipment failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Why.
    pub reason: CancelReason,
    /// Why, for people.
    #[serde(default)]
    pub detail: String,
}

/// Take goods of a delivered order back and refund them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnOrderLine {
    /// The return; the same reference is taken once.
    pub reference: Reference,
    /// The order's line, from 1.
    pub line: u32,
    /// How many come back.
    pub quantity: Quantity,
    /// What the buyer gets back for all of them: at most what they cost.
    pub refund: Money,
    /// Whether they can be sold again.
    pub restock: bool,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// An order was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderPlaced {
    /// The order.
    pub order_id: crate::OrderId,
    /// Who buys; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// How to reach a guest.
    pub email: Option<String>,
    /// Where the order came from.
    pub channel: String,
    /// The country it counts for.
    pub country: String,
    /// Currency of all its amounts.
    pub currency: Currency,
    /// What was bought, at which price and tax.
    pub lines: Vec<OrderLine>,
    /// Sum of the lines' totals.
    pub total: Money,
    /// Sum of the lines' taxes, included in the total.
    pub tax: Money,
    /// Where to send goods.
    pub shipping_address: Option<PostalAddress>,
    /// The way to pay.
    pub payment_method: String,
}

/// All stock of an order is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderReserved {
    /// The order.
    pub order_id: crate::OrderId,
    /// Who buys; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// What is to be paid.
    pub total: Money,
    /// The way to pay.
    pub payment_method: String,
}

/// An order will be delivered: stock is held and the payment authorised or not needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderConfirmed {
    /// The order.
    pub order_id: crate::OrderId,
    /// Its goods; empty: nothing to send.
    pub goods: Vec<GoodsLine>,
    /// What is to be paid.
    pub total: Money,
    /// Where to send goods.
    pub shipping_address: Option<PostalAddress>,
}

/// An order's goods have left the house.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderShipped {
    /// The order.
    pub order_id: crate::OrderId,
    /// The shipment.
    pub shipment_id: ShipmentId,
    /// What is to be paid.
    pub total: Money,
}

/// An order is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderDelivered {
    /// The order.
    pub order_id: crate::OrderId,
    /// Who bought; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// What was paid.
    pub total: Money,
}

/// An order will not be delivered; stock and money go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderCancelled {
    /// The order.
    pub order_id: crate::OrderId,
    /// Why.
    pub reason: CancelReason,
    /// Why, for people.
    pub detail: String,
    /// Its goods.
    pub goods: Vec<GoodsLine>,
    /// The shipment that the goods had left in; none: they had not left.
    pub shipment_id: Option<ShipmentId>,
    /// What was to be paid.
    pub total: Money,
}

/// Goods of an order came back and are refunded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.order.v1")]
pub struct OrderLineReturned {
    /// The order.
    pub order_id: crate::OrderId,
    /// Who bought; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// The return.
    pub reference: Reference,
    /// The order's line, from 1.
    pub line: u32,
    /// What came back.
    pub sku: Sku,
    /// Goods or a service.
    pub kind: LineKind,
    /// How many.
    pub quantity: Quantity,
    /// What the buyer gets back for all of them.
    pub refund: Money,
    /// Whether they can be sold again.
    pub restock: bool,
    /// Why, for people.
    pub reason: String,
}

events! {
    /// What happened to an order.
    OrderEvent of Order {
        Placed(OrderPlaced) = "order.placed" v 1,
        Reserved(OrderReserved) = "order.reserved" v 1,
        Confirmed(OrderConfirmed) = "order.confirmed" v 1,
        Shipped(OrderShipped) = "order.shipped" v 1,
        Delivered(OrderDelivered) = "order.delivered" v 1,
        Cancelled(OrderCancelled) = "order.cancelled" v 1,
        LineReturned(OrderLineReturned) = "order.line_returned" v 1,
    }
}
