//! A shard's writer: two transactional producers in turn.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use schemas::{Position, Timestamp};
use service_kit::{FailPoint, Fault};

use super::Shared;
use super::client::{code_of, is_fencing, is_stale_member};
use super::deliveries::{Deliveries, Delivery};
use super::ends::greet_leader;
use super::native::commit_transaction;
use super::reader::KafkaReader;
use super::settle::settle;
use super::shard_owner::{ShardOwner, decode_shard_owner};
use crate::batch_check::check_batch;
use crate::{
    AppendError, Appended, Batch, BatchError, Consumed, Cursor, Error, LogReader, NewRecord, Shard,
    ShardWriter, WriterTerm,
};

/// How long giving up an open transaction may take; the broker gives it up by itself soon after.
const ABORT_TIMEOUT_MS: u64 = 2_000;
/// How long the broker may hold an answer back that has no records: the reader learns of the end by such an answer.
const OWNERS_FETCH_WAIT_MS: u64 = 5;
/// How long one read of the shard-owners topic may wait.
const OWNERS_READ_MS: u64 = 200;

/// A shard's writer of the Kafka log.
pub(crate) struct KafkaWriter {
    shared: Arc<Shared>,
    shard: Shard,
    term: WriterTerm,
    /// `None` once an append failed: whatever is still on the way is fenced by the next opening.
    pair: Option<Pair>,
}

/// The two producers.
struct Pair {
    producers: [TransactionalProducer; 2],
    /// Which one makes the next transaction: never the one that made the last.
    turn: usize,
}

pub(super) struct TransactionalProducer {
    pub(super) producer: ThreadedProducer<Deliveries>,
    pub(super) deliveries: Deliveries,
}

impl KafkaWriter {
    pub(crate) fn open(shared: Arc<Shared>, shard: Shard) -> Result<Self, Error> {
        shared.check_partition(&shared.topics.commands().clone(), shard.partition())?;
        if shared.is_closed() {
            return Err(Error::Closed);
        }
        // Both ids first, in this order; only then is the log read: from here on nothing of an earlier writer can land.
        let producers = [
            TransactionalProducer::init(&shared, shard, 'a')?,
            TransactionalProducer::init(&shared, shard, 'b')?,
        ];
        settle(&shared, shard, &producers)?;
        if FailPoint::KAFKA_BEFORE_TERM.pass(&shared.topics.namespace()).is_some() {
            return Err(Error::backend("noting the shard's owner", "a fail point is armed"));
        }
        let term = last_term(&shared, shard)?.next();
        let mut writer = Self { shared, shard, term, pair: Some(Pair { producers, turn: 0 }) };
        // The first transaction (on `.a`) makes the term and the owner known.
        let config = &writer.shared.config;
        let owner = ShardOwner { shard, owner: config.owner.clone(), address: config.address.clone(), term };
        let recorded_at = Timestamp::from_millis(now_millis());
        let record = owner.encode(&writer.shared.topics, recorded_at);
        match writer.append(Batch::of(vec![record])) {
            Ok(_) => Ok(writer),
            Err(AppendError::Fenced { source, .. }) => Err(Error::Fenced { shard, source }),
            Err(error) => Err(Error::backend("noting the shard's owner", error)),
        }
    }

