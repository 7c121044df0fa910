//! The same work without us: the ceilings.
#![allow(unsafe_code, reason = "librdkafka's own commit is what the ceiling is about")]

use std::path::Path;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

/// Longest wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Versions of what both sides stand on.
pub(crate) fn versions() -> String {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    format!(
        "librdkafka {librdkafka}, benches {} ({})",
        env!("CARGO_PKG_VERSION"),
        if cfg!(debug_assertions) { "debug" } else { "release" }
    )
}

/// Transactions on two alternating ids.
pub(crate) struct KafkaLoop {
    producers: [ThreadedProducer<DefaultProducerContext>; 2],
    turn: usize,
    topic: String,
}

impl KafkaLoop {
    pub(crate) fn open(bootstrap: &str, namespace: &str, topic: &str) -> anyhow::Result<Self> {
        let open = |letter: char| -> anyhow::Result<_> {
            let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
                .set("bootstrap.servers", bootstrap)
                .set("transactional.id", format!("{namespace}.bare.{letter}"))
                .create()?;
            producer.init_transactions(TIMEOUT)?;
            Ok(producer)
        };
        Ok(Self { producers: [open('a')?, open('b')?], turn: 0, topic: topic.to_owned() })
    }

    pub(crate) fn transact(&mut self, records: usize, value_bytes: usize) -> anyhow::Result<()> {
        let producer = &self.producers[self.turn];
        self.turn = 1 - self.turn;
        let value = vec![7; value_bytes];
        producer.begin_transaction()?;
        for _ in 0..records {
            producer
                .send(BaseRecord::to(&self.topic).partition(0).key("order").payload(&value))
                .map_err(|(error, _)| error)?;
        }
        // SAFETY: the handle lives as long as `producer` is borrowed; the error is destroyed exactly once.
        let is_committed = unsafe {
            let error =
                rdkafka::bindings::rd_kafka_commit_transaction(producer.client().native_ptr(), 20_000);
            if !error.is_null() {
                rdkafka::bindings::rd_kafka_error_destroy(error);
            }
            error.is_null()
        };
        anyhow::ensure!(is_committed, "the bare commit failed");
        Ok(())
    }
}

/// Batches of rows, each synced.
pub(crate) struct FjallLoop {
    database: Database,
    rows: Keyspace,
    next: u64,
}

impl FjallLoop {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let database = Database::builder(path).open()?;
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
        Ok(Self { database, rows, next: 0 })
    }

    pub(crate) fn write(&mut self, records: usize, value_bytes: usize) -> anyhow::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for _ in 0..records {
            batch.insert(&self.rows, self.next.to_be_bytes(), vec![7; value_bytes]);
            self.next += 1;
        }
        Ok(batch.commit()?)
    }
}
