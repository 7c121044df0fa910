//! The keyspace, its numbered migrations, and tables as they are needed; one process at a time changes any of it.
//!
//! Schema changes of several clients at once can leave a cluster with two opinions. Who wants to change something takes a
//! row by a lightweight transaction first; the row goes by itself if its holder dies. Only the keyspace and the two tables
//! that this rests on are made without it.

use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::unprepared::Statement;
use uuid::Uuid;

use super::{CqlConfig, reading};
use crate::{Error, Table};

/// Applied in this order, each once; one that was released is never changed.
const MIGRATIONS: &[(i32, &str, &str)] =
    &[(1, "checkpoints", include_str!("../../migrations/0001_checkpoints.cql"))];

/// The lock's row goes after so many seconds; schema changes take some tenths of one.
const LOCK_SECONDS: i32 = 30;
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Makes the keyspace, and brings it to the newest migration.
pub(super) async fn prepare(session: &Session, config: &CqlConfig) -> Result<(), Error> {
    let keyspace = &config.keyspace;
    let found = query(
        session,
        "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?".to_owned(),
        (keyspace,),
    )
    .await?;
    if count(found)? == 0 {
        let replication = format!(
            "{{'class': 'NetworkTopologyStrategy', 'replication_factor': {}}}",
            config.replication_factor
        );
        let text = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
        query(session, text, ()).await?;
    }
    for (name, columns) in [
        ("schema_lock", "name text PRIMARY KEY, holder uuid"),
        ("schema_migrations", "number int PRIMARY KEY, name text"),
    ] {
        if !has_table_named(session, keyspace, name).await? {
            query(session, format!("CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns})"), ()).await?;
        }
    }
    if next_migration(session, keyspace).await?.is_none() {
        return Ok(());
    }
    locked(session, config, async || {
        // Somebody else may have been here meanwhile.
        while let Some((number, name, text)) = next_migration(session, keyspace).await? {
            tracing::info!(keyspace, number, name, "migrating the read models");
            for statement in statements(text) {
                query(session, qualified(statement, keyspace), ()).await?;
            }
            let noted = format!("INSERT INTO {keyspace}.schema_migrations (number, name) VALUES (?, ?)");
            query(session, noted, (number, *name)).await?;
        }
        Ok(())
    })
    .await
}

/// Whether there is such a table.
pub(super) async fn has_table(session: &Session, keyspace: &str, table: Table) -> Result<bool, Error> {
    has_table_named(session, keyspace, &table.to_string()).await
}

/// Makes the table unless it is there.
pub(super) async fn create_table(session: &Session, config: &CqlConfig, table: Table) -> Result<(), Error> {
    let keyspace = &config.keyspace;
    locked(session, config, async || {
        // The row's own source and offset are part of it: a reader merges by them, and `verify` holds them against the log.
        let text = format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.{table} (partition_key text, sort_key text, document text, \
             topic text, topic_partition int, last_offset bigint, PRIMARY KEY (partition_key, sort_key))"
        );
        query(session, text, ()).await.map(|_| ())
    })
    .await
}

/// Removes the table and its checkpoints, which no later write brings back.
pub(super) async fn drop_table(session: &Session, config: &CqlConfig, table: Table) -> Result<(), Error> {
    let keyspace = &config.keyspace;
    locked(session, config, async || {
        query(session, format!("DROP TABLE IF EXISTS {keyspace}.{table}"), ()).await?;
        let text =
            format!("DELETE FROM {keyspace}.checkpoints USING TIMESTAMP {} WHERE table_name = ?", i64::MAX);
        query(session, text, (table.to_string(),)).await.map(|_| ())
    })
    .await
}

