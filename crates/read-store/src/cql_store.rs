//! The store on a CQL server: Apache Cassandra or ScyllaDB, through the `scylla` driver.
//!
//! **Stamps instead of transactions.** Rows of a batch lie on many nodes, and there is no transaction over them. What keeps
//! the promises is the write time: every write carries the offset of the last event folded in (`2·offset + 1` for a row,
//! `2·offset` for a deletion), and the server keeps the highest. A batch that is written again, late, or by a projector that
//! has been replaced, changes nothing that is newer; the checkpoint is written after the rows, stamped alike.
//!
//! **What follows from it.** These tables have no TTL, no lightweight transactions and no time-window compaction: each of
//! them would mix another clock into the stamps. A table is never emptied and filled again under its name: another version
//! is another table.
//!
//! **Retries.** Every statement is marked as idempotent, so the driver's default policy takes another node when one is gone
//! or overloaded. What still fails goes to the projector, which waits and folds again from its checkpoint: writes are not
//! speculated on. Reads may be ([`CqlConfig::speculative_read_after_ms`]).

mod config;
mod keyspace;
mod statements;
mod writing;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;

pub use self::config::{Consistency, CqlConfig};
use self::statements::TableStatements;
use crate::row::check_key;
use crate::{ChangeBatch, Checkpoint, Error, Page, PageCursor, ReadStore, Row, RowKey, Source, Table};

/// Tables in one keyspace of a CQL server. Cheap to share; one for a process is enough.
pub struct CqlStore {
    session: Session,
    config: CqlConfig,
    select_checkpoints: PreparedStatement,
    insert_checkpoint: PreparedStatement,
    /// Tables that are known to be there.
    tables: RwLock<HashMap<Table, Arc<TableStatements>>>,
}

impl CqlStore {
    /// Connects, and makes the keyspace and what belongs in it unless it is there.
    pub async fn open(config: CqlConfig) -> Result<Self, Error> {
        config.check()?;
        let profile = ExecutionProfile::builder()
            .consistency(config.consistency.driver())
            .request_timeout(Some(config.request_timeout_ms.duration()))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.nodes)
            .connection_timeout(config.connect_timeout_ms.duration())
            .default_execution_profile_handle(profile.into_handle());
        if let Some(datacenter) = &config.datacenter {
            builder = builder.prefer_datacenter(datacenter.clone());
        }
        let session = builder
            .build()
            .await
            .map_err(|error| Error::unavailable("connecting to the read store", error))?;
        keyspace::prepare(&session, &config).await?;
        let keyspace = &config.keyspace;
        let select_checkpoints = statements::prepare(
            &session,
            format!(
                "SELECT topic, topic_partition, next_offset FROM {keyspace}.checkpoints WHERE table_name = ?"
            ),
        )
        .await?;
        let insert_checkpoint = statements::prepare(
            &session,
            format!(
                "INSERT INTO {keyspace}.checkpoints (table_name, topic, topic_partition, next_offset) \
                 VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
            ),
        )
        .await?;
        Ok(Self { session, config, select_checkpoints, insert_checkpoint, tables: RwLock::default() })
    }

    /// The table's statements; none while there is no such table.
    async fn find(&self, table: Table) -> Result<Option<Arc<TableStatements>>, Error> {
        if let Some(known) = self.tables.read().unwrap_or_else(PoisonError::into_inner).get(&table) {
            return Ok(Some(Arc::clone(known)));
        }
        if !keyspace::has_table(&self.session, &self.config.keyspace, table).await? {
            return Ok(None);
        }
        match TableStatements::prepare(&self.session, &self.config, table).await {
            Ok(statements) => Ok(Some(self.remember(table, statements))),
            // Just made, or just dropped: the server's own tables say so before, or after, it can be used.
            Err(error) if is_missing_table(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The table's statements; it is made unless it is there.
    async fn find_or_create(&self, table: Table) -> Result<Arc<TableStatements>, Error> {
        if let Some(known) = self.find(table).await? {
            return Ok(known);
        }
        keyspace::create_table(&self.session, &self.config, table).await?;
        let statements = TableStatements::prepare(&self.session, &self.config, table).await?;
        Ok(self.remember(table, statements))
    }

    fn remember(&self, table: Table, statements: TableStatements) -> Arc<TableStatements> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(table).or_insert_with(|| Arc::new(statements)))
    }

    /// The rows that a statement selects, of one partition key or of several.
    async fn rows<R: SelectedRow>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
        of: &str,
    ) -> Result<Vec<Row>, Error> {
        let answer = self.session.execute_unpaged(statement, values).await.map_err(asking)?;
        let answer = answer.into_rows_result().map_err(reading)?;
        R::read(&answer, of)
    }

    async fn get_from(&self, statements: &TableStatements, key: &RowKey) -> Result<Option<Row>, Error> {
        let values = (&key.partition_key, &key.sort_key);
        Ok(self.rows::<InPartition>(&statements.get, values, &key.partition_key).await?.pop())
    }
}

#[async_trait]
impl ReadStore for CqlStore {
    async fn apply(&self, batch: ChangeBatch) -> Result<(), Error> {
        for change in &batch.changes {
            change.key.check()?;
        }
        self.write_rows(&batch.changes).await?;
        // Whoever sees the checkpoint must see the rows: they are acknowledged by now.
        self.write_checkpoints(&batch.checkpoints).await
    }