    /// Everything up to the commit, the commit, and what to conclude.
    fn transact(&self, current: &TransactionalProducer, batch: &Batch) -> Result<Appended, AppendError> {
        let TransactionalProducer { producer, deliveries } = current;
        self.pass(FailPoint::KAFKA_BEFORE_BEGIN)?;
        deliveries.begin(batch.records.len());
        if let Err(error) = self.prepare(producer, batch) {
            return Err(self.before_commit(current, error));
        }
        // Whoever fails here leaves an open transaction, as a process that ends here would.
        self.pass(FailPoint::KAFKA_BEFORE_COMMIT)?;
        let timeout = Duration::from_millis(self.shared.config.commit_timeout_ms);
        let committed = commit_transaction(producer, timeout);
        // librdkafka sends the commit only after its flush has ended, and then not when a record failed. Its flush has
        // ended only once the reports of all records were handed to `deliveries`. So a report that is missing or bad
        // proves that no commit was sent.
        match (committed, deliveries.outcome()) {
            (Ok(()), Delivery::All(offsets)) => {
                self.pass(FailPoint::KAFKA_AFTER_COMMIT)?;
                Ok(appended(batch, offsets))
            }
            (Err(_), Delivery::Failed(error)) => Err(self.before_commit(current, error)),
            (Err(error), Delivery::Incomplete) => {
                tracing::debug!(shard = %self.shard, %error, "records were not acknowledged in time");
                self.abort(producer);
                Err(AppendError::not_written(error))
            }
            // Fenced counts as unknown here: the commit may have landed before the other writer came.
            (Err(error), Delivery::All(_)) => Err(AppendError::unknown(error)),
            (Ok(()), Delivery::Failed(_) | Delivery::Incomplete) => {
                Err(AppendError::unknown("committed without a report for every record"))
            }
        }
    }

    fn pass(&self, point: FailPoint) -> Result<(), AppendError> {
        match point.pass(&self.shared.topics.namespace()) {
            None => Ok(()),
            Some(Fault::NotWritten) => Err(AppendError::not_written("a fail point is armed")),
            Some(Fault::Unknown) => Err(AppendError::unknown("a fail point is armed")),
            Some(Fault::Fenced) => {
                Err(AppendError::Fenced { shard: self.shard, term: self.term, source: None })
            }
        }
    }

    /// Begins the transaction and queues everything.
    fn prepare(&self, producer: &ThreadedProducer<Deliveries>, batch: &Batch) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        for (index, record) in batch.records.iter().enumerate() {
            producer.send(base_record_of(record, index)).map_err(|(error, _)| error)?;
        }
        if let Some(Consumed { group, offsets }) = &batch.consumed {
            // Tokens of the embedded log have no generation: they cannot come here.
            let metadata = group
                .metadata
                .as_ref()
                .ok_or(KafkaError::ConsumerCommit(rdkafka::error::RDKafkaErrorCode::UnknownMemberId))?;
            let timeout = Duration::from_millis(self.shared.config.request_timeout_ms);
            producer.send_offsets_to_transaction(&offset_list(offsets)?, metadata, timeout)?;
        }
        Ok(())
    }

    /// No commit was sent: nothing of the batch can become visible.
    fn before_commit(&self, current: &TransactionalProducer, error: KafkaError) -> AppendError {
        let fatal = current.producer.client().fatal_error().map(|(code, _)| code);
        let codes = [code_of(&error), fatal];
        if codes.into_iter().flatten().any(|code| is_fencing(code) || is_stale_member(code)) {
            if fatal.is_none() {
                self.abort(&current.producer);
            }
            return AppendError::Fenced { shard: self.shard, term: self.term, source: Some(Box::new(error)) };
        }
        self.abort(&current.producer);
        AppendError::not_written(error)
    }

    /// Frees the stable end early; when it fails, the broker aborts after `transaction_timeout_ms`.
    fn abort(&self, producer: &ThreadedProducer<Deliveries>) {
        if let Err(error) = producer.abort_transaction(Duration::from_millis(ABORT_TIMEOUT_MS)) {
            tracing::debug!(shard = %self.shard, %error, "the transaction was left to the broker to abort");
        }
    }
}

impl TransactionalProducer {
    fn init(shared: &Shared, shard: Shard, letter: char) -> Result<Self, Error> {
        let deliveries = Deliveries::default();
        let producer: ThreadedProducer<Deliveries> = shared
            .config
            .producer_client(shard, letter)
            .create_with_context(deliveries.clone())
            .map_err(|e| Error::backend("making a transactional producer", e))?;
        // Connected and informed first, opening needs a few milliseconds; otherwise librdkafka finds no broker to ask for
        // the coordinator and waits out its retry timer of half a second. Asking a partition's leader makes it connect.
        let timeout = Duration::from_millis(shared.config.request_timeout_ms);
        greet_leader(producer.client(), shared.topics.shard_owners(), shard.partition(), timeout)?;
        producer.init_transactions(Duration::from_millis(shared.config.open_timeout_ms)).map_err(
            |error| match code_of(&error) {
                Some(code) if is_fencing(code) => Error::Fenced { shard, source: Some(Box::new(error)) },
                _ => Error::backend("fencing the shard's earlier writers", error),
            },
        )?;
        Ok(Self { producer, deliveries })
    }
}

