//! What a route may refuse, for the API's description: what every query can be told, and what the route adds.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemas::ErrorCode;
use service_kit::{ProblemCodes, problem_codes, problem_responses};
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

/// Every query: its headers, path and parameters; a view that is behind or away; what is broken on our side.
const A_QUERY: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::ReadModelBehind,
    ErrorCode::ReadModelUnavailable,
    ErrorCode::Internal,
];

problem_codes! {
    /// `limit`, `cursor`, or another parameter is out of its range.
    OutOfRange: InvalidValue;
}

/// The answers of a route beside its success.
pub(crate) struct Refusals<R>(PhantomData<R>);

impl<R: ProblemCodes> IntoResponses for Refusals<R> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = problem_responses([A_QUERY, R::CODES].concat());
        let unchanged = Response::new("What the caller has by its If-None-Match is what there is; no body");
        responses.insert("304".to_owned(), RefOr::T(unchanged));
        responses
    }
}
