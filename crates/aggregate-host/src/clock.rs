//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use schemas::Timestamp;

/// The time now; 1970 where the clock is set to before it.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
