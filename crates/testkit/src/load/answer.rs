//! What an answer over HTTP tells, and when to ask again.

use std::time::Duration;

use schemas::{AggregateType, ErrorCode, Position, Retry, Version};
use serde::Deserialize;

use crate::history::Told;

/// Wait before asking again after something that a moment mends; longer waits that the server asks for are cut here,
/// for a test has no time.
const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// An answer, and after which pause to ask again; none: it is final.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) told: Told,
    pub(super) again: Option<Duration>,
}

/// The JSON of an answer: of a command's own route, of a line of the bulk route, or a problem document.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    outcome: Option<String>,
    version: Option<Version>,
    events: Option<u32>,
    position: Option<Position>,
    replayed: Option<bool>,
    problem: Option<Problem>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    retry: Retry,
    #[serde(default)]
    retry_after_seconds: Option<u64>,
}

/// The answer of a request about a stream of `aggregate`.
pub(super) async fn of(
    response: reqwest::Result<reqwest::Response>,
    aggregate: AggregateType,
    is_bulk: bool,
) -> Answer {
    match read(response, aggregate, is_bulk).await {
        Ok(answer) => answer,
        Err(error) => of_failure(&error),
    }
}

async fn read(
    response: reqwest::Result<reqwest::Response>,
    aggregate: AggregateType,
    is_bulk: bool,
) -> reqwest::Result<Answer> {
    let response = response?;
    let status = response.status();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let bytes = response.bytes().await?;
    let unreadable = || Answer::unknown(format!("status {status} with a body that is not understood"));
    if !status.is_success() {
        let problem = serde_json::from_slice::<Problem>(&bytes);
        return Ok(
            problem.map_or_else(|_| unreadable(), |problem| problem.answer(aggregate, is_bulk, replayed))
        );
    }
    let body: Body = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(body.answer(aggregate).unwrap_or_else(unreadable))
}

/// A request that was never connected did nothing; any other one may have.
fn of_failure(error: &reqwest::Error) -> Answer {
    let told = if error.is_connect() {
        Told::not_done("not connected")
    } else if error.is_timeout() {
        Told::unknown("time-out")
    } else {
        Told::unknown("broken connection")
    };
    Answer { told, again: Some(BACKOFF) }
}

impl Answer {
    fn unknown(why: String) -> Self {
        Self { told: Told::unknown(why), again: Some(BACKOFF) }
    }
}

impl Body {
    fn answer(self, aggregate: AggregateType) -> Option<Answer> {
        let replayed = self.replayed.unwrap_or(false);
        let told = match (self.outcome.as_deref(), self.problem) {
            (Some("accepted"), _) => {
                let (version, position) = (self.version?, self.position?);
                Told::Accepted { version, events: self.events, position, replayed }
            }
            (Some("unchanged"), _) => Told::Unchanged { version: self.version?, replayed },
            (Some("rejected"), Some(problem)) => Told::Rejected { code: problem.code()?, replayed },
            // A line that was not decided.
            (None, Some(problem)) => return Some(problem.answer(aggregate, true, false)),
            _ => return None,
        };
        Some(Answer { told, again: None })
    }
}

impl Problem {
    fn code(&self) -> Option<ErrorCode> {
        serde_json::from_value(serde_json::Value::String(self.code.clone())).ok()
    }

    /// `is_undecided`: whether a decided refusal would have come otherwise (the bulk route tells the two apart).
    fn answer(self, aggregate: AggregateType, is_undecided: bool, replayed: bool) -> Answer {
        let again = match self.retry {
            Retry::Never => None,
            Retry::Safe => Some(Duration::ZERO),
            Retry::AfterBackoff => {
                let asked_for = self.retry_after_seconds.map_or(BACKOFF, Duration::from_secs);
                Some(asked_for.min(BACKOFF_MAX))
            }
        };
        let told = match self.code() {
            None | Some(ErrorCode::OutcomeUnknown | ErrorCode::Internal) => Told::unknown(self.code),
            Some(ErrorCode::IdempotencyKeyReused) => Told::IdReused,
            Some(code) if is_undecided || is_told_at_the_door(code, aggregate) => Told::not_done(self.code),
            Some(code) => Told::Rejected { code, replayed },
        };
        Answer { told, again }
    }
}

