//! The query API's limits.

use serde::{Deserialize, Serialize};
use service_kit::Millis;

/// The query API's limits. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// How long a request waits for the positions that it names in `Millrace-Min-Position`. 2,000 ms by default.
    pub min_position_wait_ms: Millis,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self { min_position_wait_ms: Millis::new(2_000) }
    }
}