/// Runs `change` while nobody else changes the schema.
async fn locked(
    session: &Session,
    config: &CqlConfig,
    change: impl AsyncFnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let keyspace = &config.keyspace;
    let holder = Uuid::new_v4();
    let take = format!(
        "INSERT INTO {keyspace}.schema_lock (name, holder) VALUES ('schema', ?) IF NOT EXISTS USING TTL {LOCK_SECONDS}"
    );
    let deadline = Instant::now() + config.schema_lock_wait_ms.duration();
    while !is_applied(query(session, take.clone(), (holder,)).await?)? {
        if Instant::now() >= deadline {
            return Err(Error::SchemaLocked { waited: config.schema_lock_wait_ms });
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
    let result = change().await;
    let give = format!("DELETE FROM {keyspace}.schema_lock WHERE name = 'schema' IF holder = ?");
    let given = query(session, give, (holder,)).await;
    // What the change said comes first; a lock that cannot be given back goes by itself.
    result.and(given.map(|_| ()))
}

async fn next_migration(
    session: &Session,
    keyspace: &str,
) -> Result<Option<&'static (i32, &'static str, &'static str)>, Error> {
    let answer = query(session, format!("SELECT number FROM {keyspace}.schema_migrations"), ()).await?;
    let answer = answer.into_rows_result().map_err(reading)?;
    let mut newest = 0;
    for row in answer.rows::<(i32,)>().map_err(reading)? {
        newest = newest.max(row.map_err(reading)?.0);
    }
    let known = MIGRATIONS.last().map_or(0, |(number, ..)| *number);
    if newest > known {
        return Err(Error::FormatOfNewer { found: newest, known });
    }
    Ok(MIGRATIONS.iter().find(|(number, ..)| *number > newest))
}

async fn has_table_named(session: &Session, keyspace: &str, name: &str) -> Result<bool, Error> {
    let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
    Ok(count(query(session, text.to_owned(), (keyspace, name)).await?)? > 0)
}

/// The statements of a migration: they end with a semicolon, comments are lines of their own.
fn statements(migration: &str) -> Vec<String> {
    let lines = migration.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// Migrations name their tables without the keyspace, which is a setting.
fn qualified(statement: String, keyspace: &str) -> String {
    for verb in ["CREATE TABLE IF NOT EXISTS ", "ALTER TABLE ", "DROP TABLE IF EXISTS "] {
        if let Some(rest) = statement.strip_prefix(verb) {
            return format!("{verb}{keyspace}.{rest}");
        }
    }
    statement
}

async fn query(session: &Session, text: String, values: impl SerializeRow) -> Result<QueryResult, Error> {
    let what = "changing or reading the schema of the read models";
    session.query_unpaged(Statement::new(text), values).await.map_err(|error| Error::unavailable(what, error))
}

fn count(answer: QueryResult) -> Result<usize, Error> {
    Ok(answer.into_rows_result().map_err(reading)?.rows_num())
}

/// Whether a conditional statement took effect. One that did answers with this column alone, one that did not also with the
/// row that it met: hence by name.
fn is_applied(answer: QueryResult) -> Result<bool, Error> {
    let answer = answer.into_rows_result().map_err(reading)?;
    let row = answer.first_row::<scylla::value::Row>().map_err(reading)?;
    let column = answer.column_specs().get_by_name("[applied]").map(|(index, _)| index);
    let value = column.and_then(|index| row.columns.get(index)?.as_ref()?.as_boolean());
    value.ok_or_else(|| Error::Damaged { what: "a conditional statement without an answer".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_every_statement_says_whose_it_is() {
        for ((number, name, text), expected) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(*number, expected, "{name}");
            let statements = statements(text);
            assert!(!statements.is_empty(), "{name}");
            for statement in statements {
                assert!(qualified(statement.clone(), "ks").contains(" ks."), "{name}: {statement}");
            }
        }
    }

    #[test]
    fn comments_and_empty_lines_are_no_statements() {
        let text = "-- one; not a statement\nCREATE TABLE IF NOT EXISTS a (\n  b int\n);\n\nALTER TABLE a ADD c int;\n";
        assert_eq!(
            statements(text),
            ["CREATE TABLE IF NOT EXISTS a (\n  b int\n)", "ALTER TABLE a ADD c int"]
        );
    }
}
