//! Where the CQL server is, and how it is asked.

use serde::{Deserialize, Serialize};
use service_kit::Millis;

use crate::Error;

/// The store's settings. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CqlConfig {
    /// Some nodes of the cluster, `HOST:PORT`; the driver finds the others. Not a key of the section: who opens the store
    /// says where.
    #[serde(skip)]
    pub nodes: Vec<String>,
    /// The keyspace of the read models: a letter, then letters, digits and `_`, 48 at most, all lower case. Of one log only.
    /// Empty, the default, where the program chooses one; a store cannot be opened with it.
    pub keyspace: String,
    /// How many nodes of each datacenter hold a row, when the keyspace is made; one that is there stays as it is. 1 by default.
    pub replication_factor: u32,
    /// The datacenter that is asked; none: any. None by default.
    pub datacenter: Option<String>,
    /// How many replicas have to take a write and to answer a read. `local_quorum` by default.
    pub consistency: Consistency,
    /// How long a request may take, with its retries. 10,000 ms by default.
    pub request_timeout_ms: Millis,
    /// How long connecting to a node may take. 5,000 ms by default.
    pub connect_timeout_ms: Millis,
    /// After how long a read without an answer is asked of another node as well; 0: never. 0 by default: with one replica
    /// there is no other node.
    pub speculative_read_after_ms: Millis,
    /// How many requests of one batch, or of one reader of many rows, are under way at once. 128 by default.
    pub requests_in_flight_max: usize,
    /// Rows of one partition key go together up to so many bytes, keys included. 4,096 by default: servers warn above 5 KiB
    /// and refuse above 50.
    pub batch_bytes_max: usize,
    /// How long a process waits for another one that changes the schema. 60,000 ms by default.
    pub schema_lock_wait_ms: Millis,
}

impl Default for CqlConfig {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            keyspace: String::new(),
            replication_factor: 1,
            datacenter: None,
            consistency: Consistency::LocalQuorum,
            request_timeout_ms: Millis::new(10_000),
            connect_timeout_ms: Millis::new(5_000),
            speculative_read_after_ms: Millis::new(0),
            requests_in_flight_max: 128,
            batch_bytes_max: 4_096,
            schema_lock_wait_ms: Millis::new(60_000),
        }
    }
}

impl CqlConfig {
    pub(super) fn check(&self) -> Result<(), Error> {
        let first_is_letter = self.keyspace.starts_with(|c: char| c.is_ascii_lowercase());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let reason = if !first_is_letter || self.keyspace.len() > 48 || !self.keyspace.chars().all(allowed) {
            "keyspace must be a lower-case letter and then lower-case letters, digits and _, 48 at most"
        } else if self.nodes.is_empty() {
            "nodes must name at least one HOST:PORT"
        } else if self.replication_factor == 0 {
            "replication_factor must be at least 1"
        } else if self.requests_in_flight_max == 0 {
            "requests_in_flight_max must be at least 1"
        } else {
            return Ok(());
        };
        Err(Error::Config { reason })
    }
}

/// How many replicas have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// One. A reader may miss what was just written elsewhere.
    LocalOne,
    /// More than half of those in the datacenter: readers see what was acknowledged.
    LocalQuorum,
    /// More than half of all.
    Quorum,
    /// Every one of them.
    All,
}

impl Consistency {
    pub(super) fn driver(self) -> scylla::statement::Consistency {
        match self {
            Self::LocalOne => scylla::statement::Consistency::LocalOne,
            Self::LocalQuorum => scylla::statement::Consistency::LocalQuorum,
            Self::Quorum => scylla::statement::Consistency::Quorum,
            Self::All => scylla::statement::Consistency::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_that_would_change_the_statement_is_refused() {
        for bad in ["", "1a", "a; DROP KEYSPACE b", "A", "a.b", "a\"", &"x".repeat(49)] {
            let config = CqlConfig { keyspace: bad.to_owned(), ..CqlConfig::default() };
            assert!(config.check().unwrap_err().to_string().contains("keyspace"), "{bad}");
        }
        let nodes = vec!["127.0.0.1:9042".to_owned()];
        let good = CqlConfig { nodes, keyspace: "shop_1".to_owned(), ..CqlConfig::default() };
        assert!(good.check().is_ok());
    }
}