    async fn get(&self, key: &RowKey) -> Result<Option<Row>, Error> {
        match self.find(key.table).await? {
            Some(statements) => self.get_from(&statements, key).await,
            None => Ok(None),
        }
    }

    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, Error> {
        let mut reads = Vec::with_capacity(keys.len());
        for key in keys {
            reads.push(self.get(key));
        }
        stream::iter(reads).buffered(self.config.requests_in_flight_max).try_collect().await
    }

    async fn scan(
        &self,
        table: Table,
        partition_key: &str,
        from_sort_key: &str,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        check_key(partition_key)?;
        check_key(from_sort_key)?;
        let Some(statements) = self.find(table).await? else { return Ok(Vec::new()) };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let values = (partition_key, from_sort_key, limit_of(limit));
        self.rows::<InPartition>(&statements.scan_from, values, partition_key).await
    }

    async fn scan_table(
        &self,
        table: Table,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        let Some(statements) = self.find(table).await? else { return Ok(Page::default()) };
        if limit == 0 {
            return Ok(Page { rows: Vec::new(), next: after.cloned() });
        }
        let wanted = limit.saturating_add(1);
        let rows = match after {
            None => self.rows::<InTable>(&statements.scan_table, (limit_of(wanted),), "").await?,
            Some(PageCursor { partition_key, sort_key }) => {
                check_key(partition_key)?;
                check_key(sort_key)?;
                let values = (partition_key, sort_key, limit_of(wanted));
                let mut rows =
                    self.rows::<InPartition>(&statements.scan_after, values, partition_key).await?;
                if rows.len() < wanted {
                    // Two keys of one token would be a page's loss: with 64 bits, and a million keys, the chance is that
                    // of one in ten million.
                    let values = (partition_key, limit_of(wanted - rows.len()));
                    rows.extend(self.rows::<InTable>(&statements.scan_table_after, values, "").await?);
                }
                rows
            }
        };
        Ok(Page::of_one_more(rows, limit))
    }

    async fn checkpoints(&self, table: Table) -> Result<Vec<Checkpoint>, Error> {
        let values = (table.to_string(),);
        let answer = self.session.execute_unpaged(&self.select_checkpoints, values).await.map_err(asking)?;
        let answer = answer.into_rows_result().map_err(reading)?;
        let mut checkpoints = Vec::new();
        for row in answer.rows::<(&str, i32, i64)>().map_err(reading)? {
            let (topic, partition, next_offset) = row.map_err(reading)?;
            let source = source(topic, partition)?;
            checkpoints.push(Checkpoint { table, source, next_offset: offset(next_offset)? });
        }
        Ok(checkpoints)
    }

    async fn drop_table(&self, table: Table) -> Result<(), Error> {
        keyspace::drop_table(&self.session, &self.config, table).await?;
        self.tables.write().unwrap_or_else(PoisonError::into_inner).remove(&table);
        Ok(())
    }

    /// Nothing is held back: what was applied is acknowledged.
    async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What the servers say of a table that is not there: `table … does not exist` (Cassandra), `unconfigured table` (ScyllaDB).
fn is_missing_table(error: &Error) -> bool {
    let text = service_kit::Chain(error).to_string();
    text.contains("does not exist") || text.contains("unconfigured table")
}

/// How the rows of an answer are read.
trait SelectedRow {
    fn read(answer: &scylla::response::query_result::QueryRowsResult, of: &str) -> Result<Vec<Row>, Error>;
}

/// Rows of one partition key, which is not selected.
struct InPartition;

impl SelectedRow for InPartition {
    fn read(answer: &scylla::response::query_result::QueryRowsResult, of: &str) -> Result<Vec<Row>, Error> {
        let rows = answer.rows::<(&str, &str, &str, i32, i64)>().map_err(reading)?;
        rows.map(|row| {
            let (sort_key, document, topic, partition, last) = row.map_err(reading)?;
            row_of(of, sort_key, document, source(topic, partition)?, last)
        })
        .collect()
    }
}

/// Rows of any partition key.
struct InTable;

impl SelectedRow for InTable {
    fn read(answer: &scylla::response::query_result::QueryRowsResult, _of: &str) -> Result<Vec<Row>, Error> {
        let rows = answer.rows::<(&str, &str, &str, &str, i32, i64)>().map_err(reading)?;
        rows.map(|row| {
            let (partition_key, sort_key, document, topic, partition, last) = row.map_err(reading)?;
            row_of(partition_key, sort_key, document, source(topic, partition)?, last)
        })
        .collect()
    }
}

fn row_of(
    partition_key: &str,
    sort_key: &str,
    document: &str,
    source: Source,
    last_offset: i64,
) -> Result<Row, Error> {
    Ok(Row {
        partition_key: partition_key.to_owned(),
        sort_key: sort_key.to_owned(),
        document: Bytes::copy_from_slice(document.as_bytes()),
        source,
        last_offset: offset(last_offset)?,
    })
}

fn source(topic: &str, partition: i32) -> Result<Source, Error> {
    let partition = u32::try_from(partition)
        .map_err(|_| Error::Damaged { what: format!("partition {partition} of {topic}") })?;
    Ok(Source::new(topic, partition))
}

fn offset(stored: i64) -> Result<u64, Error> {
    u64::try_from(stored).map_err(|_| Error::Damaged { what: format!("offset {stored}") })
}

/// CQL's limits are 32 bits wide.
fn limit_of(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

fn asking(error: scylla::errors::ExecutionError) -> Error {
    Error::unavailable("reading the read models", error)
}

fn reading(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::backend("reading the read models", error)
}
