//! What a buyer has gathered: commands and events of the cart aggregate.

use apache_avro::AvroSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::order::PostalAddress;
use crate::{CartId, Currency, CustomerId, Money, OrderId, Quantity, Sku};

/// Most lines of a cart.
pub const LINES_MAX: usize = 500;

/// A line of a cart, at the price that the buyer has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[avro(namespace = "millrace")]
pub struct CartLine {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// Price of one that the buyer has seen.
    pub unit_price: Money,
}

/// What the shop says of an item at checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// What.
    pub sku: Sku,
    /// Price of one now; none: not for sale.
    pub unit_price: Option<Money>,
    /// Units that can be promised now.
    pub available: i64,
}

/// What has changed since the buyer put an item into the cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, AvroSchema, ToSchema)]
#[avro(namespace = "millrace")]
pub struct CartChange {
    /// What.
    pub sku: Sku,
    /// Which change.
    pub kind: CartChangeKind,
    /// Price of one that the buyer had seen.
    pub seen_price: Money,
    /// Price of one now; none: not for sale.
    pub current_price: Option<Money>,
    /// How many are in the cart.
    pub quantity: Quantity,
    /// How many there are.
    pub available: i64,
}

/// Which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CartChangeKind {
    /// It costs something else now.
    PriceChanged,
    /// There is less than the cart holds.
    NotEnough,
    /// It is no longer for sale.
    NotForSale,
}

avro_enum!(CartChangeKind, "Which change.": "price_changed", "not_enough", "not_for_sale");

/// What one can ask of a cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum CartCommand {
    /// Start a cart.
    Open(OpenCart),
    /// Add an item, or more of it.
    Add(AddToCart),
    /// Change how many of an item.
    Change(ChangeCartLine),
    /// Take an item out.
    Remove(RemoveFromCart),
    /// Say whose cart it is (the guest has logged in).
    Claim(ClaimCart),
    /// Buy what is in it.
    CheckOut(CheckOutCart),
}

/// Start a cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenCart {
    /// Whose; none: a guest's.
    #[serde(default)]
    pub customer_id: Option<CustomerId>,
    /// Currency of its prices.
    pub currency: Currency,
    /// Where it was started: `web`, `shop`, …
    pub channel: String,
}

/// Add an item, or more of it. The price is the one shown to the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddToCart {
    /// What.
    pub sku: Sku,
    /// How many more.
    pub quantity: Quantity,
    /// Price of one.
    pub unit_price: Money,
}

/// Change how many of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeCartLine {
    /// What.
    pub sku: Sku,
    /// How many from now on.
    pub quantity: Quantity,
}

/// Take an item out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFromCart {
    /// What.
    pub sku: Sku,
}

/// Say whose cart it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimCart {
    /// The customer.
    pub customer_id: CustomerId,
}

/// Buy what is in the cart. If prices or stock have changed, nothing is bought: the cart takes the changes on, the
/// buyer is told, and checks out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckOutCart {
    /// The order to be.
    pub order_id: OrderId,
    /// What the shop says of every item now.
    pub quotes: Vec<Quote>,
    /// How to reach a guest.
    #[serde(default)]
    pub email: Option<String>,
    /// The country the order counts for.
    pub country: String,
    /// Where to send goods.
    #[serde(default)]
    pub shipping_address: Option<PostalAddress>,
    /// The way to pay.
    pub payment_method: String,
}

/// A cart was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartOpened {
    /// The cart.
    pub cart_id: CartId,
    /// Whose; none: a guest's.
    pub customer_id: Option<CustomerId>,
    /// Currency of its prices.
    pub currency: Currency,
    /// Where it was started.
    pub channel: String,
}

/// An item, or more of it, was put into a cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartLineAdded {
    /// The cart.
    pub cart_id: CartId,
    /// Whose; none: a guest's.
    pub customer_id: Option<CustomerId>,
    /// How many were added.
    pub added: Quantity,
    /// The line afterwards.
    pub line: CartLine,
}

/// The number of an item in a cart was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartLineChanged {
    /// The cart.
    pub cart_id: CartId,
    /// How many there were.
    pub previous: Quantity,
    /// The line afterwards.
    pub line: CartLine,
}

/// An item was taken out of a cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartLineRemoved {
    /// The cart.
    pub cart_id: CartId,
    /// What.
    pub sku: Sku,
}

/// A guest's cart belongs to a customer now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartClaimed {
    /// The cart.
    pub cart_id: CartId,
    /// The customer.
    pub customer_id: CustomerId,
}

/// At checkout something had changed: the cart has taken it on, and the buyer has to agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartChangesFound {
    /// The cart.
    pub cart_id: CartId,
    /// What has changed.
    pub changes: Vec<CartChange>,
    /// The cart's lines afterwards: at current prices, at most what is available, without what is not for sale.
    pub lines: Vec<CartLine>,
}

/// A cart became an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, AvroSchema)]
#[avro(namespace = "millrace.cart.v1")]
pub struct CartCheckedOut {
    /// The cart.
    pub cart_id: CartId,
    /// The order to be.
    pub order_id: OrderId,
    /// Who buys; none: a guest.
    pub customer_id: Option<CustomerId>,
    /// How to reach a guest.
    pub email: Option<String>,
    /// Where the cart was started.
    pub channel: String,
    /// The country the order counts for.
    pub country: String,
    /// Currency of its prices.
    pub currency: Currency,
    /// What is bought, at the checked prices.
    pub lines: Vec<CartLine>,
    /// Where to send goods.
    pub shipping_address: Option<PostalAddress>,
    /// The way to pay.
    pub payment_method: String,
}

events! {
    /// What happened to a cart.
    CartEvent of Cart {
        Opened(CartOpened) = "cart.opened" v 1,
        LineAdded(CartLineAdded) = "cart.line_added" v 1,
        LineChanged(CartLineChanged) = "cart.line_changed" v 1,
        LineRemoved(CartLineRemoved) = "cart.line_removed" v 1,
        Claimed(CartClaimed) = "cart.claimed" v 1,
        ChangesFound(CartChangesFound) = "cart.changes_found" v 1,
        CheckedOut(CartCheckedOut) = "cart.checked_out" v 1,
    }
}
