//! The health routes as the OpenAPI document shows them.
#![allow(dead_code, reason = "read by the description only; the routes are closures of their registry")]

use std::collections::BTreeMap;
use std::marker::PhantomData;

use utoipa::openapi::response::Response;
use utoipa::openapi::{OpenApi, RefOr};
use utoipa::{IntoResponses, OpenApi as _};

use super::HealthReport;
use crate::{Problem, ProblemCodes, problem_codes, problem_responses};

problem_codes! {
    /// No progress.
    Stalled: NotLive;
    /// No work.
    Unready: NotReady;
}

/// The report, or a problem with the components at fault.
struct Report<P>(PhantomData<P>);

#[derive(IntoResponses)]
enum Well {
    /// It is.
    #[response(status = 200)]
    Report(HealthReport),
}

impl<P: ProblemCodes> IntoResponses for Report<P> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = problem_responses(P::CODES.iter().copied());
        responses.extend(Well::responses());
        responses
    }
}

/// Whether every component makes progress. If not, the process should be started again.
#[utoipa::path(get, path = "/health/live", tag = "health", responses(Report<Stalled>))]
fn live() {}

/// Whether the process can do its work, and is not stopping. If not, callers should look elsewhere.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(Report<Unready>))]
fn ready() {}

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(live, ready),
    components(schemas(HealthReport, Problem, schemas::Retry)),
    tags((name = "health", description = "How the process is"))
)]
struct Document;

pub(super) fn openapi() -> OpenApi {
    Document::openapi()
}
