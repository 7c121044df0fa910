//! What became of the commands: counted from the server's answers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use command_client::wire::{AnswerLine, LineOutcome};
use indicatif::HumanCount;
use schemas::Positions;
use service_kit::Problem;

/// How many refusals are kept for the report.
const REFUSALS_KEPT_MAX: usize = 20;

/// The running count; shared by all lanes.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

/// What became of the commands so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Commands that changed something.
    pub(super) new_commands: u64,
    /// Events that they appended.
    pub(super) new_events: u64,
    /// Commands whose outcome was known before, or that had nothing left to do.
    pub(super) known_commands: u64,
    /// Commands that a rule refused.
    pub(super) refused_commands: u64,
    /// The first of these, for people.
    pub(super) refusals: Vec<String>,
    /// How far the log was seen.
    pub(super) positions: Positions,
}

impl Tally {
    /// Notes a final answer to the command that stands for `what`; answers whether the command was taken.
    pub(super) fn answered(&self, what: &str, answer: &AnswerLine) -> bool {
        let mut counts = self.lock();
        if let Some(position) = &answer.position {
            counts.positions.advance(position);
        }
        match answer.outcome {
            Some(LineOutcome::Accepted) if answer.replayed != Some(true) => {
                counts.new_commands += 1;
                counts.new_events += u64::from(answer.events.unwrap_or(1));
            }
            Some(LineOutcome::Accepted | LineOutcome::Unchanged) => counts.known_commands += 1,
            Some(LineOutcome::Rejected) | None => {
                counts.refused_commands += 1;
                if counts.refusals.len() < REFUSALS_KEPT_MAX {
                    counts.refusals.push(format!("{what}: {}", reason(answer.problem.as_ref())));
                }
                return false;
            }
        }
        true
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counting cannot panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// How many commands were refused, and the first of them.
    pub(super) fn refusal_lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} commands were refused:", HumanCount(self.refused_commands))];
        lines.extend(self.refusals.iter().map(|refusal| format!("  {refusal}")));
        lines.extend(more(self.refused_commands, self.refusals.len()));
        lines
    }
}

/// How many of a list are not shown; none: all are.
pub(super) fn more(count: u64, shown: usize) -> Option<String> {
    let hidden = count.saturating_sub(shown as u64);
    (hidden > 0).then(|| format!("  and {} more", HumanCount(hidden)))
}

/// Code and words of a problem.
pub(super) fn reason(problem: Option<&Problem>) -> String {
    match problem {
        None => "no reason was given".to_owned(),
        Some(problem) => format!("{} ({})", problem.detail.as_ref().unwrap_or(&problem.title), problem.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: serde_json::Value) -> AnswerLine {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_was_done_before_counts_as_known_and_refusals_are_listed() {
        let tally = Tally::default();
        let accepted = |replayed: bool| {
            answer(serde_json::json!({
                "line": 1, "outcome": "accepted", "events": 2, "position": "m.order.events/0@7", "replayed": replayed
            }))
        };
        assert!(tally.answered("a", &accepted(false)));
        assert!(tally.answered("b", &accepted(true)));
        assert!(
            tally
                .answered("c", &answer(serde_json::json!({"line": 1, "outcome": "unchanged", "version": 3})))
        );
        let problem = Problem::of(schemas::ErrorCode::OrderWrongStatus).detail("order 7 is placed");
        let rejected = serde_json::json!({"line": 1, "outcome": "rejected", "problem": problem});
        for _ in 0..30 {
            assert!(!tally.answered("return/C7/1", &answer(rejected.clone())));
        }
        let counts = tally.counts();
        assert_eq!((counts.new_commands, counts.new_events, counts.known_commands), (1, 2, 2));
        assert_eq!((counts.refused_commands, counts.refusals.len()), (30, REFUSALS_KEPT_MAX));
        assert_eq!(counts.refusals[0], "return/C7/1: order 7 is placed (order_wrong_status)");
        assert_eq!(counts.positions.to_string(), "m.order.events/0@7");
    }
}
