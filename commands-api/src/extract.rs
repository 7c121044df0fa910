//! Extractors whose refusals wait for their command id.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use schemas::ErrorCode;
use serde::de::DeserializeOwned;
use service_kit::{Path, Problem, parse_json, read_body, require_json};

use crate::error::ApiError;

/// A JSON body; nothing at all counts as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = require_json(request.headers());
        let bytes = read_body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(parse_json(b"{}")?));
        }
        is_json?;
        let value = parse_json(&bytes)?;
        require_object(&bytes)?;
        Ok(Self(value))
    }
}

/// Refuses JSON that is no object. Serde reads a struct from a list of its fields as well; the description does not.
pub(crate) fn require_object(text: &[u8]) -> Result<(), Problem> {
    if text.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    Err(Problem::of(ErrorCode::InvalidValue).detail("this is no JSON object"))
}

/// The parameters in the path.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(value) = Path::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}
