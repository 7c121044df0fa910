//! Commands whose caller does not wait: accepted onto the commands topic, and where to look for their outcome.

use axum::http::header::{HeaderName, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemas::{CommandId, Outcome, Position, StreamId, Version};
use serde::Serialize;
use service_kit::{Json, Problem};
use utoipa::ToSchema;

use crate::call::RESPOND_ASYNC;
use crate::error::ApiError;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const RETRY_AFTER: HeaderName = HeaderName::from_static("retry-after");

/// A command that is on its way to its shard; it is durable and will be decided once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Deferred {
    /// The command.
    command_id: CommandId,
    /// Always `deferred`.
    #[schema(value_type = String, example = "deferred")]
    outcome: &'static str,
    /// The stream that it is for, `<aggregate>/<id>`.
    #[schema(example = "order/536365")]
    stream: String,
    /// Where the command stands on the commands topic.
    #[schema(value_type = String, example = "millrace.commands/0@17")]
    position: Position,
    /// Where its outcome will be; also the `Location` header.
    status_url: String,
}

impl Deferred {
    pub(crate) fn new(command_id: CommandId, stream: &StreamId, position: Position) -> Self {
        let stream = stream.to_string();
        let status_url = format!("/v1/commands/{command_id}?stream={}", stream.replace(' ', "%20"));
        Self { command_id, outcome: "deferred", stream, position, status_url }
    }
}

impl IntoResponse for Deferred {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&self.status_url).expect("ids are made of visible ASCII");
        let mut response = (StatusCode::ACCEPTED, Json(self)).into_response();
        response.headers_mut().insert(LOCATION, location);
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(RESPOND_ASYNC));
        response
    }
}

/// What is known of a command.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CommandStatus {
    /// The command.
    command_id: CommandId,
    /// `accepted`, `unchanged` or `rejected`; `undecided`: not decided yet, or longer ago than outcomes are remembered, or
    /// never sent.
    #[schema(value_type = String, example = "accepted")]
    outcome: &'static str,
    /// The stream that was asked about.
    #[schema(example = "order/536365")]
    stream: String,
    /// The stream's version afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    /// Where its last event stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "millrace.order.events/0@17")]
    position: Option<Position>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl CommandStatus {
    pub(crate) fn new(command_id: CommandId, stream: &StreamId, outcome: Option<Outcome>) -> Self {
        let mut status = Self {
            command_id,
            outcome: "undecided",
            stream: stream.to_string(),
            version: None,
            position: None,
            problem: None,
        };
        match outcome {
            None => {}
            Some(Outcome::Accepted(accepted)) => {
                status.outcome = "accepted";
                status.version = Some(accepted.version);
                status.position = Some(accepted.position);
            }
            Some(Outcome::Unchanged { version }) => {
                status.outcome = "unchanged";
                status.version = Some(version);
            }
            Some(Outcome::Rejected(rejection)) => {
                status.outcome = "rejected";
                status.problem = Some(ApiError::rejected(&rejection, false).problem.command_id(command_id));
            }
        }
        status
    }
}

impl IntoResponse for CommandStatus {
    fn into_response(self) -> Response {
        let is_open = self.outcome == "undecided";
        let mut response = Json(self).into_response();
        if is_open {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
