//! What the Kafka log is configured with, and the client settings that follow from it.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::{Deserialize, Serialize};

use crate::{Error, LogConfig, Shard};

/// The Kafka log's brokers, limits and time-outs. Unknown fields are refused.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Name, partitions and limits.
    pub log: LogConfig,
    /// `host:port` pairs, comma-separated. `127.0.0.1:9092` by default.
    pub bootstrap_servers: String,
    /// This node's name, as `shard-owners` tells it. `millrace` by default.
    pub owner: String,
    /// Where this node's commands API listens, as `shard-owners` tells it. Empty by default.
    pub address: String,
    /// Replicas of every topic that is created. 1 by default; 3 in production.
    pub replication_factor: i32,
    /// Replicas that must have a record before it counts as written. 1 by default; 2 in production.
    pub min_insync_replicas: i32,
    /// How long an orphaned transaction holds the stable end back, milliseconds. 10,000 by default.
    pub transaction_timeout_ms: u64,
    /// How long a record may wait for its acknowledgement, milliseconds; below `transaction_timeout_ms`. 8,000 by
    /// default.
    pub message_timeout_ms: u64,
    /// How long a commit may take before its outcome counts as unknown, milliseconds. 12,000 by default.
    pub commit_timeout_ms: u64,
    /// How long fencing the earlier writers may take when a writer is opened, milliseconds. 20,000 by default.
    pub open_timeout_ms: u64,
    /// How long any other request may take, milliseconds. 10,000 by default.
    pub request_timeout_ms: u64,
    /// How long a silent member keeps its shards, milliseconds. 6,000 by default.
    pub session_timeout_ms: u64,
    /// How often a member says that it is alive, milliseconds. 2,000 by default.
    pub heartbeat_interval_ms: u64,
    /// How long a member may work between two reads, milliseconds. 300,000 by default.
    pub max_poll_interval_ms: u64,
    /// How long a revocation waits for the shards' answers, milliseconds. 10,000 by default.
    pub revoke_drain_ms_max: u64,
    /// How long the broker may hold an answer back that has no records, milliseconds. A reader that catches up learns of
    /// the end by such an answer, so this is what catching up costs at least. 100 by default.
    pub fetch_wait_ms_max: u64,
    /// Most bytes that a reader fetches ahead. 16 MiB by default.
    pub fetch_ahead_bytes_max: usize,
    /// Further librdkafka settings (TLS, SASL); they win over ours.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            log: LogConfig::default(),
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            owner: "millrace".to_owned(),
            address: String::new(),
            replication_factor: 1,
            min_insync_replicas: 1,
            transaction_timeout_ms: 10_000,
            message_timeout_ms: 8_000,
            commit_timeout_ms: 12_000,
            open_timeout_ms: 20_000,
            request_timeout_ms: 10_000,
            session_timeout_ms: 6_000,
            heartbeat_interval_ms: 2_000,
            max_poll_interval_ms: 300_000,
            revoke_drain_ms_max: 10_000,
            fetch_wait_ms_max: 100,
            fetch_ahead_bytes_max: 16 << 20,
            properties: BTreeMap::new(),
        }
    }
}

