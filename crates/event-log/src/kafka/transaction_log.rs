//! What became of a transactional id's transactions, by the coordinator's own log.
//!
//! The coordinator keeps its decisions in the internal topic `__transaction_state`, keyed by transactional id. Key and
//! value begin with a version. Values of version 0 and 1 hold the same, 1 in Kafka's compact form.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{TopicPartitionList, error::RDKafkaErrorCode};

use super::KafkaConfig;
use super::client::LogContext;
use crate::Error;

const TOPIC: &str = "__transaction_state";
const READ: &str = "reading how earlier transactions were to end (topic __transaction_state)";

/// How a transaction was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Commit,
    Abort,
}

/// What the coordinator's log says about one id, read from its beginning to its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// The last decision about each partition, and the producer id that it was made for.
    decided: HashMap<(String, i32), (i64, Decision)>,
    /// The producer id that the last record names.
    producer_id: Option<i64>,
}

impl History {
    /// Reads what is known of `id`.
    pub(crate) fn read(config: &KafkaConfig, id: &str) -> Result<Self, Error> {
        let mut client = config.reader_client("transactions");
        client.set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer<LogContext> =
            client.create_with_context(LogContext).map_err(|e| Error::backend("making a consumer", e))?;
        let timeout = Duration::from_millis(config.request_timeout_ms);
        let metadata = consumer.fetch_metadata(Some(TOPIC), timeout).map_err(|e| Error::backend(READ, e))?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if partitions == 0 {
            return Err(Error::backend(READ, KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)));
        }
        read(&consumer, partition_of(id, partitions), id, config.open_timeout_ms)
    }

    /// How the id's last transaction that wrote to a partition was to end. `None` where none is known, or where it had
    /// another producer id than the one in use now, so that ending it is beyond this id.
    pub(crate) fn last_decision(&self, topic: &str, partition: i32) -> Option<Decision> {
        self.valid(self.decided.get(&(topic.to_owned(), partition))?)
    }

    /// The same for a topic of which the id only ever writes to one partition.
    pub(crate) fn last_decision_about(&self, topic: &str) -> Option<Decision> {
        let (_, decided) = self.decided.iter().find(|((known, _), _)| known == topic)?;
        self.valid(decided)
    }

    fn valid(&self, (made_for, decision): &(i64, Decision)) -> Option<Decision> {
        (Some(*made_for) == self.producer_id).then_some(*decision)
    }
}

