//! What a caller can do about a problem, by its code.

/// The hint for a code; none where the detail says it all.
pub(crate) fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_request" | "invalid_value" => "the API pages at /docs show the shape of every request",
        "forbidden" => {
            "a principal is believed on loopback connections only; who may import is configured as import_principals"
        }
        "unsupported_media_type" => {
            "send Content-Type: application/json (the bulk route: application/x-ndjson)"
        }
        "body_too_large" => "split the request; the bulk route POST /v1/commands takes any number of lines",
        "idempotency_key_reused" => "one key stands for one request: use a new key for a new wish",
        "version_conflict" => "read the stream again, decide anew, and send its current version",
        "overloaded" => "repeat after Retry-After under the same Idempotency-Key",
        "shard_unavailable" => "ownership is moving: repeat after Retry-After under the same Idempotency-Key",
        "not_written" => {
            "nothing was done: repeat at once under the same Idempotency-Key or Millrace-Command-Id"
        }
        "outcome_unknown" => {
            "repeat under the same Idempotency-Key or Millrace-Command-Id: it takes effect once, and the answer tells"
        }
        "shutting_down" => "repeat on another node, or when this one is back",
        "product_not_found" => "POST /v1/products starts a product",
        "product_not_priced" => "POST /v1/products/{sku}/price sets the price in a currency",
        "product_not_published" => "POST /v1/products/{sku}/publish puts a priced product up for sale",
        "insufficient_stock" => "order less, or POST /v1/stock/{sku}/receive when goods arrive",
        "reference_reused" => "a reference stands for one deed: use the reference of this document",
        "cart_closed" => "a cart is bought once: POST /v1/carts starts another",
        "cart_empty" => "PUT or POST lines first",
        "order_exists" | "product_exists" | "cart_exists" | "customer_exists" | "payment_exists"
        | "shipment_exists" => "choose another id, or leave it out to get a fresh one",
        "order_too_long" => "split the order",
        "order_wrong_status" => "GET /v1/orders/{id} shows where the order stands",
        "return_exceeds_order" | "refund_exceeds_price" => {
            "GET /v1/orders/{id} shows what was delivered and returned"
        }
        "capture_exceeds_authorised" | "refund_exceeds_captured" | "payment_wrong_status" => {
            "GET /v1/streams/payment/{id} shows the ledger"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use schemas::ErrorCode;

    use super::*;

    #[test]
    fn hints_stand_under_codes_that_exist_and_platform_codes_have_one() {
        let hinted = ErrorCode::ALL.iter().filter(|code| hint(code.as_str()).is_some()).count();
        let source = include_str!("hints.rs");
        let table = &source[..source.find("_ => return None").unwrap()];
        let written = table
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|text| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .count();
        assert_eq!(hinted, written, "a hint stands under a code that is not one");
        for code in [ErrorCode::Overloaded, ErrorCode::NotWritten, ErrorCode::OutcomeUnknown] {
            assert!(hint(code.as_str()).is_some());
        }
    }
}
