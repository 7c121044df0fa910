//! Holds a history against the log.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{CommandId, Principal};

use super::decisions::{Found, decisions};
use super::operations::{Operation, operations};
use super::{Attempt, History, LoggedRecord, Report, Rule, Told, real_time};

/// The version of the UUIDs that the platform derives: from events, and from idempotency keys.
const DERIVED: usize = 5;

/// What belongs to the history.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Who has asked for things that are not in the history, beside the process managers.
    pub others: BTreeSet<Principal>,
}

impl Scope {
    /// A scope in which `principal` has asked for things beside the history.
    #[must_use]
    pub fn with(mut self, principal: Principal) -> Self {
        self.others.insert(principal);
        self
    }
}

/// Checks `history` against the records of the log, each partition's in order of their offsets.
///
/// The log must have been read after the last client ended: what is asked later would be "lost".
pub fn check(history: &History, log: &[LoggedRecord], scope: &Scope) -> Report {
    let mut report = Report::default();
    let decisions = decisions(log, &mut report);
    let operations = operations(history);
    count(history, &operations, &decisions, &mut report);
    for (id, operation) in &operations {
        operation.check(*id, decisions.get(id), &mut report);
    }
    let clients: BTreeSet<&Principal> =
        history.attempts.iter().map(|attempt| &attempt.wish.principal).collect();
    for (id, found) in decisions.iter().filter(|(id, _)| !operations.contains_key(id)) {
        if is_asked_for_elsewhere(*id, found, &clients, scope) {
            report.counts.of_others += 1;
        } else {
            let by = found.principal.as_ref().map_or("somebody", Principal::as_str);
            let facts = format!("{} of {} for {by}", found.ending, found.stream);
            report.violation_at(Rule::NobodyAsked, &found.position, Some(*id), facts);
        }
    }
    real_time::check(&decisions, &operations, &mut report);
    report
}

/// Whether a decision that the history does not know may be somebody else's: a process manager's, or another's that the
/// scope names. An outcome does not say whose it was, but a process manager's command id is derived from an event.
fn is_asked_for_elsewhere(
    id: CommandId,
    found: &Found,
    clients: &BTreeSet<&Principal>,
    scope: &Scope,
) -> bool {
    match &found.principal {
        Some(principal) if scope.others.contains(principal) => true,
        Some(principal) => principal.as_str().starts_with("process:") && !clients.contains(principal),
        None => id.as_uuid().get_version_num() == DERIVED,
    }
}

fn count(
    history: &History,
    operations: &BTreeMap<CommandId, Operation<'_>>,
    decisions: &BTreeMap<CommandId, Found>,
    report: &mut Report,
) {
    let told = |is: fn(&Told) -> bool| history.attempts.iter().filter(|attempt| is(&attempt.told)).count();
    let counts = &mut report.counts;
    counts.attempts = history.attempts.len();
    counts.operations = operations.len();
    counts.repeated = operations.values().filter(|operation| operation.attempts.len() > 1).count();
    counts.accepted = told(|told| matches!(told, Told::Accepted { .. }));
    counts.unchanged = told(|told| matches!(told, Told::Unchanged { .. }));
    counts.rejected = told(|told| matches!(told, Told::Rejected { .. }));
    counts.replayed = told(Told::is_replayed);
    counts.not_done = told(|told| !told.may_be_decided());
    counts.unknown = told(|told| matches!(told, Told::Unknown { .. }));
    counts.matched = decisions.keys().filter(|id| operations.contains_key(id)).count();
    let is_open = |attempts: &[&Attempt]| {
        let mut told = attempts.iter().map(|attempt| &attempt.told);
        told.clone().all(|told| !told.is_decision()) && told.any(Told::may_be_decided)
    };
    for (id, _) in operations.iter().filter(|(_, operation)| is_open(&operation.attempts)) {
        match decisions.contains_key(id) {
            true => counts.unknown_done += 1,
            false => counts.unknown_not_done += 1,
        }
    }
}
