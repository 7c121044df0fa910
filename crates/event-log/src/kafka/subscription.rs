//! A durable subscription: a member of a consumer group, polled by the thread that reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::Offset;
use schemas::{Position, Timestamp};

use super::Shared;
use super::settle::VOID_KEY;
use super::writer::offset_list;
use crate::{Cursor, Error, Headers, Record, Subscription, SubscriptionBatch, Topics};

/// A member of a durable subscription.
pub(crate) struct KafkaSubscription {
    shared: Arc<Shared>,
    consumer: BaseConsumer<Assignments>,
}

/// Notes the changes of assignment that happen during a poll.
#[derive(Clone, Default)]
struct Assignments(Arc<Mutex<Changes>>);

#[derive(Default)]
struct Changes {
    assigned: Vec<(String, i32)>,
    revoked: Vec<(String, i32)>,
    rebalanced: bool,
}

impl Assignments {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Assignments {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        super::client::log_error(&error, reason);
    }
}

impl ConsumerContext for Assignments {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut changes = self.lock();
        match rebalance {
            Rebalance::Assign(list) => {
                changes.assigned.extend(names(list));
                changes.rebalanced = true;
            }
            Rebalance::Revoke(list) => changes.revoked.extend(names(list)),
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed"),
        }
    }
}

fn names(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

impl KafkaSubscription {
    pub(crate) fn open(shared: Arc<Shared>, group: &str, topics: &[Arc<str>]) -> Result<Self, Error> {
        topics.iter().try_for_each(|topic| shared.check_partition(topic, 0))?;
        let group = format!("{}.{group}", shared.config.log.namespace);
        let consumer: BaseConsumer<Assignments> = shared
            .config
            .member_client("subscription", &group)
            .create_with_context(Assignments::default())
            .map_err(|e| Error::backend("making a consumer", e))?;
        let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        consumer.subscribe(&topics).map_err(|e| Error::backend("subscribing", e))?;
        Ok(Self { shared, consumer })
    }

    /// Moves noted changes into the batch; records of revoked partitions leave it.
    fn take_changes(&self, batch: &mut SubscriptionBatch) {
        let changes = std::mem::take(&mut *self.consumer.context().lock());
        let known = |(topic, partition): (String, i32)| {
            let index = self.shared.topics.index_of(&topic)?;
            Some((self.shared.topics.all()[index].clone(), u32::try_from(partition).ok()?))
        };
        for revoked in changes.revoked.into_iter().filter_map(known) {
            batch.records.retain(|record| {
                (&record.position.topic, record.position.partition) != (&revoked.0, revoked.1)
            });
            batch.assigned.retain(|assigned| *assigned != revoked);
            batch.revoked.push(revoked);
        }
        batch.assigned.extend(changes.assigned.into_iter().filter_map(known));
        batch.rebalanced |= changes.rebalanced;
    }
}

impl Subscription for KafkaSubscription {
    fn read(&mut self, records_max: usize, timeout: Duration) -> Result<SubscriptionBatch, Error> {
        let deadline = Instant::now() + timeout;
        let bytes_max = self.shared.config.log.read_bytes_max;
        let mut batch = SubscriptionBatch::default();
        let mut bytes = 0;
        while batch.records.len() < records_max && bytes < bytes_max {
            if self.shared.is_closed() {
                return Err(Error::Closed);
            }
            // Wait for the first record only; what has been fetched along with it comes for nothing.
            let is_first = batch.records.is_empty();
            let wait =
                if is_first { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            let polled = self.consumer.poll(wait);
            let is_dry = polled.is_none();
            match polled {
                Some(Ok(message)) if is_void(&message) => {}
                Some(Ok(message)) => {
                    let record = read_message(&message, &self.shared.topics)?;
                    bytes += record.size_bytes();
                    batch.records.push(record);
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(Error::backend("reading the subscription", code));
                }
                Some(Err(error)) => tracing::debug!(%error, "the subscription goes on after an error"),
                None => {}
            }
            // After every poll: a rebalance within it takes records of this very batch away.
            self.take_changes(&mut batch);
            let has_news = batch.rebalanced || !batch.revoked.is_empty();
            if is_dry && (!is_first || has_news) || batch.records.is_empty() && Instant::now() >= deadline {
                break;
            }
        }
        Ok(batch)
    }

    fn commit(&mut self, progress: &[Cursor]) -> Result<(), Error> {
        if progress.is_empty() {
            return Ok(());
        }
        let list =
            offset_list(progress).map_err(|e| Error::backend("noting a subscription's progress", e))?;
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|e| Error::backend("noting a subscription's progress", e))
    }

    fn rewind(&mut self, to: &[Cursor]) -> Result<(), Error> {
        let list = offset_list(to).map_err(|e| Error::backend("going back", e))?;
        let timeout = Duration::from_millis(self.shared.config.request_timeout_ms);
        let sought =
            self.consumer.seek_partitions(list, timeout).map_err(|e| Error::backend("going back", e))?;
        // The call succeeds as a whole even when a partition does not.
        sought
            .elements()
            .iter()
            .try_for_each(|element| element.error().map_err(|e| Error::backend("going back", e)))
    }
}

fn is_void(message: &BorrowedMessage<'_>) -> bool {
    message.payload().is_none() && message.key() == Some(VOID_KEY)
}

/// Copies a record out of librdkafka's memory.
pub(crate) fn read_message(message: &BorrowedMessage<'_>, topics: &Topics) -> Result<Record, Error> {
    let damaged = |what: &str| Error::Damaged { what: format!("a record of {}: {what}", message.topic()) };
    let index = topics.index_of(message.topic()).ok_or_else(|| damaged("not a topic of this log"))?;
    let mut headers = Headers::new();
    if let Some(found) = message.headers() {
        headers = Headers::with_capacity(found.count());
        for header in found.iter() {
            headers.push_read(header.key, Bytes::copy_from_slice(header.value.unwrap_or_default()));
        }
    }
    Ok(Record {
        position: Position {
            topic: topics.all()[index].clone(),
            partition: u32::try_from(message.partition()).map_err(|_| damaged("a negative partition"))?,
            offset: u64::try_from(message.offset()).map_err(|_| damaged("a negative offset"))?,
        },
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or_default()),
        key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
        headers,
        value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    })
}

/// The offset in an element of a list of committed offsets; `None` where nothing was ever committed.
///
/// The list's call succeeds as a whole even when an element failed: that must not read as "start at zero".
pub(crate) fn committed_offset(
    list: &TopicPartitionList,
    topic: &str,
    partition: i32,
) -> Result<Option<i64>, KafkaError> {
    match list.find_partition(topic, partition) {
        None => Ok(None),
        Some(element) => {
            element.error()?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
        }
    }
}
