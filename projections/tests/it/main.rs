//! What each projection makes of events, and the projector on a real log: what it sets aside, and what it builds anew.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod bed;
mod dead_letters;
mod folds;
mod projector;
mod rebuilds;
// A feature of a package cannot be had by its own tests without the package depending on itself.
#[allow(dead_code, unreachable_pub, reason = "written for several test binaries")]
#[path = "../../src/test_support.rs"]
mod test_support;
