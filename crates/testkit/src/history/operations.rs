//! What was told about one command id, held against what the log says of it.

use std::collections::BTreeMap;

use schemas::{CommandId, ErrorCode};

use super::decisions::{Ending, Found};
use super::{Attempt, History, Report, Rule, Told};

/// An answer that took so long may be that of a second submission by the node itself.
const SUBMITTED_AGAIN_NS: u64 = 250_000_000;

/// All requests under one command id, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Operation<'a> {
    pub(super) attempts: Vec<&'a Attempt>,
}

/// The requests by command id.
pub(super) fn operations(history: &History) -> BTreeMap<CommandId, Operation<'_>> {
    let mut operations: BTreeMap<CommandId, Operation<'_>> = BTreeMap::new();
    for attempt in &history.attempts {
        operations.entry(attempt.command_id).or_default().attempts.push(attempt);
    }
    operations
}

impl<'a> Operation<'a> {
    /// When it was first asked for by a request that may be the one that was decided.
    pub(super) fn asked_ns(&self) -> Option<u64> {
        let candidates = self.attempts.iter().filter(|attempt| attempt.told.may_be_decided());
        candidates.map(|attempt| attempt.asked_ns).min()
    }

    /// When its decision was first told.
    pub(super) fn told_ns(&self) -> Option<u64> {
        self.decided().filter_map(|attempt| attempt.answered_ns).min()
    }

    /// The requests that were told a decision.
    fn decided(&self) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().copied().filter(|attempt| attempt.told.is_decision())
    }

    /// Holds what was told against what the log has.
    pub(super) fn check(&self, id: CommandId, found: Option<&Found>, report: &mut Report) {
        for attempt in self.decided() {
            match found {
                None => {
                    report.violation(Rule::Lost, id, format!("{}, the log has nothing of it", said(attempt)))
                }
                Some(found) => told_as_found(attempt, found, report),
            }
        }
        self.told_the_same(id, report);
        self.replays(id, report);
        self.one_wish(id, report);
        if let Some(found) = found {
            self.asked_before_done(id, found, report);
            self.as_expected(id, found, report);
        }
    }

    /// Promise 3: whoever is told a decision is told the same one.
    fn told_the_same(&self, id: CommandId, report: &mut Report) {
        let mut decided = self.decided();
        let Some(first) = decided.next() else { return };
        if let Some(other) = decided.find(|attempt| !attempt.told.agrees(&first.told)) {
            let facts = format!("{}; {}", said(first), said(other));
            report.violation(Rule::ToldDifferently, id, facts);
        }
        let Some(told_ns) = self.told_ns() else { return };
        // Lost and decided once more, it may come out the same: in the same place even.
        let is_new = |attempt: &Attempt| attempt.asked_ns > told_ns && !attempt.told.is_replayed();
        if let Some(anew) = self.decided().find(|attempt| is_new(attempt)) {
            let facts =
                format!("{}, and its decision had been told at {}", said(anew), milliseconds(told_ns));
            report.violation(Rule::ToldAnew, id, facts);
        }
    }

    /// What the log has was done by one of the requests: not by one that was told that it did nothing.
    fn asked_before_done(&self, id: CommandId, found: &Found, report: &mut Report) {
        if self.asked_ns().is_none() {
            let told: Vec<_> = self.attempts.iter().map(|attempt| said(attempt)).collect();
            let facts = format!("the log has {} at {}; {}", found.ending, found.position, told.join("; "));
            report.violation(Rule::DoneAfterAll, id, facts);
        }
    }

    /// "An earlier request had it" needs one that may have had it: made before this answer, not told "nothing was done". Or the
    /// node has submitted this one again when the shard changed hands, and found its own first submission done: that takes time.
    fn replays(&self, id: CommandId, report: &mut Report) {
        for (index, attempt) in self.attempts.iter().enumerate() {
            if !attempt.told.is_replayed() {
                continue;
            }
            let is_before = |other: &&Attempt| attempt.answered_ns.is_none_or(|at| other.asked_ns < at);
            let others = || {
                let others = self.attempts.iter().enumerate().filter(|(i, _)| *i != index);
                others.map(|(_, other)| *other).filter(is_before)
            };
            let took_ns = attempt.answered_ns.map_or(u64::MAX, |at| at.saturating_sub(attempt.asked_ns));
            if others().any(|other| other.told.may_be_decided()) || took_ns >= SUBMITTED_AGAIN_NS {
                continue;
            }
            match others().next() {
                Some(other) => {
                    let facts = format!("{}, but {}", said(attempt), said(other));
                    report.violation(Rule::DoneAfterAll, id, facts);
                }
                None => {
                    let facts = format!("{}, but nobody had asked before", said(attempt));
                    report.violation(Rule::ReplayOfNothing, id, facts);
                }
            }
        }
    }

    /// One command id grants one wish.
    fn one_wish(&self, id: CommandId, report: &mut Report) {
        let mut decided = self.decided();
        if let Some(first) = decided.next()
            && let Some(other) = decided.find(|attempt| attempt.wish.hash != first.wish.hash)
        {
            report.violation(Rule::TwoWishes, id, format!("{}; {}", said(first), said(other)));
        }
        for attempt in self.attempts.iter().filter(|attempt| attempt.told == Told::IdReused) {
            if self.attempts.iter().all(|other| other.wish.hash == attempt.wish.hash) {
                report.violation(Rule::NoOtherWish, id, said(attempt));
            }
        }
    }

    /// A version that the client stated is the one that the decision was made at.
    fn as_expected(&self, id: CommandId, found: &Found, report: &mut Report) {
        let mut candidates = self.attempts.iter().filter(|attempt| attempt.told.may_be_decided());
        let Some(expected) = candidates.next().and_then(|attempt| attempt.wish.expected_version) else {
            return;
        };
        if candidates.any(|attempt| attempt.wish.expected_version != Some(expected)) {
            return;
        }
        let is_right = match found.ending {
            Ending::Events { first, .. } => first == expected.next(),
            Ending::Unchanged { version } => version == expected,
            Ending::Rejected { code: ErrorCode::VersionConflict, current_version } => {
                current_version != Some(expected)
            }
            Ending::Rejected { .. } => true,
        };
        if !is_right {
            let facts = format!("for version {expected} of {}, the log has {}", found.stream, found.ending);
            report.violation_at(Rule::WrongExpectation, &found.position, Some(id), facts);
        }
    }
}

