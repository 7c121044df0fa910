//! Promises 1 and 2: versions without gaps, terms that never go back, one outcome per command id.
//!
//! A command id belongs to one stream, and so to one shard. A caller who uses it for streams of two shards has two commands:
//! no shard knows what another one has decided.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use event_log::{OutcomeRecord, Shard};
use schemas::{CommandId, Position, RecordedEvent, StreamId};

use super::report::Report;

/// What a command id has led to so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Its events end at this version of its (only) stream; `offset` is the last one's.
    Events { version: u64, offset: u64 },
    /// It was refused, or had nothing to do.
    Outcome,
}

/// Follows streams, terms and command ids.
#[derive(Default)]
pub(crate) struct StreamChecks {
    versions: HashMap<StreamId, u64>,
    terms: HashMap<(Arc<str>, u32), u64>,
    all_terms: HashSet<(u32, u64)>,
    /// By shard and id.
    commands: HashMap<(u32, CommandId), Seen>,
}

impl StreamChecks {
    pub(crate) fn event(&mut self, recorded: &RecordedEvent, partitions: u32, report: &mut Report) {
        let metadata = &recorded.metadata;
        let position = &recorded.position;
        let version = metadata.version.get();
        let last = self.versions.entry(metadata.stream.clone()).or_default();
        if version != *last + 1 {
            report
                .violation(|| format!("{position}: {} has version {version} after {last}", metadata.stream));
        }
        *last = version.max(*last);
        let right = Shard::of_key(metadata.stream.id().as_bytes(), partitions).partition();
        if right != position.partition {
            report.violation(|| format!("{position}: {} belongs to partition {right}", metadata.stream));
        }
        if recorded.event.aggregate_type() != metadata.stream.aggregate_type() {
            report.violation(|| {
                format!("{position}: {} stands in {}", recorded.event.ce_type(), metadata.stream)
            });
        }
        self.term(position, metadata.writer_term, report);
        let now = Seen::Events { version, offset: position.offset };
        match self.commands.insert((position.partition, metadata.command_id), now) {
            None => {}
            // Several events of one command stand next to each other in one stream.
            Some(Seen::Events { version: before, .. }) if before + 1 == version => {}
            Some(Seen::Events { offset, .. }) => report.violation(|| {
                format!("{position}: command {} took effect at offset {offset} already", metadata.command_id)
            }),
            Some(Seen::Outcome) => report.violation(|| {
                format!("{position}: command {} was refused and took effect", metadata.command_id)
            }),
        }
    }

    pub(crate) fn outcome(&mut self, outcome: &OutcomeRecord, position: &Position, report: &mut Report) {
        self.term(position, outcome.writer_term, report);
        match self.commands.insert((position.partition, outcome.command_id), Seen::Outcome) {
            None => {}
            Some(Seen::Outcome) => {
                report.violation(|| format!("{position}: command {} has two outcomes", outcome.command_id));
            }
            Some(Seen::Events { .. }) => report.violation(|| {
                format!("{position}: command {} took effect and was refused", outcome.command_id)
            }),
        }
    }

    fn term(&mut self, position: &Position, term: u64, report: &mut Report) {
        self.all_terms.insert((position.partition, term));
        let last = self.terms.entry((position.topic.clone(), position.partition)).or_default();
        if term < *last {
            report.violation(|| format!("{position}: term {term} after term {last}"));
        }
        *last = term.max(*last);
    }

    pub(crate) fn finish(&self, report: &mut Report) {
        report.streams = self.versions.len() as u64;
        report.commands = self.commands.len() as u64;
        report.writer_terms = self.all_terms.len() as u64;
    }
}
