//! What the tests share: a log with whatever keeps it alive, records, and waiting for a condition.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{Cursor, Headers, Log, LogReader, NewRecord, Record};
use schemas::{AggregateType, Timestamp};

/// Gives up a log, and opens the same one again.
pub(crate) type Reopen = Box<dyn Fn(Arc<dyn Log>) -> Arc<dyn Log>>;

/// A new, empty log of two partitions, with small limits.
pub(crate) struct TestLog {
    pub(crate) log: Arc<dyn Log>,
    /// Opens the same log once more, as another process would (Kafka), or closes and opens it again (embedded).
    pub(crate) reopen: Reopen,
    pub(crate) _keep: Box<dyn Any>,
}

/// Limits that tests can reach.
pub(crate) fn small_limits(namespace: &str) -> event_log::LogConfig {
    event_log::LogConfig {
        namespace: namespace.to_owned(),
        partitions: 2,
        record_bytes_max: 10_000,
        batch_records_max: 1_000,
        batch_bytes_max: 200_000,
        read_bytes_max: 50_000,
    }
}

/// Nothing a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `done` until it gives something; fails loudly when it takes too long.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        std::thread::yield_now();
    }
}

/// An event-like record of the order topic.
pub(crate) fn order(log: &dyn Log, partition: u32, value: &str) -> NewRecord {
    record(log.topics().events(AggregateType::Order), partition, value)
}

pub(crate) fn record(topic: &Arc<str>, partition: u32, value: &str) -> NewRecord {
    let mut headers = Headers::new();
    headers.push("ce_id", format!("order/{value}/1"));
    headers.push("foreign", vec![0, 159, 146, 150]);
    NewRecord {
        topic: topic.clone(),
        partition,
        key: format!("key of {value}").into(),
        headers,
        value: value.to_owned().into(),
        timestamp: Timestamp::from_millis(1_700_000_000_123),
    }
}

pub(crate) fn text(record: &Record) -> String {
    String::from_utf8(record.value.to_vec()).unwrap()
}

/// Reads until caught up with the stable end sampled at opening.
pub(crate) fn read_to_end(log: &dyn Log, topic: &Arc<str>, partition: u32) -> Vec<Record> {
    let mut reader = log.open_reader(&[Cursor::start(topic.clone(), partition)]).unwrap();
    drain(&mut *reader)
}

pub(crate) fn drain(reader: &mut dyn LogReader) -> Vec<Record> {
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !reader.caught_up() {
        records.extend(reader.read(1_000, Duration::from_millis(500)).unwrap());
        assert!(Instant::now() < deadline, "the reader never caught up: {:?}", reader.next_offsets());
    }
    records
}

/// Reads until `count` records are there (a commit shows up in a read a little after it was acknowledged).
pub(crate) fn read_count(reader: &mut dyn LogReader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    eventually(&format!("{count} records"), || {
        records.extend(reader.read(1_000, Duration::from_millis(200)).unwrap());
        (records.len() >= count).then_some(())
    });
    records
}

/// The order topic's records as text, once `count` are visible.
pub(crate) fn orders(log: &dyn Log, partition: u32, count: usize) -> Vec<String> {
    let topic = log.topics().events(AggregateType::Order).clone();
    let mut reader = log.open_reader(&[Cursor::start(topic, partition)]).unwrap();
    read_count(&mut *reader, count).iter().map(text).collect()
}
