//! Reads partitions of the Kafka log under read_committed, up to and beyond the stable ends sampled at opening.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::Shared;
use super::client::LogContext;
use super::native::{Polled, poll};
use super::writer::offset_list;
use crate::{Cursor, Error, LogReader, Record};

/// A reader of some partitions.
pub(crate) struct KafkaReader {
    shared: Arc<Shared>,
    consumer: BaseConsumer<LogContext>,
    partitions: Vec<Partition>,
}

struct Partition {
    cursor: Cursor,
    sampled_end: u64,
}

impl KafkaReader {
    pub(crate) fn open(shared: Arc<Shared>, from: &[Cursor], fetch_wait_ms: u64) -> Result<Self, Error> {
        let places: Vec<_> =
            from.iter().map(|cursor| (Arc::clone(&cursor.topic), cursor.partition)).collect();
        for (index, (topic, partition)) in places.iter().enumerate() {
            if places[..index].contains(&places[index]) {
                let reason = format!("{topic}/{partition} is to be read twice by one reader");
                return Err(Error::Config { reason });
            }
        }
        let sampled_ends = shared.stable_ends(&places)?;
        let mut partitions: Vec<Partition> = Vec::with_capacity(from.len());
        for (cursor, sampled_end) in from.iter().zip(sampled_ends) {
            if cursor.next_offset > sampled_end {
                return Err(out_of_range(cursor));
            }
            partitions.push(Partition { cursor: cursor.clone(), sampled_end });
        }
        let consumer: BaseConsumer<LogContext> = shared
            .config
            .reader_client("reader")
            .set("fetch.wait.max.ms", fetch_wait_ms.to_string())
            .create_with_context(LogContext)
            .map_err(|e| Error::backend("making a consumer", e))?;
        let list = offset_list(from).map_err(|e| Error::backend("assigning partitions", e))?;
        consumer.assign(&list).map_err(|e| Error::backend("assigning partitions", e))?;
        Ok(Self { shared, consumer, partitions })
    }

    fn advance(&mut self, topic: &str, partition: u32, next_offset: u64) {
        let known =
            self.partitions.iter_mut().find(|p| p.cursor.partition == partition && *p.cursor.topic == *topic);
        if let Some(known) = known {
            known.cursor.next_offset = known.cursor.next_offset.max(next_offset);
        }
    }

    /// Errors that reading on cannot cure.
    fn check(
        &self,
        code: RDKafkaErrorCode,
        message: String,
        partition: Option<(Arc<str>, u32, i64)>,
    ) -> Result<(), Error> {
        match code {
            RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset => {
                let place = partition.and_then(|(topic, partition, _)| {
                    self.partitions
                        .iter()
                        .find(|p| p.cursor.partition == partition && p.cursor.topic == topic)
                });
                Err(place
                    .map_or_else(|| Error::backend("reading", message), |place| out_of_range(&place.cursor)))
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::BadMessage => Err(Error::backend("reading", message)),
            _ => {
                // The connection, a leader that moves: librdkafka goes on by itself.
                tracing::debug!(%code, message, "reading goes on after an error");
                Ok(())
            }
        }
    }
}

impl LogReader for KafkaReader {
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let deadline = Instant::now() + timeout;
        let bytes_max = self.shared.config.log.read_bytes_max;
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        let was_caught_up = self.caught_up();
        while records.len() < records_max && bytes < bytes_max {
            if self.shared.is_closed() {
                return if records.is_empty() { Err(Error::Closed) } else { Ok(records) };
            }
            // Wait for the first record only; what has been fetched along with it comes for nothing.
            let wait = if records.is_empty() {
                deadline.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match poll(&self.consumer, &self.shared.topics, wait) {
                Polled::Record(record) => {
                    self.advance(
                        &record.position.topic,
                        record.position.partition,
                        record.position.offset + 1,
                    );
                    bytes += record.size_bytes();
                    records.push(record);
                }
                Polled::End { topic, partition, offset } => {
                    self.advance(&topic, partition, offset);
                    // A caller that waits for the end learns about it now, not when the time is up.
                    if !was_caught_up && self.caught_up() {
                        break;
                    }
                }
                Polled::Error { code, message, partition } => self.check(code, message, partition)?,
                Polled::Nothing => {
                    if !records.is_empty() || Instant::now() >= deadline {
                        break;
                    }
                }
            }
        }
        Ok(records)
    }

    fn next_offsets(&self) -> Vec<Cursor> {
        self.partitions.iter().map(|p| p.cursor.clone()).collect()
    }

    fn stable_ends(&self) -> Vec<Cursor> {
        self.partitions.iter().map(|p| Cursor { next_offset: p.sampled_end, ..p.cursor.clone() }).collect()
    }

    fn caught_up(&self) -> bool {
        self.partitions.iter().all(|p| p.cursor.next_offset >= p.sampled_end)
    }
}

fn out_of_range(cursor: &Cursor) -> Error {
    Error::OffsetOutOfRange {
        topic: cursor.topic.to_string(),
        partition: cursor.partition,
        offset: cursor.next_offset,
    }
}