/// Whether a command's own route tells this without asking the shard: the request is wrong, its shard is not to be had,
/// or what an order is made of is not for sale.
fn is_told_at_the_door(code: ErrorCode, aggregate: AggregateType) -> bool {
    match code {
        ErrorCode::InvalidRequest
        | ErrorCode::Forbidden
        | ErrorCode::NotFound
        | ErrorCode::MethodNotAllowed
        | ErrorCode::UnsupportedMediaType
        | ErrorCode::BodyTooLarge
        | ErrorCode::Overloaded
        | ErrorCode::ShardUnavailable
        | ErrorCode::NotWritten
        | ErrorCode::ReadModelBehind
        | ErrorCode::ReadModelUnavailable
        | ErrorCode::ShuttingDown => true,
        ErrorCode::ProductNotFound | ErrorCode::ProductNotPriced | ErrorCode::ProductNotPublished => {
            aggregate == AggregateType::Order
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(code: ErrorCode) -> Problem {
        serde_json::from_value(json!({"code": code, "retry": code.retry(), "retry_after_seconds": 1}))
            .unwrap()
    }

    #[test]
    fn only_what_is_decided_counts_as_refused() {
        let told = |code, aggregate| problem(code).answer(aggregate, false, false).told;
        let stock = AggregateType::Stock;
        let code = ErrorCode::InsufficientStock;
        assert_eq!(told(code, stock), Told::Rejected { code, replayed: false });
        assert_eq!(told(ErrorCode::NotWritten, stock), Told::not_done("not_written"));
        assert_eq!(told(ErrorCode::OutcomeUnknown, stock), Told::unknown("outcome_unknown"));
        assert_eq!(told(ErrorCode::Internal, stock), Told::unknown("internal"));
        assert_eq!(told(ErrorCode::IdempotencyKeyReused, stock), Told::IdReused);
        let code = ErrorCode::ProductNotPriced;
        assert_eq!(told(code, AggregateType::Order), Told::not_done("product_not_priced"));
        assert_eq!(told(code, AggregateType::Product), Told::Rejected { code, replayed: false });
        // A line of the bulk route says by itself whether it was decided.
        let undecided = problem(ErrorCode::InvalidValue).answer(stock, true, false).told;
        assert_eq!(undecided, Told::not_done("invalid_value"));
    }

    #[test]
    fn asking_again_is_what_the_answer_advises() {
        let again = |code| problem(code).answer(AggregateType::Stock, false, false).again;
        assert_eq!(again(ErrorCode::NotWritten), Some(Duration::ZERO));
        assert_eq!(again(ErrorCode::Overloaded), Some(BACKOFF_MAX));
        assert_eq!(again(ErrorCode::InsufficientStock), None);
    }

    #[test]
    fn a_line_of_the_bulk_route_and_a_routes_own_answer_tell_the_same() {
        let told = |body: serde_json::Value| {
            let body: Body = serde_json::from_value(body).unwrap();
            body.answer(AggregateType::Stock).unwrap().told
        };
        let own = told(json!({"outcome": "accepted", "version": 3, "position": "s/0@7", "replayed": true}));
        let line = told(
            json!({"line": 1, "outcome": "accepted", "version": 3, "events": 2, "position": "s/0@7", "replayed": true}),
        );
        let (version, position) = (Version::new(3), "s/0@7".parse::<Position>().unwrap());
        assert_eq!(own, Told::Accepted { version, events: None, position: position.clone(), replayed: true });
        assert_eq!(line, Told::Accepted { version, events: Some(2), position, replayed: true });
        let problem = json!({"code": "stock_limit", "retry": "never"});
        let refused = told(json!({"line": 1, "outcome": "rejected", "problem": problem, "replayed": false}));
        assert_eq!(refused, Told::Rejected { code: ErrorCode::StockLimit, replayed: false });
        let problem = json!({"code": "overloaded", "retry": "after-backoff"});
        assert_eq!(told(json!({"line": 1, "problem": problem})), Told::not_done("overloaded"));
    }
}
