//! The store as queries see it: every table is the generation of it that serves.

use std::sync::Arc;

use async_trait::async_trait;
use read_store::{ChangeBatch, Checkpoint, Error, Page, PageCursor, ReadStore, Row, RowKey, Table};

use crate::Progress;

/// Reads of a table go to its serving generation, as its [`Progress`] says; writes go where they say themselves.
pub struct ServingStore {
    store: Arc<dyn ReadStore>,
    progress: Progress,
}

impl ServingStore {
    /// `store`, which has come as far as `progress` says.
    pub fn new(store: Arc<dyn ReadStore>, progress: Progress) -> Self {
        Self { store, progress }
    }

    fn key(&self, key: &RowKey) -> RowKey {
        RowKey { table: self.progress.serving(key.table), ..key.clone() }
    }
}

#[async_trait]
impl ReadStore for ServingStore {
    async fn apply(&self, batch: ChangeBatch) -> Result<(), Error> {
        self.store.apply(batch).await
    }

    async fn get(&self, key: &RowKey) -> Result<Option<Row>, Error> {
        self.store.get(&self.key(key)).await
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| self.key(key)).collect();
        self.store.get_many(&keys).await
    }

    async fn scan(
        &self,
        table: Table,
        partition_key: &str,
        from_sort_key: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        self.store.scan(self.progress.serving(table), partition_key, from_sort_key, limit).await
    }

    async fn scan_table(
        &self,
        table: Table,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        self.store.scan_table(self.progress.serving(table), after, limit).await
    }

    async fn checkpoints(&self, table: Table) -> Result<Vec<Checkpoint>, Error> {
        self.store.checkpoints(self.progress.serving(table)).await
    }

    async fn drop_table(&self, table: Table) -> Result<(), Error> {
        self.store.drop_table(table).await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.store.flush().await
    }
}
