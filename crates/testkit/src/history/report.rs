//! What a check found, and how much it had to look at.

use std::fmt;

use schemas::{CommandId, Position};
use serde::Serialize;

/// Violations that a report prints in words; it counts all.
const PRINTED_MAX: usize = 25;

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The log: a record that cannot be read, or records that were not read in the order of their offsets.
    Unreadable,
    /// The log: a version of a stream is missing, or stands twice.
    VersionGap,
    /// The log: a writer's term after a later one.
    TermBack,
    /// The log: a command that took effect, was refused, or had nothing to do, and then again.
    DecidedTwice,
    /// The log: something happened that nobody asked for.
    NobodyAsked,
    /// Told a decision that the log does not have.
    Lost,
    /// Told another version, position, number of events or stream than the log has.
    Misplaced,
    /// Told a success, and the log has a refusal; or the other way round; or another refusal.
    ToldOtherwise,
    /// Two requests under one command id were told different decisions.
    ToldDifferently,
    /// Told that nothing was done by a request that was the one that did it.
    DoneAfterAll,
    /// Told that an earlier request had it, and there was none.
    ReplayOfNothing,
    /// Told as something new what an earlier request had been told before: it was decided anew.
    ToldAnew,
    /// Decided at another version than the client had said.
    WrongExpectation,
    /// Told that the id stands for another wish, and nobody had another one.
    NoOtherWish,
    /// Two wishes under one command id were both granted.
    TwoWishes,
    /// Real time: stands before something that was answered before it was asked for.
    OutOfOrder,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable",
            Self::VersionGap => "version gap",
            Self::TermBack => "term back",
            Self::DecidedTwice => "decided twice",
            Self::NobodyAsked => "nobody asked",
            Self::Lost => "lost",
            Self::Misplaced => "misplaced",
            Self::ToldOtherwise => "told otherwise",
            Self::ToldDifferently => "told differently",
            Self::DoneAfterAll => "done after all",
            Self::ReplayOfNothing => "replay of nothing",
            Self::ToldAnew => "told anew",
            Self::WrongExpectation => "wrong expectation",
            Self::NoOtherWish => "no other wish",
            Self::TwoWishes => "two wishes",
            Self::OutOfOrder => "out of order",
        })
    }
}

/// One broken promise with its facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// What the history and the log say.
    pub facts: String,
    /// The command, where it is about one.
    pub command_id: Option<CommandId>,
    /// The record, where it is about one.
    pub position: Option<Position>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule)?;
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        if let Some(command_id) = &self.command_id {
            write!(f, "command {command_id}: ")?;
        }
        f.write_str(&self.facts)
    }
}

/// How much was looked at. A check of nothing finds nothing: look at these, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests.
    pub attempts: usize,
    /// Command ids among them.
    pub operations: usize,
    /// Operations of more than one request.
    pub repeated: usize,
    /// Requests told "accepted".
    pub accepted: usize,
    /// Requests told "unchanged".
    pub unchanged: usize,
    /// Requests told that a rule refuses it.
    pub rejected: usize,
    /// Decisions of these three that were told again.
    pub replayed: usize,
    /// Requests told that nothing was done (another wish's id included).
    pub not_done: usize,
    /// Requests told nothing certain.
    pub unknown: usize,
    /// Operations told nothing certain by any of their requests, and in the log.
    pub unknown_done: usize,
    /// Operations told nothing certain by any of their requests, and not in the log.
    pub unknown_not_done: usize,
    /// Records of the log.
    pub records: usize,
    /// Events among them.
    pub events: usize,
    /// Streams in the log.
    pub streams: usize,
    /// Writer terms in the log, all partitions together.
    pub writer_terms: usize,
    /// Decisions in the log that the history asked for.
    pub matched: usize,
    /// Decisions in the log that process managers, or others out of scope, asked for.
    pub of_others: usize,
    /// Decisions whose place was compared with something that was answered before they were asked for.
    pub ordered: usize,
}

/// The outcome of a check.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How much was looked at.
    pub counts: Counts,
    /// What is wrong.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether no promise is broken.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The broken promises, each once, in the order of [`Rule`].
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<_> = self.violations.iter().map(|violation| violation.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    pub(super) fn violation(&mut self, rule: Rule, command_id: CommandId, facts: String) {
        self.violations.push(Violation { rule, facts, command_id: Some(command_id), position: None });
    }

    pub(super) fn violation_at(
        &mut self,
        rule: Rule,
        position: &Position,
        command_id: Option<CommandId>,
        facts: String,
    ) {
        self.violations.push(Violation { rule, facts, command_id, position: Some(position.clone()) });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        writeln!(
            f,
            "{} requests of {} commands ({} repeated): {} accepted, {} unchanged, {} rejected, {} of these replayed, {} \
             not done, {} unknown",
            c.attempts,
            c.operations,
            c.repeated,
            c.accepted,
            c.unchanged,
            c.rejected,
            c.replayed,
            c.not_done,
            c.unknown
        )?;
        writeln!(
            f,
            "{} records, {} of them events of {} streams under {} terms; decisions: {} asked for here, {} by others, {} \
             compared in time; commands of unknown outcome: {} done, {} not",
            c.records,
            c.events,
            c.streams,
            c.writer_terms,
            c.matched,
            c.of_others,
            c.ordered,
            c.unknown_done,
            c.unknown_not_done
        )?;
        for violation in self.violations.iter().take(PRINTED_MAX) {
            writeln!(f, "{violation}")?;
        }
        match self.violations.len() {
            0 => write!(f, "clean"),
            count => write!(f, "{count} violations"),
        }
    }
}
