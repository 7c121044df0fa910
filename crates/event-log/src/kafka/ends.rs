//! Asks where partitions end, whoever leads them now.
//!
//! librdkafka sends such a question to the leader that it remembers, and to nobody else until the time is up: a client
//! that does nothing but ask never learns that a partition has moved. So a question is short, and after each that failed
//! the client is made to look for the leader again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::KafkaConfig;
use super::client::{LogContext, is_unsettled};
use crate::Error;

/// How long one leader may take to answer before its partition's leader is looked for again.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long the group's coordinator may take to tell an offset.
pub(crate) const OFFSET_ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long to wait before asking again after an answer that came at once and was an error.
const PAUSE: Duration = Duration::from_millis(50);

/// Which end of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Below it lies no open transaction: the last stable offset.
    Stable,
    /// Every replica in sync has what lies below: the high watermark.
    Replicated,
}

/// A client that asks for one kind of end.
pub(crate) struct Asker {
    consumer: BaseConsumer<LogContext>,
    timeout: Duration,
}

impl Asker {
    pub(crate) fn connect(config: &KafkaConfig, end: End) -> Result<Self, Error> {
        let mut client = config.reader_client("asker");
        // It asks for this group's offsets, too, and never joins.
        client.set("group.id", config.shards_group());
        if end == End::Replicated {
            client.set("isolation.level", "read_uncommitted");
        }
        let consumer =
            client.create_with_context(LogContext).map_err(|e| Error::backend("connecting to Kafka", e))?;
        Ok(Self { consumer, timeout: Duration::from_millis(config.request_timeout_ms) })
    }

    /// The ends of the partitions, in their order. Asks each leader once for all of its partitions, again and again until
    /// `request_timeout_ms` is up.
    pub(crate) fn ends(&self, partitions: &[(Arc<str>, u32)]) -> Result<Vec<u64>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.ask(partitions, left.min(ANSWER_MAX)) {
                Ok(ends) => return Ok(ends),
                Err(error) if Instant::now() + PAUSE >= deadline => {
                    return Err(Error::backend("asking where partitions end", error));
                }
                Err(error) => tracing::debug!(%error, "asking again where partitions end"),
            }
            self.look_for_leaders(partitions, deadline);
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&self, partitions: &[(Arc<str>, u32)], timeout: Duration) -> Result<Vec<u64>, KafkaError> {
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            // In place of a time: "the latest", which isolation decides.
            wanted.add_partition_offset(topic, *partition as i32, Offset::End)?;
        }
        let answered = self.consumer.offsets_for_times(wanted, timeout)?;
        let end = |(topic, partition): &(Arc<str>, u32)| {
            let element = answered
                .find_partition(topic, *partition as i32)
                .ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
            element.error()?;
            match element.offset() {
                Offset::Offset(offset) => Ok(offset as u64),
                _ => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
            }
        };
        partitions.iter().map(end).collect()
    }

    /// Whether the group's offset of a partition is known. It is not while a transaction that commits one has not ended.
    pub(crate) fn is_committed_offset_known(&self, topic: &str, partition: u32) -> Result<bool, Error> {
        let mut wanted = TopicPartitionList::with_capacity(1);
        wanted.add_partition(topic, partition as i32);
        let answered = self.consumer.committed_offsets(wanted, OFFSET_ANSWER_MAX);
        let error = match &answered {
            Ok(answered) => answered.elements().iter().find_map(|element| element.error().err()),
            Err(error) => Some(error.clone()),
        };
        match error {
            None => Ok(true),
            Some(error) if is_unsettled(&error) => Ok(false),
            Some(error) => Err(Error::backend("asking for the offset of the commands topic", error)),
        }
    }

    /// What a transaction names the group by that commits offsets for it.
    pub(crate) fn group_metadata(&self) -> Result<ConsumerGroupMetadata, Error> {
        let metadata = self.consumer.group_metadata();
        metadata.ok_or_else(|| Error::backend("asking for the group", "the consumer has none"))
    }

    fn look_for_leaders(&self, partitions: &[(Arc<str>, u32)], deadline: Instant) {
        let mut topics: Vec<&Arc<str>> = partitions.iter().map(|(topic, _)| topic).collect();
        topics.dedup();
        for topic in topics {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.consumer.fetch_metadata(Some(topic), left.min(ANSWER_MAX)) {
                tracing::debug!(topic = &**topic, %error, "the leaders of a topic are not known");
                return;
            }
        }
    }
}

/// Makes a client connect to a partition's leader, by asking it something.
pub(crate) fn greet_leader<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: u32,
    timeout: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + timeout;
    loop {
        match client.fetch_watermarks(topic, partition as i32, timeout.min(ANSWER_MAX)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(Error::backend("asking Kafka about its topics", error));
            }
            Err(error) => tracing::debug!(topic, partition, %error, "asking again"),
        }
        if let Err(error) = client.fetch_metadata(Some(topic), timeout.min(ANSWER_MAX)) {
            tracing::debug!(topic, %error, "the leaders of a topic are not known");
        }
        std::thread::sleep(PAUSE);
    }
}
