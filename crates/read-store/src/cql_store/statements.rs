//! What is prepared for a table.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;

use super::{CqlConfig, SimpleSpeculativeExecutionPolicy};
use crate::{Error, Table};

/// What a reader of one partition key gets.
const COLUMNS: &str = "sort_key, document, topic, topic_partition, last_offset";

/// The statements of one table.
pub(super) struct TableStatements {
    /// Partition key, sort key, document, topic, partition, offset; stamp.
    pub(super) put: PreparedStatement,
    /// Stamp; partition key, sort key.
    pub(super) delete: PreparedStatement,
    /// Partition key, sort key.
    pub(super) get: PreparedStatement,
    /// Partition key, first sort key, limit.
    pub(super) scan_from: PreparedStatement,
    /// Partition key, last sort key seen, limit.
    pub(super) scan_after: PreparedStatement,
    /// Limit.
    pub(super) scan_table: PreparedStatement,
    /// Last partition key seen, limit.
    pub(super) scan_table_after: PreparedStatement,
}

impl TableStatements {
    /// Asks the server to prepare them.
    pub(super) async fn prepare(session: &Session, config: &CqlConfig, table: Table) -> Result<Self, Error> {
        let name = format!("{}.{table}", config.keyspace);
        let write = |text: String| prepare(session, text);
        let read = |text: String| async move {
            let mut statement = prepare(session, text).await?;
            speculate(session, config, &mut statement);
            Ok::<_, Error>(statement)
        };
        let one = "partition_key = ?";
        Ok(Self {
            put: write(format!(
                "INSERT INTO {name} (partition_key, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
            ))
            .await?,
            delete: write(format!("DELETE FROM {name} USING TIMESTAMP ? WHERE {one} AND sort_key = ?"))
                .await?,
            get: read(format!("SELECT {COLUMNS} FROM {name} WHERE {one} AND sort_key = ?")).await?,
            scan_from: read(format!("SELECT {COLUMNS} FROM {name} WHERE {one} AND sort_key >= ? LIMIT ?"))
                .await?,
            scan_after: read(format!("SELECT {COLUMNS} FROM {name} WHERE {one} AND sort_key > ? LIMIT ?"))
                .await?,
            scan_table: read(format!("SELECT partition_key, {COLUMNS} FROM {name} LIMIT ?")).await?,
            scan_table_after: read(format!(
                "SELECT partition_key, {COLUMNS} FROM {name} WHERE token(partition_key) > token(?) LIMIT ?"
            ))
            .await?,
        })
    }
}

/// Writes are absolute and stamped, so every statement may be sent twice.
pub(super) async fn prepare(session: &Session, text: String) -> Result<PreparedStatement, Error> {
    let mut statement = session
        .prepare(Statement::new(text))
        .await
        .map_err(|error| Error::unavailable("preparing the read models' statements", error))?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

fn speculate(session: &Session, config: &CqlConfig, statement: &mut PreparedStatement) {
    let after = config.speculative_read_after_ms.duration();
    if after.is_zero() {
        return;
    }
    let policy = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: after };
    let profile = session.get_default_execution_profile_handle().pointee_to_builder();
    let profile = profile.speculative_execution_policy(Some(std::sync::Arc::new(policy))).build();
    statement.set_execution_profile_handle(Some(profile.into_handle()));
}
