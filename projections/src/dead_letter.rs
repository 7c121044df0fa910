//! Dead letters: events that a projection could not take, and those of the same key that wait behind them.
//!
//! They lie in a table of the read store, one row a projection and event, written together with the checkpoint that goes past
//! them; each keeps the whole record, so that folding it later needs no log. What an operator wants done with one is a row of
//! a second table: whichever process runs the partition's projector finds it there. Rows of both tables are stamped by how
//! often they were written, not by an offset alone, so that on a CQL server too the last word wins.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use event_log::{Record, RecordJson};
use read_store::{Change, ChangeBatch, PageCursor, ReadStore, Row, RowKey, Source, Table};
use schemas::{Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The letters: partition key `<projection>/<topic>/<partition>`, sort key the offset.
pub(crate) const DEAD_LETTERS: Table = Table::new("dead_letter", 1);
/// What operators want: keys as in [`DEAD_LETTERS`].
pub(crate) const REQUESTS: Table = Table::new("dead_letter_request", 1);

/// How a letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// The projection could not take the event; the rest of its stream waits behind it.
    Parked,
    /// It waits behind a parked one of its stream.
    Queued,
    /// The projection could not take the event and waits in front of it, with everything behind it in the partition.
    Holding,
    /// It should have been parked or queued, but there is no room for more: the projection waits in front of it until those
    /// before it are retried or skipped.
    Blocked,
    /// An operator has decided that the projection leaves the event out for ever.
    Skipped,
}

impl fmt::Display for LetterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parked => "parked",
            Self::Queued => "queued",
            Self::Holding => "holding",
            Self::Blocked => "blocked",
            Self::Skipped => "skipped",
        })
    }
}

/// An event that a projection did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The projection and its version, such as `order_v1`.
    pub projection: String,
    /// How it is.
    pub state: LetterState,
    /// Why the event could not be taken; none of a queued one.
    pub reason: Option<String>,
    /// Who skipped it.
    pub skipped_by: Option<String>,
    /// The last request that was carried out on it; 0: none.
    #[serde(default)]
    pub requests_done: u64,
    /// How often the letter was written.
    pub revision: u64,
    /// The event as it stands in the log.
    pub record: RecordJson,
}

impl DeadLetter {
    pub(crate) fn new(projection: &str, record: &Record, state: LetterState, reason: Option<String>) -> Self {
        Self {
            projection: projection.to_owned(),
            state,
            reason,
            skipped_by: None,
            requests_done: 0,
            revision: 0,
            record: RecordJson::from(record),
        }
    }

    /// Its name, by which it is asked for.
    pub fn id(&self) -> LetterId {
        LetterId { projection: self.projection.clone(), position: self.record.position.clone() }
    }

    /// When the event was recorded.
    pub fn recorded_at(&self) -> Timestamp {
        self.record.timestamp
    }

    /// The record; fails when the stored letter is damaged.
    pub fn record(&self) -> Result<Record, Error> {
        Record::try_from(self.record.clone()).map_err(|error| damaged(&self.id(), &error))
    }

    /// The change that writes it.
    pub(crate) fn change(&self) -> Result<Change, Error> {
        let id = self.id();
        let document = serde_json::to_vec(self).map_err(|error| damaged(&id, &error))?;
        Ok(Change::put(id.key(DEAD_LETTERS), document, id.source(), id.position.offset + self.revision))
    }

    /// The change that removes it: it was taken after all.
    pub(crate) fn removal(&self) -> Change {
        let id = self.id();
        Change::delete(id.key(DEAD_LETTERS), id.source(), id.position.offset + self.revision + 1)
    }

    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        serde_json::from_slice(&row.document).map_err(|error| {
            let what = format!("the dead letter {}@{}: {error}", row.partition_key, row.sort_key);
            Error::Store(read_store::Error::Damaged { what })
        })
    }
}

fn damaged(id: &LetterId, error: &dyn fmt::Display) -> Error {
    Error::Store(read_store::Error::Damaged { what: format!("the dead letter {id}: {error}") })
}

/// The name of a letter: `<projection>/<topic>/<partition>@<offset>`, such as `order_v1/millrace.order.events/0@17`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// The projection and its version.
    pub projection: String,
    /// Where the event stands.
    pub position: Position,
}

impl LetterId {
    /// Partition key of the letters of a projection and source.
    pub(crate) fn partition_key(projection: &str, source: &Source) -> String {
        format!("{projection}/{source}")
    }