/// Whether a decision that was told is the one that the log has.
fn told_as_found(attempt: &Attempt, found: &Found, report: &mut Report) {
    let rule = match (&attempt.told, found.ending) {
        (Told::Accepted { version, events, position, .. }, Ending::Events { first, last }) => {
            let count = last.get() - first.get() + 1;
            let agrees = *version == last
                && *position == found.position
                && events.is_none_or(|events| u64::from(events) == count)
                && attempt.wish.stream == found.stream;
            (!agrees).then_some(Rule::Misplaced)
        }
        (Told::Unchanged { version, .. }, Ending::Unchanged { version: found_version }) => {
            let agrees = *version == found_version && attempt.wish.stream == found.stream;
            (!agrees).then_some(Rule::Misplaced)
        }
        (Told::Rejected { code, .. }, Ending::Rejected { code: found_code, .. }) => {
            (*code != found_code).then_some(Rule::ToldOtherwise)
        }
        _ => Some(Rule::ToldOtherwise),
    };
    if let Some(rule) = rule {
        let facts = format!("{}, the log has {} of {}", said(attempt), found.ending, found.stream);
        report.violation_at(rule, &found.position, Some(attempt.command_id), facts);
    }
}

/// A request and its answer in words.
pub(super) fn said(attempt: &Attempt) -> String {
    let answered = attempt.answered_ns.map_or("never".to_owned(), milliseconds);
    format!(
        "client {} ({} {}, asked at {}, answered {answered}) was told {}",
        attempt.client,
        attempt.wish.kind,
        attempt.wish.stream,
        milliseconds(attempt.asked_ns),
        attempt.told
    )
}

/// A time of the history in words.
pub(super) fn milliseconds(ns: u64) -> String {
    format!("{}.{:06} ms", ns / 1_000_000, ns % 1_000_000)
}
