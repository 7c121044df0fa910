//! Shards: where commands become events.
//!
//! A shard is partition *k* of every topic, owned by one thread of one node. It keeps recent aggregate states in
//! memory, decides commands in arrival order, and appends whatever a turn decided as one atomic batch: throughput comes
//! from the group, latency is one commit plus at most one wait. Nothing is answered before it is durable.
//!
//! ```text
//! HostHandle::submit ─▶ queue ─▶ ShardWorker: take ─▶ decide ─▶ append (one batch) ─▶ answer
//!                                   │  ▲                             │
//!                        states, dedupe (memory)             event-log (durable)
//!                                   │  ▲
//!                              StateStore (fjall, disposable: states, outcomes, checkpoint)
//! ```
//!
//! A node that does not own a shard of a shared log stands by: it folds the shard too, and [`HostHandle::owner`] tells
//! whom to ask instead.
//!
//! What this crate is *not*: it knows no HTTP, no projection, and no rule of the shop (those are in `aggregates`). The
//! state store is a cache with a checkpoint; deleting it costs a refold, never data.

mod clock;
mod config;
mod dedupe;
mod error;
mod facts;
mod handle;
mod host;
mod metrics;
mod owners;
mod shard;
mod state_store;
mod states;
mod turn;
mod work;

pub use config::HostConfig;
pub use error::{HostError, StartError};
pub use facts::{CartFacts, ProductFacts};
pub use handle::{HostAnswer, HostHandle, Lane, Pending};
pub use host::Host;
pub use metrics::describe_metrics;
pub use owners::Owner;
