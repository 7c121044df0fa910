//! What each projection makes of events, and the projector on a real log.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod folds;
mod projector;
// A feature of a package cannot be had by its own tests without the package depending on itself.
#[allow(dead_code, unreachable_pub, reason = "written for several test binaries")]
#[path = "../../src/test_support.rs"]
mod test_support;
