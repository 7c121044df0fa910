//! What a route may refuse, for its OpenAPI description: by error codes, from which the statuses follow.

use std::collections::BTreeMap;

use schemas::ErrorCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};

use crate::problem::PROBLEM_JSON;

/// A set of error codes as a type, for descriptions to name; [`problem_codes!`](crate::problem_codes) defines them.
pub trait ProblemCodes {
    /// The codes.
    const CODES: &'static [ErrorCode];
}

/// Defines types that stand for sets of error codes: `Name: Code, Code;`. The caller depends on `schemas`.
#[macro_export]
macro_rules! problem_codes {
    ($($(#[$doc:meta])+ $name:ident: $($code:ident),+ $(,)?;)+) => {$(
        $(#[$doc])+
        pub(crate) struct $name;

        impl $crate::ProblemCodes for $name {
            const CODES: &'static [::schemas::ErrorCode] = &[$(::schemas::ErrorCode::$code),+];
        }
    )+};
}

/// One response a status, as `utoipa::IntoResponses` wants them: a problem document whose `code` is one of `codes`,
/// with `Retry-After` where the status asks to come back. A code that is named twice counts once.
///
/// The schema [`Problem`](crate::Problem) is referred to by name: the document has to have it as a component.
#[must_use]
pub fn problem_responses(codes: impl IntoIterator<Item = ErrorCode>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes {
        let known = by_status.entry(code.status()).or_default();
        if !known.contains(&code) {
            known.push(code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), RefOr::T(response(status, &codes))))
        .collect()
}

fn response(status: u16, codes: &[ErrorCode]) -> Response {
    let sentences: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}.", code.title())).collect();
    let names = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes.iter().map(|code| code.as_str())))
        .build();
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().schema_type(Type::Object).property("code", names));
    let response = ResponseBuilder::new()
        .description(sentences.join(" "))
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(schema)).build());
    match status {
        429 | 503 => response.header("Retry-After", retry_after()).build(),
        _ => response.build(),
    }
}

fn retry_after() -> utoipa::openapi::header::Header {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    HeaderBuilder::new().schema(seconds).description(Some("Always: repeat after so many seconds")).build()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    crate::problem_codes! {
        /// Of a cart.
        CartCodes: CartClosed, CartNotFound, CartEmpty, CartClosed;
        /// Of the platform.
        PlatformCodes: Overloaded, NotWritten, Internal;
    }

    fn described(codes: &[ErrorCode]) -> Value {
        serde_json::to_value(problem_responses(codes.iter().copied())).unwrap()
    }

    #[test]
    fn codes_of_one_status_share_its_response() {
        let described = described(CartCodes::CODES);
        assert_eq!(described.as_object().unwrap().keys().collect::<Vec<_>>(), ["404", "409"]);
        let schema = &described["409"]["content"]["application/problem+json"]["schema"]["allOf"];
        assert_eq!(schema[0]["$ref"], "#/components/schemas/Problem");
        assert_eq!(schema[1]["properties"]["code"]["enum"], json!(["cart_closed", "cart_empty"]));
        let text = described["409"]["description"].as_str().unwrap();
        assert!(text.contains("`cart_empty`") && text.contains(ErrorCode::CartClosed.title()), "{text}");
    }

    #[test]
    fn whoever_is_to_come_back_is_told_when() {
        let described = described(PlatformCodes::CODES);
        for (status, tells) in [("429", true), ("503", true), ("500", false)] {
            assert_eq!(described[status]["headers"]["Retry-After"].is_object(), tells, "{status}");
        }
    }
}
