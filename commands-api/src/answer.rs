//! What a request for one command is answered.

use axum::http::header::{ETAG, HeaderName, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemas::{CommandId, Position, Version};
use serde::Serialize;
use service_kit::Json;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::deferred::Deferred;

const POSITION: HeaderName = HeaderName::from_static("millrace-position");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What became of a command.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CommandAnswer {
    /// The command.
    pub(crate) command_id: CommandId,
    /// `accepted`: its events are in the log. `unchanged`: the stream already says what it wanted.
    #[schema(value_type = String, example = "accepted")]
    pub(crate) outcome: &'static str,
    /// The stream, `<aggregate>/<id>`.
    #[schema(example = "order/536365")]
    pub(crate) stream: String,
    /// The instance.
    pub(crate) id: String,
    /// The stream's version afterwards; also the `ETag`.
    pub(crate) version: Version,
    /// Where the command's last event stands; also the `Millrace-Position` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "millrace.order.events/0@17")]
    pub(crate) position: Option<Position>,
    /// Whether this is the answer to an earlier request with the same key.
    pub(crate) replayed: bool,
}

impl CommandAnswer {
    /// `body` (this answer, maybe with more beside it) under this answer's headers.
    pub(crate) fn respond(&self, status: StatusCode, body: impl Serialize) -> Response {
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(ETAG, text(format!("\"{}\"", self.version)));
        if let Some(position) = &self.position {
            headers.insert(POSITION, text(position.to_string()));
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// A command on its way out.
pub(crate) enum Answered {
    /// It is decided.
    Decided { answer: CommandAnswer, location: Option<String> },
    /// It will be.
    Deferred(Deferred),
}

impl Answered {
    pub(crate) fn new(answer: CommandAnswer) -> Self {
        Self::Decided { answer, location: None }
    }

    /// 201 and `Location: <collection>/<id>` where the command made the instance; 200 where it was there already.
    #[must_use]
    pub(crate) fn created(self, collection: &str) -> Self {
        match self {
            Self::Decided { answer, .. } if answer.outcome == "accepted" => {
                let location = Some(format!("{collection}/{}", answer.id.replace(' ', "%20")));
                Self::Decided { answer, location }
            }
            other => other,
        }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        match self {
            Self::Decided { answer, location: None } => answer.respond(StatusCode::OK, &answer),
            Self::Decided { answer, location: Some(location) } => {
                let mut response = answer.respond(StatusCode::CREATED, &answer);
                response.headers_mut().insert(LOCATION, text(location));
                response
            }
            Self::Deferred(deferred) => deferred.into_response(),
        }
    }
}

fn text(value: String) -> HeaderValue {
    HeaderValue::from_str(&value).expect("versions, positions and ids are made of visible ASCII")
}

/// The headers that every route for one command takes, for the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "read by the description only; call.rs reads the headers")]
pub(crate) struct CommandHeaders {
    /// 1 to 255 visible characters. The same key from the same principal is the same command: repeating it is safe.
    #[param(
        nullable = false,
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: Option<String>,
    /// Repeats the command of this id (an earlier answer names it); not together with `Idempotency-Key`.
    #[param(nullable = false, rename = "Millrace-Command-Id", format = Uuid)]
    command_id: Option<String>,
    /// The version at which the caller believes the stream, in quotes, as the `ETag` of a query's document says it; at another
    /// one nothing is done (412).
    #[param(
        nullable = false,
        rename = "If-Match",
        pattern = "^\"[0-9]{1,19}(-[0-9a-f]{16})?\"$",
        example = "\"3\""
    )]
    if_match: Option<String>,
    /// `respond-async`: 202 as soon as the command is durable, with where its outcome will be. A preference: where this node
    /// cannot vouch for the sender on the commands topic, the answer waits for the outcome all the same.
    #[param(nullable = false, rename = "Prefer", example = "respond-async")]
    prefer: Option<String>,
    /// Who asks; believed on loopback connections only.
    #[param(
        nullable = false,
        rename = "Millrace-Principal",
        pattern = "^[A-Za-z0-9._~:@+-]([A-Za-z0-9._~:@+ -]{0,126}[A-Za-z0-9._~:@+-])?$"
    )]
    principal: Option<String>,
    /// W3C trace context; recorded with the events.
    #[param(nullable = false)]
    traceparent: Option<String>,
}

/// The success of a route for one command, for the API's description.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the description only")]
pub(crate) enum Done {
    /// It is decided and durable.
    #[response(status = 200, headers(
        ("ETag" = String, description = "The stream's version, in quotes"),
        ("Millrace-Position" = String, description = "Where the last event stands; none if there was nothing to do"),
        ("Millrace-Command-Id" = String, description = "The command"),
        ("Idempotency-Replayed" = String, description = "true: this is the answer to an earlier request"),
    ))]
    Done(CommandAnswer),
    /// It is durable and will be decided (`Prefer: respond-async`).
    #[response(status = 202, headers(
        ("Location" = String, description = "Where its outcome will be"),
        ("Preference-Applied" = String, description = "respond-async"),
        ("Millrace-Command-Id" = String, description = "The command"),
    ))]
    Deferred(Deferred),
}

/// As [`Done`], of a route that makes an instance.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the description only")]
pub(crate) enum Created {
    /// It exists now.
    #[response(status = 201, headers(
        ("Location" = String, description = "Where the query API shows it"),
        ("ETag" = String, description = "The stream's version, in quotes"),
        ("Millrace-Position" = String, description = "Where the last event stands"),
        ("Millrace-Command-Id" = String, description = "The command"),
        ("Idempotency-Replayed" = String, description = "true: this is the answer to an earlier request"),
    ))]
    IsNew(CommandAnswer),
    /// It is durable and will be decided (`Prefer: respond-async`).
    #[response(status = 202, headers(
        ("Location" = String, description = "Where its outcome will be"),
        ("Preference-Applied" = String, description = "respond-async"),
        ("Millrace-Command-Id" = String, description = "The command"),
    ))]
    Deferred(Deferred),
    /// It existed already, with the same content.
    #[response(status = 200, headers(
        ("ETag" = String, description = "The stream's version, in quotes"),
        ("Millrace-Command-Id" = String, description = "The command"),
        ("Idempotency-Replayed" = String, description = "true: this is the answer to an earlier request"),
    ))]
    Existed(CommandAnswer),
}
