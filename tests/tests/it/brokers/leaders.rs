//! Which broker leads what.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;

/// Where groups and transactions are coordinated: by the leader of the partition that their name hashes to.
pub(crate) const GROUPS: (&str, i32) = ("__consumer_offsets", 4);
pub(crate) const TRANSACTIONS: (&str, i32) = ("__transaction_state", 8);

/// The partition of a coordinator's topic (with so many) that coordinates `name`: `Utils.abs(name.hashCode) % count` in
/// Kafka, with Java's hash of a string.
pub(crate) fn coordinating((_, count): (&str, i32), name: &str) -> i32 {
    let hash =
        name.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % count
}

pub(crate) fn leader(bootstrap: &str, topic: &str, partition: i32) -> u32 {
    let metadata = metadata(bootstrap).expect("a broker answers");
    let topic = metadata.topics().iter().find(|found| found.name() == topic).expect("the topic is there");
    let partition =
        topic.partitions().iter().find(|found| found.id() == partition).expect("so is the partition");
    u32::try_from(partition.leader()).expect("the partition has a leader")
}

/// Whether every partition has a leader and so many replicas in sync.
pub(crate) fn is_in_sync(bootstrap: &str, replicas: usize) -> bool {
    let Some(metadata) = metadata(bootstrap) else { return false };
    let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions.all(|partition| partition.leader() > 0 && partition.isr().len() == replicas)
}

fn metadata(bootstrap: &str) -> Option<Metadata> {
    let asker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().ok()?;
    asker.fetch_metadata(None, Duration::from_secs(5)).ok()
}

#[test]
fn names_hash_as_in_java() {
    // "millrace".hashCode() and "polygenelubricants".hashCode() == Integer.MIN_VALUE.
    assert_eq!(coordinating(("", i32::MAX), "hello"), 99_162_322);
    assert_eq!(coordinating(("", 8), "polygenelubricants"), 0);
}