    /// Sort key of the letter of an offset.
    pub(crate) fn sort_key(offset: u64) -> String {
        format!("{offset:020}")
    }

    pub(crate) fn source(&self) -> Source {
        Source { topic: self.position.topic.clone(), partition: self.position.partition }
    }

    pub(crate) fn key(&self, table: Table) -> RowKey {
        let partition_key = Self::partition_key(&self.projection, &self.source());
        RowKey::new(table, partition_key, Self::sort_key(self.position.offset))
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.projection, self.position)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("{text:?} is no dead letter; one is named like order_v1/millrace.order.events/0@17");
        let (projection, position) = text.split_once('/').ok_or_else(bad)?;
        let position = position.parse().map_err(|_| bad())?;
        Ok(Self { projection: projection.to_owned(), position })
    }
}

/// What an operator wants done with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterAction {
    /// Take it again, and then in order what waits behind it.
    Retry,
    /// Leave it out for ever, and take what waits behind it.
    Skip,
}

/// A stored wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LetterRequest {
    pub(crate) action: LetterAction,
    /// Who wants it.
    pub(crate) principal: String,
    /// Counts the wishes about this letter, from 1.
    pub(crate) number: u64,
}

impl LetterRequest {
    pub(crate) fn read(row: &Row) -> Result<Self, Error> {
        serde_json::from_slice(&row.document).map_err(|error| {
            let what = format!("the request about {}@{}: {error}", row.partition_key, row.sort_key);
            Error::Store(read_store::Error::Damaged { what })
        })
    }
}

/// Why nothing can be done with a letter.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is none of that name: it was taken meanwhile, or never was one.
    #[error("there is no dead letter {0}")]
    NotFound(LetterId),
    /// It is skipped already, or it waits behind another one.
    #[error("the dead letter {id} is {state}; only a parked or holding one can be retried or skipped")]
    WrongState {
        /// Its name.
        id: LetterId,
        /// How it is.
        state: LetterState,
    },
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The dead letters of all projections in one store, for operators. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetters(Arc<dyn ReadStore>);

impl DeadLetters {
    /// Those in `store`.
    pub fn new(store: Arc<dyn ReadStore>) -> Self {
        Self(store)
    }

    /// At most `limit` letters behind `after`, by projection, partition and offset on fjall, in the server's order on CQL.
    pub async fn page(
        &self,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<(Vec<DeadLetter>, Option<PageCursor>), Error> {
        let page = self.0.scan_table(DEAD_LETTERS, after, limit).await?;
        Ok((page.rows.iter().map(DeadLetter::read).collect::<Result<_, _>>()?, page.next))
    }

    /// The letter of that name.
    pub async fn get(&self, id: &LetterId) -> Result<Option<DeadLetter>, Error> {
        self.0.get(&id.key(DEAD_LETTERS)).await?.as_ref().map(DeadLetter::read).transpose()
    }

    /// Leaves a wish for the projector of the letter's partition, which looks for one every `lag_interval_ms`. It is carried
    /// out once [`DeadLetters::get`] finds nothing, or [`DeadLetter::requests_done`] at the number answered here.
    pub async fn request(
        &self,
        id: &LetterId,
        action: LetterAction,
        principal: &str,
    ) -> Result<u64, RequestError> {
        let letter = self.get(id).await?.ok_or_else(|| RequestError::NotFound(id.clone()))?;
        if !matches!(letter.state, LetterState::Parked | LetterState::Holding) {
            return Err(RequestError::WrongState { id: id.clone(), state: letter.state });
        }
        let key = id.key(REQUESTS);
        let last = self.0.get(&key).await.map_err(Error::from)?;
        let number = last.map_or(0, |row| row.last_offset) + 1;
        let request = LetterRequest { action, principal: principal.to_owned(), number };
        let document = serde_json::to_vec(&request).map_err(|error| damaged(id, &error))?;
        let changes = vec![Change::put(key, document, id.source(), number)];
        self.0.apply(ChangeBatch { changes, checkpoints: Vec::new() }).await.map_err(Error::from)?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letters_name_comes_back_and_nonsense_is_refused() {
        let id: LetterId = "order_v1/millrace.order.events/0@17".parse().unwrap();
        assert_eq!((&*id.projection, id.position.offset), ("order_v1", 17));
        assert_eq!(id.to_string(), "order_v1/millrace.order.events/0@17");
        for bad in ["", "order_v1", "order_v1/17", "millrace.order.events/0@17"] {
            assert!(bad.parse::<LetterId>().is_err(), "{bad}");
        }
    }
}
