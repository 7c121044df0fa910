//! Errors over HTTP: problem documents as of RFC 9457, with the extensions that clients of Millrace rely on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schemas::{ErrorCode, Retry};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The content type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What `Retry-After` says on 429 and 503 when the problem does not know better.
const RETRY_AFTER_SECONDS: u64 = 1;

/// One problem document; build it with [`Problem::of`] and the methods below, return it from a handler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A link that identifies the kind of problem: `/docs/problems#<code>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// One sentence about the kind of problem; the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code to program against, snake_case.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether repeating the same request can help.
    pub retry: Retry,
    /// What the caller can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The command that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// How long to wait before repeating, in seconds; also the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The facts of this occurrence, as further members of the document.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub facts: BTreeMap<String, Value>,
}

impl Problem {
    const MEMBERS: [&str; 9] =
        ["type", "title", "status", "code", "detail", "retry", "hint", "command_id", "retry_after_seconds"];

    /// A problem of the closed list, with the status, title and retry rule that belong to its code.
    #[must_use]
    pub fn of(code: ErrorCode) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, code.as_str(), code.title()).retry(code.retry())
    }

    /// A problem with a code of its own, as one from a later version has. `retry` starts as after-backoff for 429 and 5xx,
    /// never for the rest.
    fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, title: impl Into<String>) -> Self {
        let code = code.into();
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Self {
            type_uri: format!("/docs/problems#{code}"),
            title: title.into(),
            status: status.as_u16(),
            code,
            detail: None,
            retry: if passes { Retry::AfterBackoff } else { Retry::Never },
            hint: None,
            command_id: None,
            retry_after_seconds: None,
            facts: BTreeMap::new(),
        }
    }

    /// Says what happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says what the caller can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says whether repeating can help.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Says after how many seconds repeating can help.
    #[must_use]
    pub fn retry_after_seconds(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Names the command that this answers.
    #[must_use]
    pub fn command_id(mut self, command_id: impl fmt::Display) -> Self {
        self.command_id = Some(command_id.to_string());
        self
    }

    /// Adds a fact as a member of its own. A name that the document uses itself is ignored: a fact never replaces it.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        if !Self::MEMBERS.contains(&name) {
            self.facts.insert(name.to_owned(), value.into());
        }
        self
    }

    /// The HTTP status; 500 for a number that is none.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<ErrorCode> for Problem {
    fn from(code: ErrorCode) -> Self {
        Self::of(code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail.as_ref().unwrap_or(&self.title))
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = self.status_code();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            self.retry_after_seconds.get_or_insert(RETRY_AFTER_SECONDS);
        }
        tracing::debug!(code = %self.code, status = self.status, detail = self.detail, "problem");
        let body = serde_json::to_vec(&self).expect("a problem holds text, numbers and JSON values only");
        let mut response =
            (status, [(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))], body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The fallback for paths that lead nowhere.
pub async fn not_found(uri: Uri) -> Problem {
    Problem::of(ErrorCode::NotFound)
        .detail(format!("there is nothing at {}", uri.path()))
        .hint("the API pages at /docs list every path")
}

/// The fallback for methods that a path does not know; the `Allow` header lists those that it does.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::of(ErrorCode::MethodNotAllowed).detail(format!("{} does not know {method}", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn read(problem: Problem) -> (StatusCode, axum::http::HeaderMap, Value) {
        let response = problem.into_response();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = axum::body::to_bytes(response.into_body(), 65_536).await.unwrap();
        (status, headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_problem_has_the_shape_of_rfc_9457_with_its_facts_as_members() {
        let problem = Problem::of(ErrorCode::InsufficientStock)
            .detail("2 of sku A are available, 3 were asked for")
            .hint("order less")
            .command_id("c-1")
            .fact("available", 2)
            .fact("status", 200);
        let (status, headers, body) = read(problem).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(headers[CONTENT_TYPE], PROBLEM_JSON);
        assert!(!headers.contains_key(RETRY_AFTER));
        assert_eq!(
            body,
            json!({
                "type": "/docs/problems#insufficient_stock", "title": ErrorCode::InsufficientStock.title(),
                "status": 409, "code": "insufficient_stock", "retry": "never", "hint": "order less",
                "detail": "2 of sku A are available, 3 were asked for", "command_id": "c-1", "available": 2,
            })
        );
    }

    #[tokio::test]
    async fn overload_and_unavailability_always_say_when_to_come_back() {
        let (_, headers, body) = read(Problem::of(ErrorCode::Overloaded)).await;
        assert_eq!((&headers[RETRY_AFTER], &body["retry"]), (&HeaderValue::from(1), &json!("after-backoff")));
        let (_, headers, body) = read(Problem::of(ErrorCode::OutcomeUnknown).retry_after_seconds(7)).await;
        assert_eq!((&headers[RETRY_AFTER], &body["retry_after_seconds"]), (&HeaderValue::from(7), &json!(7)));
    }

    #[test]
    fn a_problem_reads_back_as_it_was_written() {
        let problem = Problem::new(StatusCode::CONFLICT, "later_code", "Later").fact("lines", json!([1, 2]));
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }

    #[test]
    fn every_code_has_a_real_status() {
        for code in ErrorCode::ALL {
            let problem = Problem::of(*code);
            assert_eq!((problem.status, &*problem.code), (code.status(), code.as_str()));
            assert!(problem.status_code().is_client_error() || problem.status_code().is_server_error());
        }
    }
}
