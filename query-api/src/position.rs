//! The headers that carry positions.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use schemas::{ErrorCode, Position, Positions};
use service_kit::Problem;
use utoipa::IntoParams;

/// Response header: the positions that the answer reflects at least.
pub const POSITION: HeaderName = HeaderName::from_static("millrace-position");

/// Request header: the positions that the answer must reflect.
pub const MIN_POSITION: HeaderName = HeaderName::from_static("millrace-min-position");

/// The positions that the caller wants reflected; empty without the header.
pub(crate) struct MinPosition(pub(crate) Positions);

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refuse = |detail: String| {
            Problem::of(ErrorCode::InvalidRequest)
                .detail(detail)
                .fact("header", "Millrace-Min-Position")
                .hint("send back a Millrace-Position as it came")
        };
        let mut positions = Positions::new();
        for value in parts.headers.get_all(MIN_POSITION) {
            let text = value.to_str().map_err(|_| refuse("Millrace-Min-Position is not ASCII".to_owned()))?;
            let parsed: Positions =
                text.parse().map_err(|e: schemas::PositionError| refuse(e.to_string()))?;
            positions.extend(parsed.iter().collect::<Vec<Position>>());
        }
        Ok(Self(positions))
    }
}

/// The header as the OpenAPI document shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "read by the derive only")]
pub(crate) struct MinPositionHeader {
    /// Comma-separated `topic/partition@offset` pairs that the answer must reflect: the `Millrace-Position` of an
    /// earlier answer. Topics that the view does not read are ignored. Waits up to two seconds, then 503
    /// `read_model_behind`.
    #[param(
        nullable = false,
        rename = "Millrace-Min-Position",
        required = false,
        pattern = "^([A-Za-z0-9._-]+/[0-9]{1,9}@[0-9]{1,18}(,[A-Za-z0-9._-]+/[0-9]{1,9}@[0-9]{1,18})*)?$",
        example = "millrace.order.events/0@17"
    )]
    min_position: Option<String>,
    /// The `ETag` of an answer that the caller has: 304 without a body if it would be the same again.
    #[param(nullable = false, rename = "If-None-Match", required = false, example = "\"3\"")]
    if_none_match: Option<String>,
}
