//! Whether two generations of a table say the same.
//!
//! Both follow the log while they are compared, so two rows of one key may be at different events. Then the one behind is
//! folded on, by the projection itself and on a copy, to where the other one is: what differs after that, differs.

use std::time::Duration;

use event_log::{Cursor, Log};
use read_store::{PageCursor, ReadStore, Row, RowKey, Table};
use schemas::{Position, RecordedEvent};
use serde::{Deserialize, Serialize};
use service_kit::Stop;
use tokio::runtime::Handle;
use utoipa::ToSchema;

use crate::{Catalogue, Error};

/// Rows read at once.
const ROWS: usize = 500;
/// Most keys that a comparison names.
const NAMED_MAX: usize = 1_000;
/// How long reading the few events between two rows may take.
const READ_WAIT: Duration = Duration::from_secs(10);
/// How often a row that has gone while it was looked at is looked at again.
const ATTEMPTS_MAX: usize = 5;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Generation that serves.
    pub serving: u32,
    /// Generation that was held against it.
    pub other: u32,
    /// Rows compared.
    pub rows: u64,
    /// Rows that differ, or are in one generation only.
    pub differing: u64,
    /// The first thousand of these.
    pub keys: Vec<DifferingRow>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferingRow {
    /// Partition key.
    pub partition_key: String,
    /// Sort key.
    pub sort_key: String,
    /// The last event in the serving row; none: there is no such row.
    #[schema(value_type = Option<String>)]
    pub serving: Option<Position>,
    /// The last event in the other row; none: there is no such row.
    #[schema(value_type = Option<String>)]
    pub other: Option<Position>,
    /// Members of the document that differ, as JSON pointers; at most ten.
    pub members: Vec<String>,
}

/// Two tables of one projection.
pub(crate) struct Comparing<'a> {
    pub(crate) log: &'a dyn Log,
    pub(crate) store: &'a dyn ReadStore,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) serving: Table,
    pub(crate) other: Table,
}

impl Comparing<'_> {
    /// Compares all rows; blocks, for as long as the tables are large. None: it was told to stop.
    pub(crate) fn run(&self, stop: &Stop) -> Result<Option<Comparison>, Error> {
        let runtime = Handle::current();
        let mut found = Comparison {
            serving: self.serving.generation(),
            other: self.other.generation(),
            rows: 0,
            differing: 0,
            keys: Vec::new(),
        };
        // First all rows of the one, then those that only the other has.
        for (from, to) in [(self.serving, self.other), (self.other, self.serving)] {
            let mut after: Option<PageCursor> = None;
            loop {
                if stop.is_requested() {
                    return Ok(None);
                }
                let page = runtime.block_on(self.store.scan_table(from, after.as_ref(), ROWS))?;
                let key = |row: &Row| RowKey::new(to, &*row.partition_key, &*row.sort_key);
                let keys: Vec<_> = page.rows.iter().map(key).collect();
                let others = runtime.block_on(self.store.get_many(&keys))?;
                for (row, other) in page.rows.iter().zip(others) {
                    if from == self.serving {
                        found.rows += 1;
                    } else if other.is_some() {
                        continue;
                    }
                    if other.as_ref() != Some(row) {
                        self.look_closer(row, &mut found)?;
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(Some(found))
    }

    /// Reads both rows of a key again, and brings them to one event.
    fn look_closer(&self, row: &Row, found: &mut Comparison) -> Result<(), Error> {
        let key = |table| RowKey::new(table, &*row.partition_key, &*row.sort_key);
        let keys = [key(self.serving), key(self.other)];
        let mut pair = (None, None);
        for _ in 0..ATTEMPTS_MAX {
            let rows = Handle::current().block_on(self.store.get_many(&keys))?;
            let [serving, other] = <[_; 2]>::try_from(rows).unwrap_or_default();
            pair = self.level(serving, other)?;
            if pair.0 == pair.1 {
                return Ok(());
            }
            if pair.0.is_some() && pair.1.is_some() {
                break;
            }
            // One of them has no row: it may not have come to its first event yet.
            std::thread::sleep(Duration::from_millis(200));
        }
        found.differing += 1;
        if found.keys.len() < NAMED_MAX {
            found.keys.push(DifferingRow {
                partition_key: row.partition_key.clone(),
                sort_key: row.sort_key.clone(),
                serving: pair.0.as_ref().map(position),
                other: pair.1.as_ref().map(position),
                members: differing_members(pair.0.as_ref(), pair.1.as_ref()),
            });
        }
        Ok(())
    }

    /// Folds the one that is behind on to the other's last event.
    fn level(&self, serving: Option<Row>, other: Option<Row>) -> Result<(Option<Row>, Option<Row>), Error> {
        let (Some(a), Some(b)) = (&serving, &other) else { return Ok((serving, other)) };
        if a.source != b.source || a.last_offset == b.last_offset {
            return Ok((serving, other));
        }
        let events = self.events_between(a, b)?;
        let Some(folder) = self.catalogue.folder(self.serving) else { return Ok((serving, other)) };
        Ok(if a.last_offset < b.last_offset {
            (folder.fold_row(a.clone(), &events), other)
        } else {
            (serving, folder.fold_row(b.clone(), &events))
        })
    }

    fn events_between(&self, a: &Row, b: &Row) -> Result<Vec<RecordedEvent>, Error> {
        let (first, last) = (a.last_offset.min(b.last_offset) + 1, a.last_offset.max(b.last_offset));
        let (topic, partition) = (a.source.topic.clone(), a.source.partition);
        let mut reader = self.log.open_reader(&[Cursor { topic, partition, next_offset: first }])?;
        let deadline = std::time::Instant::now() + READ_WAIT;
        let mut events = Vec::new();
        while reader.next_offsets().iter().any(|cursor| cursor.next_offset <= last)
            && std::time::Instant::now() < deadline
        {
            for record in reader.read(ROWS, Duration::from_millis(100))? {
                if record.position.offset <= last {
                    events.extend(event_log::decode_event(&record));
                }
            }
        }
        Ok(events)
    }
}

fn position(row: &Row) -> Position {
    Position { topic: row.source.topic.clone(), partition: row.source.partition, offset: row.last_offset }
}

fn differing_members(serving: Option<&Row>, other: Option<&Row>) -> Vec<String> {
    let value = |row: &Row| serde_json::from_slice::<serde_json::Value>(&row.document).ok();
    let (Some(a), Some(b)) = (serving.and_then(value), other.and_then(value)) else { return Vec::new() };
    let mut members = Vec::new();
    differences(&a, &b, String::new(), &mut members);
    members
}

fn differences(a: &serde_json::Value, b: &serde_json::Value, at: String, found: &mut Vec<String>) {
    use serde_json::Value;
    if a == b || found.len() >= 10 {
        return;
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                let member = |of: &serde_json::Map<String, Value>| of.get(name).cloned().unwrap_or_default();
                differences(&member(a), &member(b), format!("{at}/{name}"), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, format!("{at}/{i}"), found);
            }
        }
        _ => found.push(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_differ_are_named_by_where_they_are() {
        let a = serde_json::json!({"a": 1, "b": [{"c": 1}, 2], "gone": true});
        let b = serde_json::json!({"a": 1, "b": [{"c": 2}, 2], "new": [1]});
        let mut found = Vec::new();
        differences(&a, &b, String::new(), &mut found);
        assert_eq!(found, ["/b/0/c", "/gone", "/new"]);
    }
}
