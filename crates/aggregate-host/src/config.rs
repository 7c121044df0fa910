//! The host's limits.

use schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// Limits of the shards of one node. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// Commands that may wait for one shard in each of its two queues, single and bulk; more are answered "overloaded".
    /// 8,192 by default.
    pub queue_commands_max: usize,
    /// Most commands of one turn, and so of one commit. 2,000 by default.
    pub turn_commands_max: usize,
    /// A turn takes no further command once its records reach this, bytes. 8 MiB by default.
    pub turn_bytes_max: usize,
    /// How long the outcome of a command id is remembered, milliseconds. 7 days by default.
    pub dedupe_window_ms: u64,
    /// Most remembered outcomes of one shard; the oldest go first. 4,000,000 by default.
    pub dedupe_entries_max: usize,
    /// Aggregate states that one shard keeps in memory, by their size in the state store, bytes; they take some four times
    /// as much. 16 MiB by default.
    pub state_cache_bytes_max: usize,
    /// The state store is brought up to date once this many commands were decided since. 20,000 by default.
    pub checkpoint_commands_max: usize,
    /// … or this long after the last time, milliseconds. 2,000 by default.
    pub checkpoint_interval_ms: u64,
    /// How long a caller waits for an answer, milliseconds; then it is told that the outcome is unknown. 30,000 by
    /// default.
    pub answer_timeout_ms: u64,
    /// Longest pause between two attempts to open a shard's writer again, milliseconds. 2,000 by default.
    pub reopen_backoff_ms_max: u64,
    /// Whether the shards of other nodes are folded here too, so that taking one over costs only what came since. On by
    /// default; it has no effect on a log that other nodes cannot share.
    pub standby: bool,
    /// Memory of one shard's state store for blocks read, bytes. 8 MiB by default.
    pub state_store_cache_bytes: u64,
    /// Memory of each of the four tables of one shard's state store before it goes to a file, bytes. 8 MiB by default.
    pub state_store_memory_table_bytes_max: u64,
}

impl HostConfig {
    /// Outcomes decided before this are not remembered any more.
    pub(crate) fn oldest_remembered(&self, now: Timestamp) -> Timestamp {
        let window_ms = i64::try_from(self.dedupe_window_ms).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(window_ms))
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            queue_commands_max: 8_192,
            turn_commands_max: 2_000,
            turn_bytes_max: 8 << 20,
            dedupe_window_ms: 7 * 24 * 60 * 60 * 1_000,
            dedupe_entries_max: 4_000_000,
            state_cache_bytes_max: 16 << 20,
            checkpoint_commands_max: 20_000,
            checkpoint_interval_ms: 2_000,
            answer_timeout_ms: 30_000,
            reopen_backoff_ms_max: 2_000,
            standby: true,
            state_store_cache_bytes: 8 << 20,
            state_store_memory_table_bytes_max: 8 << 20,
        }
    }
}
