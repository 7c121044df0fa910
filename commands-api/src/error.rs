//! The one place where errors become problem documents.

use aggregate_host::HostError;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use schemas::{ErrorCode, MoneyError, Rejection, Retry};
use service_kit::Problem;

use crate::hints::hint;

/// An error on its way out. The layer around the route adds the command id, which extractors don't know.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) problem: Problem,
    replayed: bool,
}

impl ApiError {
    pub(crate) fn of(code: ErrorCode) -> Self {
        Problem::of(code).into()
    }

    /// A rule refused the command.
    pub(crate) fn rejected(rejection: &Rejection, replayed: bool) -> Self {
        let mut problem = Problem::of(rejection.code).detail(&rejection.detail);
        for (name, value) in &rejection.facts {
            problem = problem.fact(name, value.clone());
        }
        Self { replayed, ..problem.into() }
    }

    /// Whether a rule refused it, as against a shard that could not be asked.
    pub(crate) fn is_refusal(&self) -> bool {
        self.problem.retry == Retry::Never
    }

    /// Adds a fact.
    pub(crate) fn fact(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.problem = self.problem.fact(name, value);
        self
    }

    /// Says what happened this time.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.problem = self.problem.detail(detail);
        self
    }
}

impl From<Problem> for ApiError {
    fn from(mut problem: Problem) -> Self {
        if problem.hint.is_none() {
            problem.hint = hint(&problem.code).map(str::to_owned);
        }
        Self { problem, replayed: false }
    }
}

impl From<HostError> for ApiError {
    fn from(error: HostError) -> Self {
        Problem::of(error.code()).detail(error.to_string()).into()
    }
}

impl From<MoneyError> for ApiError {
    fn from(error: MoneyError) -> Self {
        let code = match error {
            MoneyError::CurrencyMismatch { .. } => ErrorCode::CurrencyMismatch,
            MoneyError::UnknownCurrency { .. } | MoneyError::Overflow => ErrorCode::InvalidValue,
        };
        Problem::of(code).detail(error.to_string()).into()
    }
}

impl IntoResponse for ApiError {
    /// Leaves the document itself to [`finish`].
    fn into_response(self) -> Response {
        let mut response = self.problem.status_code().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the document that an [`ApiError`] left open; `command_id` is what it answers.
pub(crate) fn finish(mut response: Response, command_id: Option<schemas::CommandId>) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let problem = match command_id {
        Some(command_id) => error.problem.command_id(command_id),
        None => error.problem,
    };
    let mut response = problem.into_response();
    if error.replayed {
        let name = HeaderName::from_static("idempotency-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use schemas::CommandId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_error_of_the_host_keeps_its_code_and_gets_a_hint() {
        let command_id = CommandId::new(Uuid::from_u128(1));
        let errors = [
            (HostError::Overloaded { shard: 0, waiting: 9 }, 429, "overloaded"),
            (HostError::ShardUnavailable { shard: 0 }, 503, "shard_unavailable"),
            (HostError::NotWritten, 503, "not_written"),
            (HostError::OutcomeUnknown { command_id }, 503, "outcome_unknown"),
            (HostError::IdReused { command_id }, 422, "idempotency_key_reused"),
            (HostError::ShuttingDown, 503, "shutting_down"),
        ];
        for (error, status, code) in errors {
            let response = finish(ApiError::from(error.clone()).into_response(), Some(command_id));
            assert_eq!(response.status(), status, "{error}");
            assert_eq!(response.headers().contains_key("retry-after"), status != 422, "{error}");
            let problem = ApiError::from(error).problem;
            assert_eq!(problem.code, code);
            assert!(problem.hint.is_some(), "{code} has no hint");
        }
    }
}
