//! What a route for one command may refuse, for the API's description: what every command can be told, what its body
//! can be told, and what the rules behind the route say.
//!
//! The description lists error codes; statuses and `Retry-After` follow from them
//! ([`problem_responses`](service_kit::problem_responses)).

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemas::ErrorCode;
use service_kit::{ProblemCodes, problem_responses};
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::Response;
use utoipa::openapi::{Header, RefOr};

/// Every command: headers, path and values; its id and version; shards and log.
const A_COMMAND: &[ErrorCode] = &[
    ErrorCode::InvalidRequest,
    ErrorCode::VersionConflict,
    ErrorCode::InvalidValue,
    ErrorCode::IdempotencyKeyReused,
    ErrorCode::Overloaded,
    ErrorCode::ShardUnavailable,
    ErrorCode::NotWritten,
    ErrorCode::OutcomeUnknown,
    ErrorCode::ShuttingDown,
    ErrorCode::Internal,
];

/// A route that reads a body.
const A_BODY: &[ErrorCode] = &[ErrorCode::BodyTooLarge, ErrorCode::UnsupportedMediaType];

/// The answers of a route for one command: `S` where it is decided, otherwise what `R` and every route refuse.
pub(crate) struct Responses<S, R>(PhantomData<(S, R)>);

/// As [`Responses`], of a route that reads no body.
pub(crate) struct BodilessResponses<S, R>(PhantomData<(S, R)>);

/// The refusals of a route that decides nothing; its success stands beside them.
pub(crate) struct Refusals<R>(PhantomData<R>);

impl<R: ProblemCodes> IntoResponses for Refusals<R> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem_responses(R::CODES.iter().copied())
    }
}

impl<S: IntoResponses, R: ProblemCodes> IntoResponses for Responses<S, R> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        answers::<S>([A_COMMAND, A_BODY, R::CODES].concat())
    }
}

impl<S: IntoResponses, R: ProblemCodes> IntoResponses for BodilessResponses<S, R> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        answers::<S>([A_COMMAND, R::CODES].concat())
    }
}

fn answers<S: IntoResponses>(refusals: Vec<ErrorCode>) -> BTreeMap<String, RefOr<Response>> {
    let mut answers = problem_responses(refusals);
    for refusal in answers.values_mut() {
        if let RefOr::T(response) = refusal {
            response.headers.insert("Millrace-Command-Id".to_owned(), command_id());
        }
    }
    answers.extend(S::responses());
    answers
}

fn command_id() -> Header {
    HeaderBuilder::new().description(Some("The command, under which to repeat where that helps")).build()
}