impl std::fmt::Debug for KafkaConfig {
    /// Leaves the values of `properties` out: some are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("log", &self.log)
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("owner", &self.owner)
            .field("address", &self.address)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

/// Room for what a record carries beside key, headers and body (lengths, attributes, batch header), bytes.
const RECORD_OVERHEAD_BYTES: usize = 64 << 10;

impl KafkaConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.log.check()?;
        let refuse = |reason: String| Err(Error::Config { reason });
        if self.bootstrap_servers.trim().is_empty() {
            return refuse("bootstrap_servers is empty".to_owned());
        }
        if self.message_timeout_ms >= self.transaction_timeout_ms {
            // A record that is given up after its transaction was aborted by the broker would look like a fault.
            return refuse(format!(
                "message_timeout_ms ({}) must be below transaction_timeout_ms ({})",
                self.message_timeout_ms, self.transaction_timeout_ms
            ));
        }
        if self.heartbeat_interval_ms >= self.session_timeout_ms {
            return refuse("heartbeat_interval_ms must be below session_timeout_ms".to_owned());
        }
        Ok(())
    }

    /// Largest record batch that the topics must take, bytes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.log.record_bytes_max + RECORD_OVERHEAD_BYTES
    }

    /// The group that shares the shards.
    pub(crate) fn shards_group(&self) -> String {
        format!("{}.shards", self.log.namespace)
    }

    /// The transactional id of a shard's producer; `letter` is `a` or `b`.
    pub(crate) fn transactional_id(&self, shard: Shard, letter: char) -> String {
        format!("{}.shard.{shard}.{letter}", self.log.namespace)
    }

    fn client(&self, role: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", format!("{}.{}.{role}", self.log.namespace, self.owner))
            // A broker that comes back is found again within a second, not within ten.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.nagle.disable", "true");
        client
    }

    fn finish(&self, mut client: ClientConfig) -> ClientConfig {
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client
    }

    pub(crate) fn admin_client(&self) -> ClientConfig {
        self.finish(self.client("admin"))
    }

    /// A transactional producer; `letter` is `a` or `b`.
    pub(crate) fn producer_client(&self, shard: Shard, letter: char) -> ClientConfig {
        let mut client = self.client("writer");
        let kibibytes = |bytes: usize| (bytes / 1024 + 1).to_string();
        client
            .set("transactional.id", self.transactional_id(shard, letter))
            .set("transaction.timeout.ms", self.transaction_timeout_ms.to_string())
            .set("message.timeout.ms", self.message_timeout_ms.to_string())
            .set("message.max.bytes", self.message_bytes_max().to_string())
            .set("queue.buffering.max.messages", (self.log.batch_records_max + 1).to_string())
            // Twice the batch: librdkafka counts its own overhead per record.
            .set(
                "queue.buffering.max.kbytes",
                kibibytes(2 * self.log.batch_bytes_max + RECORD_OVERHEAD_BYTES),
            )
            // Nothing waits this long: the commit flushes as soon as the last record of the batch is queued. It keeps
            // the first record from travelling alone.
            .set("linger.ms", "5")
            // A request that was lost is tried again at once, not after a tenth of a second.
            .set("retry.backoff.ms", "10");
        self.finish(client)
    }

    /// A producer of commands: in order, without doubles of its own, no transaction.
    pub(crate) fn enqueue_client(&self) -> ClientConfig {
        let mut client = self.client("commands");
        client
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", self.message_timeout_ms.to_string())
            .set("message.max.bytes", self.message_bytes_max().to_string())
            .set("queue.buffering.max.messages", self.log.batch_records_max.to_string())
            .set("linger.ms", "1")
            .set("retry.backoff.ms", "10");
        self.finish(client)
    }

    /// A consumer that reads committed records of partitions given to it.
    pub(crate) fn reader_client(&self, role: &str) -> ClientConfig {
        let mut client = self.client(role);
        client
            // librdkafka assigns partitions only to consumers with a group; nothing is ever committed or joined.
            .set("group.id", format!("{}.{role}", self.log.namespace))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // A position that is gone is an error, not a silent jump.
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", (self.fetch_ahead_bytes_max / 1024).max(1).to_string())
            // Once the fetched-ahead queue was full, fetching goes on after this long; the default is a second.
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "100")
            // Polled by ourselves (see `native`), a reader's log lines would go to stderr as they are; what matters in them
            // comes back as errors of the calls.
            .set_log_level(RDKafkaLogLevel::Critical)
            .set("check.crcs", "true");
        self.finish(client)
    }

    /// A member of a consumer group.
    pub(crate) fn member_client(&self, role: &str, group: &str) -> ClientConfig {
        let mut client = self.reader_client(role);
        client
            .set("group.id", group)
            .set_log_level(RDKafkaLogLevel::Info)
            .set("enable.partition.eof", "false")
            .set("auto.offset.reset", "earliest")
            .set("group.protocol", "classic")
            // The only assignor that gives partition k of all topics to the same member.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            // Bounds a synchronous commit, which has no time-out of its own.
            .set("socket.timeout.ms", self.request_timeout_ms.to_string())
            .set("heartbeat.interval.ms", self.heartbeat_interval_ms.to_string())
            .set("max.poll.interval.ms", self.max_poll_interval_ms.to_string());
        self.finish(client)
    }
}
