//! What a projector writes at once: rows, and how far it has come with them.

use bytes::Bytes;

use crate::{RowKey, Source, Table};

/// Changes and the checkpoints that they lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeBatch {
    /// At most one change per row.
    pub changes: Vec<Change>,
    /// Where the tables go on once the changes are in. At most one per table and source.
    pub checkpoints: Vec<Checkpoint>,
}

impl ChangeBatch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.checkpoints.is_empty()
    }
}

/// A row's new value: absolute, a function of its source up to `offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which row.
    pub key: RowKey,
    /// Its JSON document from now on; none: the row goes.
    pub document: Option<Bytes>,
    /// What the row is made of.
    pub source: Source,
    /// Offset of the last event folded in.
    pub offset: u64,
}

impl Change {
    /// The row is `document` from now on.
    pub fn put(key: RowKey, document: impl Into<Bytes>, source: Source, offset: u64) -> Self {
        Self { key, document: Some(document.into()), source, offset }
    }

    /// The row goes.
    pub fn delete(key: RowKey, source: Source, offset: u64) -> Self {
        Self { key, document: None, source, offset }
    }
}

/// How far a table has come with one source: everything below `next_offset` is in its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The table.
    pub table: Table,
    /// The source.
    pub source: Source,
    /// Offset of the next event to fold in.
    pub next_offset: u64,
}
