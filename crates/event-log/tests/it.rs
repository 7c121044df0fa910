//! The contract suite on both backends, and what only one of them can do.
//!
//! The Kafka tests take their broker from `MILLRACE_TEST_KAFKA` (a bootstrap address) and are skipped without it.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

#[path = "it/contract.rs"]
#[macro_use]
mod contract;
#[path = "it/disk.rs"]
mod disk;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/framing.rs"]
mod framing;
#[path = "it/kafka.rs"]
mod kafka;
#[path = "it/proxy.rs"]
mod proxy;
#[path = "it/support.rs"]
mod support;
#[path = "it/system_calls.rs"]
mod system_calls;
