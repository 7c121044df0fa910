//! What is refused of a batch before anything is sent.

use crate::{Batch, BatchError, LogConfig, NewRecord, Shard, Topics};

/// Checks a record that goes to the commands topic outside of any shard's batch.
pub(crate) fn check_command(
    record: &NewRecord,
    topics: &Topics,
    limits: &LogConfig,
) -> Result<(), BatchError> {
    let bytes = record.size_bytes();
    if bytes > limits.record_bytes_max {
        return Err(BatchError::RecordTooLarge { index: 0, bytes, bytes_max: limits.record_bytes_max });
    }
    if record.topic != *topics.commands() || record.partition >= limits.partitions {
        return Err(BatchError::NotACommand { topic: record.topic.to_string(), partition: record.partition });
    }
    Ok(())
}

/// Checks sizes and destinations: a shard's writer writes its own partition of every topic, and any partition of the
/// commands topic (that is where misplaced commands are sent on to).
pub(crate) fn check_batch(
    batch: &Batch,
    shard: Shard,
    topics: &Topics,
    limits: &LogConfig,
) -> Result<(), BatchError> {
    if batch.records.len() > limits.batch_records_max {
        return Err(BatchError::TooManyRecords {
            records: batch.records.len(),
            records_max: limits.batch_records_max,
        });
    }
    let mut batch_bytes = 0;
    for (index, record) in batch.records.iter().enumerate() {
        let bytes = record.size_bytes();
        if bytes > limits.record_bytes_max {
            return Err(BatchError::RecordTooLarge { index, bytes, bytes_max: limits.record_bytes_max });
        }
        batch_bytes += bytes;
        let is_command = record.topic == *topics.commands();
        let own = record.partition == shard.partition() && topics.index_of(&record.topic).is_some();
        let may_write = own || (is_command && record.partition < limits.partitions);
        if !may_write {
            return Err(BatchError::WrongPartition {
                index,
                topic: record.topic.to_string(),
                partition: record.partition,
                shard,
            });
        }
    }
    if batch_bytes > limits.batch_bytes_max {
        return Err(BatchError::BatchTooLarge { bytes: batch_bytes, bytes_max: limits.batch_bytes_max });
    }
    Ok(())
}
