//! The closed list of what can go wrong, as callers see it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether repeating the same request can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// Repeat at once, under the same command id.
    Safe,
    /// Repeat later, under the same command id.
    AfterBackoff,
    /// Repeating gives the same answer.
    Never,
}

macro_rules! error_codes {
    ($($variant:ident = $code:literal $status:literal $retry:ident $title:literal,)+) => {
        /// Every code that a problem document or an outcome can carry. A code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $(#[doc = $title] $variant,)+
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &'static [ErrorCode] = &[$(Self::$variant,)+];

            /// The stable code, snake_case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status under which it is answered.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// Whether repeating can help.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)+ }
            }

            /// One sentence for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

error_codes! {
    // The request.
    InvalidRequest = "invalid_request" 400 Never "The request is not well-formed",
    Forbidden = "forbidden" 403 Never "The principal may not do this",
    NotFound = "not_found" 404 Never "There is no such thing",
    MethodNotAllowed = "method_not_allowed" 405 Never "The resource does not know this method",
    UnsupportedMediaType = "unsupported_media_type" 415 Never "The content type is not understood",
    BodyTooLarge = "body_too_large" 413 Never "The body is larger than the limit",
    InvalidValue = "invalid_value" 422 Never "A value is outside of its range",
    IdempotencyKeyReused = "idempotency_key_reused" 422 Never "The command id was used for another command",
    VersionConflict = "version_conflict" 412 Never "The stream is not at the expected version",
    // The platform.
    Overloaded = "overloaded" 429 AfterBackoff "Too much is waiting; nothing was done",
    ShardUnavailable = "shard_unavailable" 503 AfterBackoff "The shard has no owner here at the moment; nothing was done",
    NotWritten = "not_written" 503 Safe "The log did not take the command; nothing was done",
    OutcomeUnknown = "outcome_unknown" 503 AfterBackoff "Whether the command took effect is not known yet; repeat it under the same id",
    ReadModelBehind = "read_model_behind" 503 AfterBackoff "The view has not reached the asked position yet",
    ReadModelUnavailable = "read_model_unavailable" 503 AfterBackoff "The views cannot be read at the moment",
    ShuttingDown = "shutting_down" 503 AfterBackoff "This process is stopping; nothing was done",
    NotReady = "not_ready" 503 AfterBackoff "The process cannot do its work now",
    NotLive = "not_live" 503 AfterBackoff "The process makes no progress",
    Internal = "internal" 500 AfterBackoff "Something is broken on our side",
    // Product.
    ProductNotFound = "product_not_found" 404 Never "There is no such product",
    ProductExists = "product_exists" 409 Never "The product exists already",
    ProductRetired = "product_retired" 409 Never "The product is retired",
    ProductNotPriced = "product_not_priced" 409 Never "The product has no price in this currency",
    ProductNotPublished = "product_not_published" 409 Never "The product is not for sale",
    // Stock.
    InsufficientStock = "insufficient_stock" 409 Never "There is less available than asked for",
    ReservationExists = "reservation_exists" 409 Never "The order line is reserved with another quantity",
    ReservationClosed = "reservation_closed" 409 Never "The order line's reservation is closed",
    ReservationNotFound = "reservation_not_found" 404 Never "Nothing is reserved for the order line",
    StockLimit = "stock_limit" 409 Never "The stock would exceed its limit",
    ReferenceReused = "reference_reused" 409 Never "The reference stands for something else already",
    // Cart.
    CartNotFound = "cart_not_found" 404 Never "There is no such cart",
    CartExists = "cart_exists" 409 Never "The cart exists already",
    CartClosed = "cart_closed" 409 Never "The cart is checked out",
    CartClaimed = "cart_claimed" 409 Never "The cart belongs to another customer",
    CartEmpty = "cart_empty" 409 Never "The cart is empty",
    CartLineNotFound = "cart_line_not_found" 404 Never "The cart has no such line",
    CartFull = "cart_full" 409 Never "The cart has as many lines as it may have",
    CurrencyMismatch = "currency_mismatch" 409 Never "The amounts are of different currencies",
    // Order.
    OrderNotFound = "order_not_found" 404 Never "There is no such order",
    OrderExists = "order_exists" 409 Never "The order exists already, with other content",
    OrderEmpty = "order_empty" 422 Never "The order has no lines",
    OrderTooLong = "order_too_long" 422 Never "The order has more lines than allowed",
    OrderWrongStatus = "order_wrong_status" 409 Never "The order is not in a state that allows this",
    OrderLineNotFound = "order_line_not_found" 404 Never "The order has no such line",
    OrderLineInvalid = "order_line_invalid" 422 Never "An order line contradicts itself",
    ReturnExceedsOrder = "return_exceeds_order" 409 Never "More would be returned than was delivered",
    RefundExceedsPrice = "refund_exceeds_price" 409 Never "More would be refunded than was paid",
    // Payment.
    PaymentNotFound = "payment_not_found" 404 Never "There is no such payment",
    PaymentExists = "payment_exists" 409 Never "The payment exists already, with other content",
    PaymentWrongStatus = "payment_wrong_status" 409 Never "The payment is not in a state that allows this",
    PaymentAmountInvalid = "payment_amount_invalid" 422 Never "The amount must be positive and in the payment's currency",
    CaptureExceedsAuthorised = "capture_exceeds_authorised" 409 Never "More would be captured than is authorised",
    RefundExceedsCaptured = "refund_exceeds_captured" 409 Never "More would be refunded than was captured",
    // Customer.
    CustomerNotFound = "customer_not_found" 404 Never "There is no such customer",
    CustomerExists = "customer_exists" 409 Never "The customer exists already, with other content",
    AddressNotFound = "address_not_found" 404 Never "The customer has no such address",
    CustomerLimit = "customer_limit" 409 Never "The customer has as many of these as allowed",
    // Shipment.
    ShipmentNotFound = "shipment_not_found" 404 Never "There is no such shipment",
    ShipmentExists = "shipment_exists" 409 Never "The shipment exists already, with other content",
    ShipmentEmpty = "shipment_empty" 422 Never "The shipment has no lines",
    ShipmentWrongStatus = "shipment_wrong_status" 409 Never "The shipment is not in a state that allows this",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_in_json_is_the_code_in_text_and_codes_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!(seen.insert(code.as_str()), "{code} stands twice");
        }
    }
}
