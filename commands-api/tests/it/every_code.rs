//! Every problem code is there because something can produce it: one HTTP scenario a code.
//!
//! [`produce`] matches on the closed list, so that a code without a scenario does not compile.

mod away;
mod carts;
mod customers;
mod goods;
mod orders;
mod payments;
mod platform;
mod requests;
mod shipments;
mod shop;

use schemas::{ErrorCode, Retry};
use serde_json::{Value, json};

use self::shop::Shop;

/// Asks for what the code is about; returns the problem that came back over HTTP.
async fn produce(code: ErrorCode, shop: &Shop) -> Value {
    match code {
        ErrorCode::InvalidRequest => requests::invalid_request(shop).await,
        ErrorCode::Forbidden => requests::forbidden(shop).await,
        ErrorCode::NotFound => requests::not_found(shop).await,
        ErrorCode::MethodNotAllowed => requests::method_not_allowed(shop).await,
        ErrorCode::UnsupportedMediaType => requests::unsupported_media_type(shop).await,
        ErrorCode::BodyTooLarge => requests::body_too_large(shop).await,
        ErrorCode::InvalidValue => requests::invalid_value(shop).await,
        ErrorCode::IdempotencyKeyReused => requests::idempotency_key_reused(shop).await,
        ErrorCode::VersionConflict => requests::version_conflict(shop).await,
        ErrorCode::Overloaded => platform::overloaded().await,
        ErrorCode::ShardUnavailable => platform::shard_unavailable().await,
        ErrorCode::NotWritten => platform::not_written().await,
        ErrorCode::OutcomeUnknown => platform::outcome_unknown().await,
        ErrorCode::ReadModelBehind => platform::read_model_behind(shop).await,
        ErrorCode::ReadModelUnavailable => away::read_model_unavailable(shop).await,
        ErrorCode::ShuttingDown => platform::shutting_down().await,
        ErrorCode::NotReady => platform::not_ready().await,
        ErrorCode::NotLive => platform::not_live().await,
        ErrorCode::Internal => platform::internal(shop).await,
        ErrorCode::ProductNotFound => goods::product_not_found(shop).await,
        ErrorCode::ProductExists => goods::product_exists(shop).await,
        ErrorCode::ProductRetired => goods::product_retired(shop).await,
        ErrorCode::ProductNotPriced => goods::product_not_priced(shop).await,
        ErrorCode::ProductNotPublished => goods::product_not_published(shop).await,
        ErrorCode::InsufficientStock => goods::insufficient_stock(shop).await,
        ErrorCode::ReservationExists => goods::reservation_exists(shop).await,
        ErrorCode::ReservationClosed => goods::reservation_closed(shop).await,
        ErrorCode::ReservationNotFound => goods::reservation_not_found(shop).await,
        ErrorCode::StockLimit => goods::stock_limit(shop).await,
        ErrorCode::ReferenceReused => goods::reference_reused(shop).await,
        ErrorCode::CartNotFound => carts::not_found(shop).await,
        ErrorCode::CartExists => carts::exists(shop).await,
        ErrorCode::CartClosed => carts::closed(shop).await,
        ErrorCode::CartClaimed => carts::claimed(shop).await,
        ErrorCode::CartEmpty => carts::empty(shop).await,
        ErrorCode::CartLineNotFound => carts::line_not_found(shop).await,
        ErrorCode::CartFull => carts::full(shop).await,
        ErrorCode::CurrencyMismatch => carts::currency_mismatch(shop).await,
        ErrorCode::OrderNotFound => orders::not_found(shop).await,
        ErrorCode::OrderExists => orders::exists(shop).await,
        ErrorCode::OrderEmpty => orders::empty(shop).await,
        ErrorCode::OrderTooLong => orders::too_long(shop).await,
        ErrorCode::OrderWrongStatus => orders::wrong_status(shop).await,
        ErrorCode::OrderLineNotFound => orders::line_not_found(shop).await,
        ErrorCode::OrderLineInvalid => orders::line_invalid(shop).await,
        ErrorCode::ReturnExceedsOrder => orders::return_exceeds_order(shop).await,
        ErrorCode::RefundExceedsPrice => orders::refund_exceeds_price(shop).await,
        ErrorCode::PaymentNotFound => payments::not_found(shop).await,
        ErrorCode::PaymentExists => payments::exists(shop).await,
        ErrorCode::PaymentWrongStatus => payments::wrong_status(shop).await,
        ErrorCode::PaymentAmountInvalid => payments::amount_invalid(shop).await,
        ErrorCode::CaptureExceedsAuthorised => payments::capture_exceeds_authorised(shop).await,
        ErrorCode::RefundExceedsCaptured => payments::refund_exceeds_captured(shop).await,
        ErrorCode::CustomerNotFound => customers::not_found(shop).await,
        ErrorCode::CustomerExists => customers::exists(shop).await,
        ErrorCode::AddressNotFound => customers::address_not_found(shop).await,
        ErrorCode::CustomerLimit => customers::limit(shop).await,
        ErrorCode::ShipmentNotFound => shipments::not_found(shop).await,
        ErrorCode::ShipmentExists => shipments::exists(shop).await,
        ErrorCode::ShipmentEmpty => shipments::empty(shop).await,
        ErrorCode::ShipmentWrongStatus => shipments::wrong_status(shop).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_code_can_be_produced() {
    let shop = Shop::open().await;
    for code in ErrorCode::ALL.iter().copied() {
        let problem = produce(code, &shop).await;
        assert_eq!(problem["code"], code.as_str(), "{code}: {problem}");
        assert_eq!(problem["status"], code.status(), "{problem}");
        assert_eq!(problem["title"], code.title(), "{problem}");
        let retry = match code.retry() {
            Retry::Safe => "safe",
            Retry::AfterBackoff => "after-backoff",
            Retry::Never => "never",
        };
        assert_eq!(
            (&problem["retry"], &problem["type"]),
            (&json!(retry), &json!(format!("/docs/problems#{code}")))
        );
    }
    shop.close().await;
}