/// Reads one partition to its end as it is now, keeping what concerns `id`.
fn read(
    consumer: &BaseConsumer<LogContext>,
    partition: i32,
    id: &str,
    timeout_ms: u64,
) -> Result<History, Error> {
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let left = || deadline.saturating_duration_since(Instant::now());
    let (first, end) =
        consumer.fetch_watermarks(TOPIC, partition, left()).map_err(|e| Error::backend(READ, e))?;
    let mut history = History::default();
    if first >= end {
        return Ok(history);
    }
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(TOPIC, partition, Offset::Offset(first))
        .and_then(|()| consumer.assign(&list))
        .map_err(|e| Error::backend(READ, e))?;
    while !left().is_zero() {
        match consumer.poll(left()) {
            Some(Ok(message)) => {
                history.take(id, message.key().unwrap_or_default(), message.payload())?;
                if message.offset() + 1 >= end {
                    return Ok(history);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(history),
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
            {
                return Err(Error::backend(READ, error));
            }
            Some(Err(error)) => tracing::debug!(%error, "reading goes on after an error"),
            None => {}
        }
    }
    Err(Error::Timeout { what: READ, timeout_ms })
}

impl History {
    fn take(&mut self, id: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        if id_in(key) != Some(id.as_bytes()) {
            return Ok(());
        }
        let Some(value) = value else {
            // The coordinator has forgotten the id.
            *self = Self::default();
            return Ok(());
        };
        let record = TransactionRecord::decode(value).ok_or_else(|| Error::Damaged {
            what: format!("a record of {TOPIC} about {id} is of no version that is known here"),
        })?;
        self.producer_id = Some(record.producer_id);
        // Prepared to commit, or to abort; only such a record names the transaction's partitions. The others: empty 0,
        // ongoing 1, committed 4, aborted 5, dead 6, being fenced 7.
        let decision = match record.status {
            2 => Decision::Commit,
            3 => Decision::Abort,
            _ => return Ok(()),
        };
        for place in record.partitions {
            self.decided.insert(place, (record.producer_id, decision));
        }
        Ok(())
    }
}

/// The id in a record's key: version, length, text.
fn id_in(key: &[u8]) -> Option<&[u8]> {
    let (version, rest) = key.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    (u16::from_be_bytes(*version) == 0 && usize::from(u16::from_be_bytes(*length)) == rest.len())
        .then_some(rest)
}

/// What a record's value says, as far as it is needed here.
#[derive(Debug, PartialEq, Eq)]
struct TransactionRecord {
    producer_id: i64,
    status: u8,
    partitions: Vec<(String, i32)>,
}

impl TransactionRecord {
    fn decode(value: &[u8]) -> Option<Self> {
        let mut fields = Fields { rest: value, is_compact: false };
        fields.is_compact = match i16::from_be_bytes(fields.chunk()?) {
            0 => false,
            1 => true,
            _ => return None,
        };
        let producer_id = i64::from_be_bytes(fields.chunk()?);
        let [_epoch_and_timeout @ .., status] = fields.chunk::<7>()?;
        let mut partitions = Vec::new();
        for _ in 0..fields.length(4)? {
            let topic = fields.text()?;
            for _ in 0..fields.length(4)? {
                partitions.push((topic.clone(), i32::from_be_bytes(fields.chunk()?)));
            }
            if fields.is_compact && fields.variable()? != 0 {
                // Fields that no version has yet.
                return None;
            }
        }
        Some(Self { producer_id, status, partitions })
    }
}

/// Reads fields of Kafka's protocol, front to back.
struct Fields<'a> {
    rest: &'a [u8],
    is_compact: bool,
}

impl Fields<'_> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*chunk)
    }

    /// A length: one more than it is in the compact form, else a number of `bytes` bytes. None at all counts as 0.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        let length = match (self.is_compact, bytes) {
            (true, _) => i64::from(self.variable()?) - 1,
            (false, 2) => i64::from(i16::from_be_bytes(self.chunk()?)),
            (false, _) => i64::from(i32::from_be_bytes(self.chunk()?)),
        };
        Some(usize::try_from(length).unwrap_or(0))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length(2)?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    /// A number in groups of seven bits, the lowest first.
    fn variable(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let [byte] = self.chunk()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

/// The partition that keeps an id: as Kafka finds it, by Java's hash of the text.
fn partition_of(id: &str, partitions: usize) -> i32 {
    let hash =
        id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's absolute value of the least number is 0.
    hash.checked_abs().unwrap_or(0) % partitions as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "shop.shard.3.a";

    fn key(id: &str) -> Vec<u8> {
        [&[0, 0], &(id.len() as u16).to_be_bytes()[..], id.as_bytes()].concat()
    }

    /// A value of version 0 or 1 whose transaction wrote to partition 3 of the topics.
    fn value(version: u8, producer_id: i64, status: u8, topics: &[&str]) -> Vec<u8> {
        let mut value = vec![0, version];
        value.extend(producer_id.to_be_bytes());
        value.extend([0, 7, 0, 0, 0x27, 0x10, status]);
        let compact = version == 1;
        let length = |bytes: usize, length: usize| match (compact, bytes) {
            (true, _) => vec![length as u8 + 1],
            (false, 2) => (length as u16).to_be_bytes().to_vec(),
            (false, _) => (length as u32).to_be_bytes().to_vec(),
        };
        value.extend(length(4, topics.len()));
        for topic in topics {
            value.extend(length(2, topic.len()));
            value.extend(topic.as_bytes());
            value.extend(length(4, 1));
            value.extend(3_i32.to_be_bytes());
            value.extend(compact.then_some(0));
        }
        // Two times, then the compact form's further fields.
        value.extend([0; 16]);
        value.extend(compact.then_some(0));
        value
    }

    fn history(version: u8, records: &[(i64, u8, &[&str])]) -> History {
        let mut history = History::default();
        for (producer_id, status, topics) in records {
            history.take(ID, &key(ID), Some(&value(version, *producer_id, *status, topics))).unwrap();
            history.take(ID, &key("shop.shard.3.b"), Some(&value(version, 99, 3, topics))).unwrap();
        }
        history
    }

    #[test]
    fn the_last_decision_about_a_partition_counts() {
        for version in [0, 1] {
            let history = history(
                version,
                &[
                    (5, 0, &[]),
                    (5, 1, &["orders"]),
                    (5, 1, &["orders", "outcomes"]),
                    (5, 2, &["orders", "outcomes"]),
                    (5, 4, &[]),
                    (5, 1, &["outcomes", "stock"]),
                    (5, 3, &["outcomes", "stock"]),
                    (5, 5, &[]),
                    (5, 1, &["payments", "orders"]),
                    (5, 0, &[]),
                ],
            );
            assert_eq!(history.last_decision("orders", 3), Some(Decision::Commit));
            assert_eq!(history.last_decision("outcomes", 3), Some(Decision::Abort));
            assert_eq!(history.last_decision("stock", 3), Some(Decision::Abort));
            assert_eq!(history.last_decision_about("stock"), Some(Decision::Abort));
            assert_eq!(history.last_decision("stock", 4), None, "another partition");
            assert_eq!(history.last_decision("payments", 3), None, "never decided");
        }
    }

    #[test]
    fn a_decision_for_another_producer_id_tells_nothing() {
        assert_eq!(
            history(1, &[(5, 2, &["orders"]), (5, 4, &[]), (6, 0, &[])]).last_decision("orders", 3),
            None
        );
    }

    #[test]
    fn a_forgotten_id_has_no_decision() {
        let mut history = history(1, &[(5, 2, &["orders"])]);
        history.take(ID, &key(ID), None).unwrap();
        assert_eq!(history, History::default());
    }

    #[test]
    fn a_value_of_another_version_is_an_error_and_a_short_one_too() {
        let mut later = value(1, 5, 2, &["orders"]);
        later[1] = 2;
        let mut history = History::default();
        assert!(history.take(ID, &key(ID), Some(&later)).is_err());
        for end in 0..value(1, 5, 2, &["orders"]).len() - 17 {
            assert!(history.take(ID, &key(ID), Some(&value(1, 5, 2, &["orders"])[..end])).is_err(), "{end}");
        }
    }

    #[test]
    fn the_partition_is_java_s() {
        // Hashes as Java prints them; the last one is the least number that there is.
        assert_eq!(partition_of("hello", 50), 99_162_322 % 50);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
    }
}
