//! Any command of any aggregate, many at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response as HttpResponse;
use command_client::wire::{AnswerLine, CommandLine};
use schemas::ErrorCode;
use service_kit::problem_responses;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;
use utoipa::{IntoParams, IntoResponses};

use crate::app::Api;
use crate::bulk::{Bulk, NDJSON, ndjson};
use crate::call::Sender;
use crate::error::ApiError;

/// The headers of the bulk route, for the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "read by the description only; call.rs reads the headers")]
pub(crate) struct BulkHeaders {
    /// Who asks; believed on loopback connections only.
    #[param(
        nullable = false,
        rename = "Millrace-Principal",
        pattern = "^[A-Za-z0-9._~:@+-]([A-Za-z0-9._~:@+ -]{0,126}[A-Za-z0-9._~:@+-])?$"
    )]
    principal: Option<String>,
    /// W3C trace context of lines that have none of their own.
    #[param(nullable = false)]
    traceparent: Option<String>,
}

/// The success of the bulk route, for the API's description.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the description only")]
pub(crate) enum Lines {
    /// One answer per line, in input order, each as soon as it and all before it are durable.
    #[response(status = 200, content_type = "application/x-ndjson")]
    Lines(AnswerLine),
}

/// The answers of the bulk route. What a rule refuses stands in the answer's lines; these refuse the request as a whole.
pub(crate) struct BulkResponses;

impl IntoResponses for BulkResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut answers = problem_responses([
            ErrorCode::InvalidRequest,
            ErrorCode::UnsupportedMediaType,
            ErrorCode::Overloaded,
            ErrorCode::Internal,
        ]);
        answers.extend(Lines::responses());
        answers
    }
}

/// Send many commands.
///
/// One JSON object a line; each line is answered by one line. A broken or refused line is answered by a problem and the
/// others go on. Commands of one stream are decided in input order. An overloaded shard makes the request wait.
/// Read the answers while you send: whoever does not is not read from either.
#[utoipa::path(
    post,
    path = "/v1/commands",
    tag = "bulk",
    params(BulkHeaders),
    request_body(content = CommandLine, content_type = "application/x-ndjson", description = "One command a line, at most 1 MiB each"),
    responses(BulkResponses),
)]
pub(crate) async fn submit(State(api): State<Api>, request: Request) -> Result<HttpResponse, ApiError> {
    let (mut parts, body) = request.into_parts();
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !["application/x-ndjson", "application/ndjson", "application/jsonl"].contains(&&*media_type) {
        let detail = format!("the content type is {content_type:?}, not {NDJSON}");
        return Err(ApiError::of(ErrorCode::UnsupportedMediaType).detail(detail));
    }
    let Some((sender, place)) = parts.extensions.remove::<(Sender, Arc<OwnedSemaphorePermit>)>() else {
        tracing::error!("the bulk route stands outside of its layer");
        return Err(ApiError::of(ErrorCode::Internal));
    };
    let answers: Body = Bulk::new(api, sender, place, body).answers();
    Ok(ndjson(answers))
}
