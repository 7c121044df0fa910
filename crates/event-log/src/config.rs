//! What both logs are configured with.

use serde::{Deserialize, Serialize};

/// The log's name, its partitions and its limits. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Prefix of every topic, `millrace` by default. Letters, digits, `.`, `_`, `-`.
    pub namespace: String,
    /// Partitions of every topic, and so the number of shards. Fixed when the log is created; 2 by default.
    pub partitions: u32,
    /// Largest record: key, header names and values, and body, bytes. 1 MiB by default.
    pub record_bytes_max: usize,
    /// Most records of one batch. 20,000 by default.
    pub batch_records_max: usize,
    /// Largest batch, the sum of its records' sizes, bytes. 16 MiB by default.
    pub batch_bytes_max: usize,
    /// Most bytes that one read returns, unless a single record is larger. 4 MiB by default.
    pub read_bytes_max: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            namespace: "millrace".to_owned(),
            partitions: 2,
            record_bytes_max: 1 << 20,
            batch_records_max: 20_000,
            batch_bytes_max: 16 << 20,
            read_bytes_max: 4 << 20,
        }
    }
}

impl LogConfig {
    /// Refuses values that no log can have; says which.
    pub fn check(&self) -> Result<(), crate::Error> {
        let refuse = |reason: String| Err(crate::Error::Config { reason });
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.namespace.is_empty() || self.namespace.len() > 128 || !self.namespace.chars().all(allowed) {
            return refuse(format!(
                "namespace {:?} is not 1 to 128 letters, digits, dots, underscores or dashes",
                self.namespace
            ));
        }
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return refuse(format!("partitions is {}, allowed are 1 to {PARTITIONS_MAX}", self.partitions));
        }
        if self.record_bytes_max == 0 || self.batch_records_max == 0 || self.read_bytes_max == 0 {
            return refuse("record_bytes_max, batch_records_max and read_bytes_max must not be 0".to_owned());
        }
        if self.batch_bytes_max < self.record_bytes_max {
            return refuse(format!(
                "batch_bytes_max ({}) is below record_bytes_max ({})",
                self.batch_bytes_max, self.record_bytes_max
            ));
        }
        Ok(())
    }
}

/// More partitions than this is a typing error.
const PARTITIONS_MAX: u32 = 1_024;