impl ShardWriter for KafkaWriter {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn term(&self) -> WriterTerm {
        self.term
    }

    fn append(&mut self, batch: Batch) -> Result<Appended, AppendError> {
        let Some(pair) = &self.pair else {
            return Err(AppendError::not_written(BatchError::WriterClosed));
        };
        if self.shared.is_closed() {
            return Err(AppendError::not_written(Error::Closed));
        }
        if batch.is_empty() {
            // An empty transaction is refused by some brokers, and has nothing to say.
            return Ok(appended(&batch, Vec::new()));
        }
        check_batch(&batch, self.shard, &self.shared.topics, &self.shared.config.log)
            .map_err(AppendError::not_written)?;
        let result = self.transact(&pair.producers[pair.turn], &batch);
        match &result {
            Ok(_) => {
                if let Some(pair) = &mut self.pair {
                    pair.turn = 1 - pair.turn;
                }
            }
            Err(error) => {
                tracing::warn!(shard = %self.shard, term = %self.term, %error, "an append failed; the writer is closed");
                self.pair = None;
            }
        }
        result
    }

    fn is_open(&self) -> bool {
        self.pair.is_some() && !self.shared.is_closed()
    }
}

/// The record as a producer takes it; `opaque` comes back with its delivery report.
pub(crate) fn base_record_of<O: rdkafka::util::IntoOpaque>(
    record: &NewRecord,
    opaque: O,
) -> BaseRecord<'_, [u8], [u8], O> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in record.headers.iter() {
        headers = headers.insert(Header { key, value: Some(&value[..]) });
    }
    BaseRecord::with_opaque_to(&record.topic, opaque)
        .partition(record.partition as i32)
        .key(&record.key[..])
        .payload(&record.value[..])
        .timestamp(record.timestamp.as_millis())
        .headers(headers)
}

fn appended(batch: &Batch, offsets: Vec<u64>) -> Appended {
    let position = |(record, offset): (&NewRecord, u64)| Position {
        topic: record.topic.clone(),
        partition: record.partition,
        offset,
    };
    Appended::new(batch.records.iter().zip(offsets).map(position).collect())
}

pub(crate) fn offset_list(cursors: &[Cursor]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(cursors.len());
    for cursor in cursors {
        list.add_partition_offset(
            &cursor.topic,
            cursor.partition as i32,
            Offset::Offset(i64::try_from(cursor.next_offset).unwrap_or(i64::MAX)),
        )?;
    }
    Ok(list)
}

/// The highest term noted for the shard; 0 when there is none.
fn last_term(shared: &Arc<Shared>, shard: Shard) -> Result<WriterTerm, Error> {
    let owners = shared.topics.shard_owners().clone();
    // Only writers of this shard write to this partition, and they are fenced: the stable end is the end.
    let mut reader = KafkaReader::open(
        Arc::clone(shared),
        &[Cursor::start(owners, shard.partition())],
        OWNERS_FETCH_WAIT_MS,
    )?;
    let mut last = WriterTerm::default();
    let deadline = std::time::Instant::now() + Duration::from_millis(shared.config.open_timeout_ms);
    while !reader.caught_up() {
        for record in reader.read(1_000, Duration::from_millis(OWNERS_READ_MS))? {
            let owner = decode_shard_owner(&record).map_err(|e| Error::Damaged { what: e.to_string() })?;
            if owner.shard == shard {
                last = last.max(owner.term);
            }
        }
        if std::time::Instant::now() > deadline {
            return Err(Error::Timeout {
                what: "reading the shard's last term",
                timeout_ms: shared.config.open_timeout_ms,
            });
        }
    }
    Ok(last)
}

fn now_millis() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
