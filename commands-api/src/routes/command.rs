//! What became of a command.

use axum::extract::State;
use schemas::{CommandId, ErrorCode, StreamId};
use serde::Deserialize;
use service_kit::{Path, Problem, Query, problem_codes};
use utoipa::IntoParams;

use crate::app::Api;
use crate::deferred::CommandStatus;
use crate::error::ApiError;
use crate::refusals::Refusals;

problem_codes! {
    /// Of asking for an outcome.
    StatusCodes: InvalidRequest, Overloaded, ShardUnavailable, ShuttingDown, OutcomeUnknown, Internal;
}

/// Which stream the command was for: its shard knows the outcome.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// The stream, `<aggregate>/<id>`.
    #[param(
        pattern = "^(product|stock|cart|order|payment|customer|shipment)/[A-Za-z0-9._~:@+-]([A-Za-z0-9._~:@+ -]{0,126}[A-Za-z0-9._~:@+-])?$",
        example = "order/536365"
    )]
    stream: String,
}

/// Look up the outcome of a command that was sent with `Prefer: respond-async`, or of any other one.
///
/// Outcomes are remembered for `host.dedupe_window_ms`.
#[utoipa::path(
    get,
    path = "/v1/commands/{command_id}",
    tag = "bulk",
    params(("command_id" = CommandId, Path, description = "The command"), Asked),
    responses(
        (status = 200, description = "What is known of it", body = CommandStatus,
            headers(("Retry-After" = Option<u64>, description = "Where it is undecided: when to ask again, seconds"))),
        Refusals<StatusCodes>,
    ),
)]
pub(crate) async fn status(
    State(api): State<Api>,
    Path(command_id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<CommandStatus, Problem> {
    let invalid =
        |detail: String| ApiError::from(Problem::of(ErrorCode::InvalidRequest).detail(detail)).problem;
    let command_id: CommandId =
        command_id.parse().map_err(|error| invalid(format!("command_id: {error}")))?;
    let stream: StreamId = asked.stream.parse().map_err(|error| invalid(format!("stream: {error}")))?;
    let outcome =
        api.shards.outcome(command_id, &stream).await.map_err(|error| ApiError::from(error).problem)?;
    Ok(CommandStatus::new(command_id, &stream, outcome))
}
