//! The trait of a store, as a contract.

use async_trait::async_trait;

use crate::{ChangeBatch, Checkpoint, Error, Row, RowKey, Table};

/// Document tables.
///
/// **Order.** Rows of one partition key are ordered by sort key, byte by byte. Partition keys have the store's own
/// order (by key on fjall, by token on CQL), always the same.
///
/// **Atomicity.** Whoever sees a checkpoint sees the rows that led to it, after a crash too. A store may lose the last
/// batches in a crash, rows and checkpoint alike: the projector then goes on from the older checkpoint.
///
/// **Idempotence.** Applying a batch again writes what is there. A batch whose checkpoint lies behind the stored one
/// changes nothing: it comes from a projector that has been overtaken.
///
/// **Cancellation.** A dropped `apply` has taken effect or has not; a dropped read has no effect. **Empty.** An empty
/// batch succeeds; a table that nothing was written to has no rows and no checkpoints.
#[async_trait]
pub trait ReadStore: Send + Sync + 'static {
    /// Writes the changes, then the checkpoints.
    ///
    /// Fails with [`Error::Key`] for a key that no store takes, and nothing is written. A batch whose checkpoint would go back
    /// has no effect: a store that can tell fails with [`Error::CheckpointBehind`], one that cannot succeeds.
    async fn apply(&self, batch: ChangeBatch) -> Result<(), Error>;

    /// The row at `key`.
    async fn get(&self, key: &RowKey) -> Result<Option<Row>, Error>;

    /// The rows at `keys`, in their order.
    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, Error>;

    /// At most `limit` rows of one partition key, from `from_sort_key` on (included), ordered by sort key.
    async fn scan(
        &self,
        table: Table,
        partition_key: &str,
        from_sort_key: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error>;

    /// At most `limit` rows of the table behind `after` (at the beginning without), in the store's own order of
    /// partition keys. Paging with the answered cursors gives every row that is there all the time exactly once.
    async fn scan_table(&self, table: Table, after: Option<&PageCursor>, limit: usize)
    -> Result<Page, Error>;

    /// How far the table has come, ordered by source.
    async fn checkpoints(&self, table: Table) -> Result<Vec<Checkpoint>, Error>;

    /// Removes the table with its rows and checkpoints. It must not be written any more, nor ever again: what is late would
    /// come back. One that is not there is no error.
    async fn drop_table(&self, table: Table) -> Result<(), Error>;

    /// Makes durable what was applied so far; for an ordered shutdown.
    async fn flush(&self) -> Result<(), Error>;
}

/// The place of a row in a table's order: a page goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// Partition key of the last row seen.
    pub partition_key: String,
    /// Sort key of the last row seen.
    pub sort_key: String,
}

/// Some rows of a table, and where the next ones are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on; none: there are no more.
    pub next: Option<PageCursor>,
}

impl Page {
    /// The first `limit` of rows that were read with a limit of one more, which tells whether there are more.
    pub(crate) fn of_one_more(mut rows: Vec<Row>, limit: usize) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|row| PageCursor {
            partition_key: row.partition_key.clone(),
            sort_key: row.sort_key.clone(),
        });
        Self { rows, next }
    }
}
