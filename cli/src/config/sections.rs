//! The sections about the log.

use std::collections::BTreeMap;

use event_log::{EmbeddedConfig, KafkaConfig, LogConfig};
use read_store::FjallConfig;
use serde::{Deserialize, Serialize};
use service_kit::{ByteSize, Secret};

/// `[log]`: limits of both logs. Defaults as of [`LogConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// Largest record: key, headers and body.
    pub record_bytes_max: ByteSize,
    /// Most records of one batch.
    pub batch_records_max: usize,
    /// Largest batch.
    pub batch_bytes_max: ByteSize,
    /// Most bytes that one read returns.
    pub read_bytes_max: ByteSize,
}

impl Default for LogSection {
    fn default() -> Self {
        let log = LogConfig::default();
        Self {
            record_bytes_max: bytes(log.record_bytes_max),
            batch_records_max: log.batch_records_max,
            batch_bytes_max: bytes(log.batch_bytes_max),
            read_bytes_max: bytes(log.read_bytes_max),
        }
    }
}

/// `[embedded]`: limits of the embedded log. Defaults as of [`EmbeddedConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedSection {
    /// Most appends that wait for the commit thread.
    pub commit_queue_len_max: usize,
    /// Most bytes of records that one sync covers.
    pub commit_bytes_max: ByteSize,
    /// Cache of stored blocks.
    pub cache_bytes_max: ByteSize,
    /// Most bytes of records in memory before they go to a file.
    pub memory_table_bytes_max: ByteSize,
    /// What is left free on the disk: commands that would take from it are refused. 0: the disk is not looked at.
    pub disk_reserve_bytes: ByteSize,
    /// How long a log whose write has failed is tried to be opened again before the process ends, milliseconds.
    pub reopen_timeout_ms: u64,
}

impl Default for EmbeddedSection {
    fn default() -> Self {
        let embedded = EmbeddedConfig::default();
        Self {
            commit_queue_len_max: embedded.commit_queue_len_max,
            commit_bytes_max: bytes(embedded.commit_bytes_max),
            cache_bytes_max: ByteSize::new(embedded.cache_bytes_max),
            memory_table_bytes_max: ByteSize::new(embedded.memory_table_bytes_max),
            disk_reserve_bytes: ByteSize::new(embedded.disk_reserve_bytes),
            reopen_timeout_ms: embedded.reopen_timeout_ms,
        }
    }
}

/// `[kafka_log]`: settings of the Kafka log. Defaults as of [`KafkaConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSection {
    /// This node's name, as `shard-owners` tells it; empty (the default): its address.
    pub owner: String,
    /// Replicas of every topic that is made.
    pub replication_factor: i32,
    /// Replicas that must have a record before it counts as written.
    pub min_insync_replicas: i32,
    /// How long an orphaned transaction holds readers back, milliseconds.
    pub transaction_timeout_ms: u64,
    /// How long a record may wait for its acknowledgement, milliseconds.
    pub message_timeout_ms: u64,
    /// How long a commit may take before its outcome counts as unknown, milliseconds.
    pub commit_timeout_ms: u64,
    /// How long fencing the earlier writers may take, milliseconds.
    pub open_timeout_ms: u64,
    /// How long any other request may take, milliseconds.
    pub request_timeout_ms: u64,
    /// How long a silent member keeps its shards, milliseconds.
    pub session_timeout_ms: u64,
    /// How often a member says that it is alive, milliseconds.
    pub heartbeat_interval_ms: u64,
    /// How long a member may work between two reads, milliseconds.
    pub max_poll_interval_ms: u64,
    /// How long a revocation waits for the shards' answers, milliseconds.
    pub revoke_drain_ms_max: u64,
    /// How long a broker may hold a fetch that finds nothing, milliseconds.
    pub fetch_wait_ms_max: u64,
    /// Most bytes that a reader fetches ahead.
    pub fetch_ahead_bytes_max: ByteSize,
    /// Further librdkafka settings (TLS, SASL); they win over ours and never print.
    pub properties: BTreeMap<String, Secret<String>>,
}

impl Default for KafkaSection {
    fn default() -> Self {
        let kafka = KafkaConfig::default();
        Self {
            owner: String::new(),
            replication_factor: kafka.replication_factor,
            min_insync_replicas: kafka.min_insync_replicas,
            transaction_timeout_ms: kafka.transaction_timeout_ms,
            message_timeout_ms: kafka.message_timeout_ms,
            commit_timeout_ms: kafka.commit_timeout_ms,
            open_timeout_ms: kafka.open_timeout_ms,
            request_timeout_ms: kafka.request_timeout_ms,
            session_timeout_ms: kafka.session_timeout_ms,
            heartbeat_interval_ms: kafka.heartbeat_interval_ms,
            max_poll_interval_ms: kafka.max_poll_interval_ms,
            revoke_drain_ms_max: kafka.revoke_drain_ms_max,
            fetch_wait_ms_max: kafka.fetch_wait_ms_max,
            fetch_ahead_bytes_max: bytes(kafka.fetch_ahead_bytes_max),
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaSection {
    pub(super) fn config(&self, log: LogConfig, bootstrap_servers: &str, address: &str) -> KafkaConfig {
        KafkaConfig {
            log,
            bootstrap_servers: bootstrap_servers.to_owned(),
            owner: if self.owner.is_empty() { owner_name(address) } else { self.owner.clone() },
            address: address.to_owned(),
            replication_factor: self.replication_factor,
            min_insync_replicas: self.min_insync_replicas,
            transaction_timeout_ms: self.transaction_timeout_ms,
            message_timeout_ms: self.message_timeout_ms,
            commit_timeout_ms: self.commit_timeout_ms,
            open_timeout_ms: self.open_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            max_poll_interval_ms: self.max_poll_interval_ms,
            revoke_drain_ms_max: self.revoke_drain_ms_max,
            fetch_wait_ms_max: self.fetch_wait_ms_max,
            fetch_ahead_bytes_max: self.fetch_ahead_bytes_max.as_usize(),
            properties: self
                .properties
                .iter()
                .map(|(name, value)| (name.clone(), value.expose().clone()))
                .collect(),
        }
    }
}

/// A reader without an address is nobody's owner.
fn owner_name(address: &str) -> String {
    if address.is_empty() { KafkaConfig::default().owner } else { address.to_owned() }
}

/// `[views]`: memory of the views' store. Defaults as of [`FjallConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewsSection {
    /// Cache of stored blocks.
    pub cache_bytes_max: ByteSize,
    /// Most bytes of rows in memory before they go to a file.
    pub memory_table_bytes_max: ByteSize,
}

impl Default for ViewsSection {
    fn default() -> Self {
        let store = FjallConfig::default();
        Self {
            cache_bytes_max: ByteSize::new(store.cache_bytes_max),
            memory_table_bytes_max: ByteSize::new(store.memory_table_bytes_max),
        }
    }
}

fn bytes(count: usize) -> ByteSize {
    ByteSize::new(count as u64)
}
