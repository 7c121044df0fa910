//! What goes wrong, as problems.

use projections::{Behind, PartitionState, Progress};
use schemas::ErrorCode;
use service_kit::{Chain, Problem};

/// A store that fails is our fault: the log says how, the caller that it may be repeated.
pub(crate) fn store(error: read_store::Error) -> Problem {
    match error.code() {
        ErrorCode::InvalidValue => Problem::of(ErrorCode::InvalidValue).detail(error.to_string()),
        ErrorCode::ReadModelUnavailable => {
            tracing::warn!(error = %Chain(&error), "the read store is away");
            Problem::of(ErrorCode::ReadModelUnavailable)
        }
        code => {
            tracing::error!(error = %Chain(&error), "the read store failed");
            Problem::of(code).detail("the read models cannot be read at the moment")
        }
    }
}

/// A stored document that is not what its projection writes.
pub(crate) fn document(error: serde_json::Error) -> Problem {
    tracing::error!(%error, "a stored document cannot be read");
    Problem::of(ErrorCode::Internal)
        .detail("a stored document cannot be read; the read model must be rebuilt")
}

/// Sums that do not fit 64 bits.
pub(crate) fn fold(error: projections::FoldError) -> Problem {
    tracing::error!(error = %Chain(&error), "a sum over read models failed");
    Problem::of(ErrorCode::Internal).detail(error.to_string())
}

/// The view has not come as far as asked.
pub(crate) fn behind(behind: &Behind, progress: &Progress) -> Problem {
    let is_stopped =
        |status: &projections::PartitionStatus| matches!(status.state, PartitionState::Stopped(_));
    let stopped: Vec<_> = progress.statuses().iter().filter(|s| is_stopped(s)).map(|s| s.partition).collect();
    let problem = Problem::of(ErrorCode::ReadModelBehind)
        .detail(behind.to_string())
        .hint("repeat it, or leave Millrace-Min-Position out to see what there is")
        .fact("asked", behind.asked.to_string())
        .fact("reached", behind.reached.to_string());
    if stopped.is_empty() { problem } else { problem.fact("stopped_partitions", stopped) }
}

/// Nothing under this id.
pub(crate) fn not_found(code: ErrorCode, what: &str, id: &str) -> Problem {
    let id: String = id.chars().take(128).collect();
    Problem::of(code).detail(format!("there is no {what} {id:?}"))
}

/// A parameter outside of its range.
pub(crate) fn invalid(field: &'static str, detail: impl Into<String>) -> Problem {
    Problem::of(ErrorCode::InvalidValue).detail(detail).fact("field", field)
}
