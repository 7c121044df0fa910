//! How a batch is written: rows of one partition key together, many partition keys at once, checkpoints last.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use futures::{StreamExt, TryStreamExt, stream};
use scylla::statement::batch::{Batch, BatchType};

use super::CqlStore;
use super::statements::TableStatements;
use crate::{Change, Checkpoint, Error, RowKey, Table};

/// What one row's write carries: partition key, sort key, document, topic, partition, offset, stamp.
type Put<'a> = (&'a str, &'a str, &'a str, &'a str, i32, i64, i64);

/// Rows of one partition key that are written by one request.
struct Group<'a> {
    table: Table,
    puts: Vec<Put<'a>>,
    bytes: usize,
}

impl CqlStore {
    pub(super) async fn write_rows(&self, changes: &[Change]) -> Result<(), Error> {
        let mut statements = HashMap::new();
        for change in changes {
            let table = change.key.table;
            if let Entry::Vacant(place) = statements.entry(table) {
                place.insert(self.find_or_create(table).await?);
            }
        }
        let (groups, deletes) = self.groups(changes)?;
        let in_flight = self.config.requests_in_flight_max;
        // Futures do nothing before they are polled: lists of them, for a closure in the stream would have to be of any
        // lifetime.
        let mut writes = Vec::with_capacity(groups.len());
        for group in groups {
            writes.push(self.write_group(&statements[&group.table], group));
        }
        stream::iter(writes).buffer_unordered(in_flight).try_collect::<()>().await?;
        let mut writes = Vec::with_capacity(deletes.len());
        for (key, stamp) in deletes {
            writes.push(self.write_delete(&statements[&key.table], key, stamp));
        }
        stream::iter(writes).buffer_unordered(in_flight).try_collect::<()>().await
    }

    /// The rows to put, in groups, and those to delete with their stamps.
    #[expect(clippy::type_complexity, reason = "said once, and by the line above")]
    fn groups<'a>(&self, changes: &'a [Change]) -> Result<(Vec<Group<'a>>, Vec<(&'a RowKey, i64)>), Error> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut open: HashMap<(Table, &'a str), usize> = HashMap::new();
        let mut deletes = Vec::new();
        for change in changes {
            let key = &change.key;
            let offset = signed(change.offset)?;
            let Some(document) = &change.document else {
                deletes.push((key, stamp(offset, false)));
                continue;
            };
            let document = std::str::from_utf8(document)
                .map_err(|_| Error::Damaged { what: format!("the document of {key} is not text") })?;
            let bytes = key.partition_key.len() + key.sort_key.len() + document.len();
            let put = (
                &*key.partition_key,
                &*key.sort_key,
                document,
                &*change.source.topic,
                partition(change.source.partition)?,
                offset,
                stamp(offset, true),
            );
            let place = open.get(&(key.table, &*key.partition_key)).copied();
            match place.filter(|index| groups[*index].bytes + bytes <= self.config.batch_bytes_max) {
                Some(index) => {
                    groups[index].bytes += bytes;
                    groups[index].puts.push(put);
                }
                None => {
                    open.insert((key.table, &key.partition_key), groups.len());
                    groups.push(Group { table: key.table, puts: vec![put], bytes });
                }
            }
        }
        Ok((groups, deletes))
    }

    async fn write_group(&self, statements: &TableStatements, group: Group<'_>) -> Result<(), Error> {
        if let [put] = group.puts[..] {
            self.session.execute_unpaged(&statements.put, put).await.map_err(writing)?;
            return Ok(());
        }
        // Within one partition key an unlogged batch is one write.
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        for _ in &group.puts {
            batch.append_statement(statements.put.clone());
        }
        self.session.batch(&batch, &group.puts).await.map_err(writing)?;
        Ok(())
    }

    async fn write_delete(
        &self,
        statements: &TableStatements,
        key: &RowKey,
        stamp: i64,
    ) -> Result<(), Error> {
        let values = (stamp, &key.partition_key, &key.sort_key);
        self.session.execute_unpaged(&statements.delete, values).await.map_err(writing)?;
        Ok(())
    }

    pub(super) async fn write_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<(), Error> {
        let mut writes = Vec::with_capacity(checkpoints.len());
        for checkpoint in checkpoints {
            writes.push(self.write_checkpoint(checkpoint));
        }
        stream::iter(writes).buffer_unordered(self.config.requests_in_flight_max).try_collect().await
    }

    async fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Checkpoint { table, source, next_offset } = checkpoint;
        let next_offset = signed(*next_offset)?;
        let partition = partition(source.partition)?;
        let values = (table.to_string(), &*source.topic, partition, next_offset, stamp(next_offset, true));
        self.session.execute_unpaged(&self.insert_checkpoint, values).await.map_err(writing)?;
        Ok(())
    }
}

/// The write time of what an offset led to: a deletion loses against a write of the same offset, and both against any later.
fn stamp(offset: i64, is_write: bool) -> i64 {
    2 * offset + i64::from(is_write)
}

/// Offsets are 63 bits wide in Kafka; twice that has to fit.
fn signed(offset: u64) -> Result<i64, Error> {
    let fits = i64::try_from(offset).ok().filter(|offset| *offset < i64::MAX / 2);
    fits.ok_or_else(|| Error::Damaged { what: format!("offset {offset} is beyond what a log can have") })
}

fn partition(partition: u32) -> Result<i32, Error> {
    i32::try_from(partition)
        .map_err(|_| Error::Damaged { what: format!("partition {partition} is beyond what a log can have") })
}

fn writing(error: scylla::errors::ExecutionError) -> Error {
    Error::unavailable("writing the read models", error)
}
