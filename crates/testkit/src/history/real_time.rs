//! Real time: what was answered before something else was asked for stands before it.
//!
//! The log knows no clock that could be trusted. But an answer dates what it tells of, and everything in the same
//! partition before it: all of that was decided by then. So whatever stands before an answered decision must have been
//! asked for before that answer, by a request that was not told "nothing was done".

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemas::{CommandId, StreamId, Version};

use super::decisions::{Ending, Found};
use super::operations::{Operation, milliseconds};
use super::{Report, Rule};

/// A decision that was asked for by the history.
struct Placed<'a, K> {
    place: K,
    id: CommandId,
    found: &'a Found,
    operation: &'a Operation<'a>,
    /// When it was first asked for; none: only by requests that were told that they did nothing.
    asked_ns: Option<u64>,
    /// When it was first told; none: never.
    told_ns: Option<u64>,
}

/// What a decision showed of its stream: an event's version, or the version that a no-op or a conflict has seen.
type Seen = (Version, IsLook);
/// An event comes before those that have seen its version.
type IsLook = bool;

/// Checks the order within each partition, then what decisions have seen of their streams.
pub(super) fn check(
    decisions: &BTreeMap<CommandId, Found>,
    operations: &BTreeMap<CommandId, Operation<'_>>,
    report: &mut Report,
) {
    let mut partitions: HashMap<(Arc<str>, u32), Vec<Placed<'_, u64>>> = HashMap::new();
    let mut streams: HashMap<&StreamId, Vec<Placed<'_, Seen>>> = HashMap::new();
    for (id, found) in decisions {
        let Some(operation) = operations.get(id) else { continue };
        let position = &found.position;
        let of_partition = partitions.entry((position.topic.clone(), position.partition)).or_default();
        of_partition.push(Placed::new(position.offset, *id, found, operation));
        let seen = match found.ending {
            Ending::Events { last, .. } => Some((last, false)),
            Ending::Unchanged { version } => Some((version, true)),
            Ending::Rejected { current_version, .. } => current_version.map(|version| (version, true)),
        };
        if let Some(seen) = seen {
            let of_stream = streams.entry(&found.stream).or_default();
            of_stream.push(Placed::new(seen, *id, found, operation));
        }
    }
    for placed in partitions.into_values() {
        in_order(placed, report, |_, _| true);
    }
    for placed in streams.into_values() {
        // Two events of a stream were compared by their offsets.
        in_order(placed, report, |one, other| one.place.1 || other.place.1);
    }
}

impl<'a, K> Placed<'a, K> {
    fn new(place: K, id: CommandId, found: &'a Found, operation: &'a Operation<'a>) -> Self {
        let (asked_ns, told_ns) = (operation.asked_ns(), operation.told_ns());
        Self { place, id, found, operation, asked_ns, told_ns }
    }
}

/// Reports what was asked for only after the answer to something in a later place. Equal places have no order.
fn in_order<'a, K: Ord>(
    mut placed: Vec<Placed<'a, K>>,
    report: &mut Report,
    is_compared: impl Fn(&Placed<'a, K>, &Placed<'a, K>) -> bool,
) {
    placed.sort_by(|one, other| other.place.cmp(&one.place));
    // Of all later places, the one that was answered first.
    let mut witness: Option<&Placed<'a, K>> = None;
    for same_place in placed.chunk_by(|one, other| one.place == other.place) {
        for one in same_place {
            if let (Some(asked_ns), Some(later)) = (one.asked_ns, witness)
                && is_compared(one, later)
            {
                report.counts.ordered += 1;
                if later.told_ns < Some(asked_ns) {
                    out_of_order(one, later, asked_ns, report);
                }
            }
        }
        for one in same_place.iter().filter(|one| one.told_ns.is_some()) {
            if witness.is_none_or(|later| one.told_ns < later.told_ns) {
                witness = Some(one);
            }
        }
    }
}

fn out_of_order<K>(one: &Placed<'_, K>, later: &Placed<'_, K>, asked_ns: u64, report: &mut Report) {
    let told_ns = later.told_ns.unwrap_or_default();
    let mut earlier = one.operation.attempts.iter().filter(|attempt| attempt.asked_ns <= told_ns);
    let mut facts = format!(
        "{} of {} stands before {} of {} at {} (command {}), which was answered at {}; it was asked for at {}",
        one.found.ending,
        one.found.stream,
        later.found.ending,
        later.found.stream,
        later.found.position,
        later.id,
        milliseconds(told_ns),
        milliseconds(asked_ns)
    );
    let rule = match earlier.next() {
        Some(attempt) => {
            facts += &format!(", and before that by a request that was told {}", attempt.told);
            Rule::DoneAfterAll
        }
        None => Rule::OutOfOrder,
    };
    report.violation_at(rule, &one.found.position, Some(one.id), facts);
}
