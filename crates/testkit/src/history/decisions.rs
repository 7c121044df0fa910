//! The log by command: what each one came to; and what the log promises by itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::{CommandId, ErrorCode, Position, Principal, StreamId, Timestamp, Version};

use super::logged::Decision;
use super::{Logged, LoggedRecord, Report, Rule};

/// What one command came to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) stream: StreamId,
    pub(super) ending: Ending,
    /// Its last record.
    pub(super) position: Position,
    /// Who asked; outcomes don't say.
    pub(super) principal: Option<Principal>,
    writer_term: u64,
    recorded_at: Timestamp,
}

/// The decision itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It made these versions of its stream.
    Events { first: Version, last: Version },
    /// There was nothing to do at this version.
    Unchanged { version: Version },
    /// It was refused, at this version where the refusal says it.
    Rejected { code: ErrorCode, current_version: Option<Version> },
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Events { first, last } if first == last => write!(f, "version {last}"),
            Self::Events { first, last } => write!(f, "versions {first} to {last}"),
            Self::Unchanged { version } => write!(f, "unchanged at version {version}"),
            Self::Rejected { code, .. } => write!(f, "rejected: {code}"),
        }
    }
}

/// Takes the log record by record.
#[derive(Default)]
struct Reading {
    found: BTreeMap<CommandId, Found>,
    versions: HashMap<StreamId, Version>,
    /// Per partition: the last offset and the last term.
    last: HashMap<(std::sync::Arc<str>, u32), (u64, u64)>,
    terms: HashSet<(u32, u64)>,
}

/// What each command came to. Breaches of the log's own promises go into the report, so do its counts.
pub(super) fn decisions(log: &[LoggedRecord], report: &mut Report) -> BTreeMap<CommandId, Found> {
    let mut reading = Reading::default();
    for record in log {
        reading.record(record, report);
    }
    report.counts.records = log.len();
    report.counts.streams = reading.versions.len();
    report.counts.writer_terms = reading.terms.len();
    reading.found
}

impl Reading {
    fn record(&mut self, record: &LoggedRecord, report: &mut Report) {
        let position = &record.position;
        let (by, ending, principal) = match &record.logged {
            Logged::Event { by, version, principal } => {
                report.counts.events += 1;
                self.version(&by.stream, *version, position, report);
                (by, Ending::Events { first: *version, last: *version }, Some(principal.clone()))
            }
            Logged::Unchanged { by, version } => (by, Ending::Unchanged { version: *version }, None),
            Logged::Rejected { by, code, current_version } => {
                (by, Ending::Rejected { code: *code, current_version: *current_version }, None)
            }
            Logged::Unreadable { why } => {
                return report.violation_at(Rule::Unreadable, position, None, why.clone());
            }
        };
        self.place(by, position, report);
        self.decision(by, ending, principal, position, report);
    }

    /// Versions of a stream: one after the other from 1.
    fn version(&mut self, stream: &StreamId, version: Version, position: &Position, report: &mut Report) {
        let last = self.versions.entry(stream.clone()).or_default();
        if version != last.next() {
            let facts = format!("{stream} has version {version} after {last}");
            report.violation_at(Rule::VersionGap, position, None, facts);
        }
        *last = version.max(*last);
    }

    /// Offsets of a partition rise, its terms never go back.
    fn place(&mut self, by: &Decision, position: &Position, report: &mut Report) {
        let term = by.writer_term;
        self.terms.insert((position.partition, term));
        let key = (position.topic.clone(), position.partition);
        let Some((last_offset, last_term)) = self.last.insert(key, (position.offset, term)) else { return };
        if position.offset <= last_offset {
            let facts = format!("read after offset {last_offset}");
            report.violation_at(Rule::Unreadable, position, Some(by.command_id), facts);
        }
        if term < last_term {
            let facts = format!("term {term} after term {last_term}");
            report.violation_at(Rule::TermBack, position, Some(by.command_id), facts);
        }
    }

    fn decision(
        &mut self,
        by: &Decision,
        ending: Ending,
        principal: Option<Principal>,
        position: &Position,
        report: &mut Report,
    ) {
        let Some(earlier) = self.found.get_mut(&by.command_id) else {
            let found = Found {
                stream: by.stream.clone(),
                ending,
                position: position.clone(),
                principal,
                writer_term: by.writer_term,
                recorded_at: by.recorded_at,
            };
            self.found.insert(by.command_id, found);
            return;
        };
        if !earlier.go_on(by, ending, position) {
            let facts = format!(
                "{}: {ending} under term {}, decided before: {} of {} at {} under term {}",
                by.stream,
                by.writer_term,
                earlier.ending,
                earlier.stream,
                earlier.position,
                earlier.writer_term
            );
            report.violation_at(Rule::DecidedTwice, position, Some(by.command_id), facts);
        }
    }
}

impl Found {
    /// Takes the next event of the same decision: the next version, in the next place, of the same batch.
    fn go_on(&mut self, by: &Decision, ending: Ending, position: &Position) -> bool {
        let (Ending::Events { last, .. }, Ending::Events { last: next, .. }) = (&mut self.ending, ending)
        else {
            return false;
        };
        let follows = next == last.next()
            && by.stream == self.stream
            && by.writer_term == self.writer_term
            && by.recorded_at == self.recorded_at
            && (&position.topic, position.partition) == (&self.position.topic, self.position.partition)
            && position.offset == self.position.offset + 1;
        if follows {
            *last = next;
            self.position = position.clone();
        }
        follows
    }
}
