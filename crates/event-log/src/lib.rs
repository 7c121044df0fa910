//! The log: partitioned topics of records, appended atomically by one writer per shard, read by anybody.
//!
//! [`Log`] is what everything above programs against. [`EmbeddedLog`] keeps its promises with one fjall database in one
//! process, [`KafkaLog`] with Apache Kafka; the functions of `tests/it/contract.rs` state the promises
//! as tests and run on both. The framing functions ([`encode_event`], [`decode_event`], …) lead from what is said to records and back.
//!
//! This crate knows records, not what they mean: no aggregate, no projection, no retry policy lives here. Everything is
//! synchronous: a shard's writer and a reader each live on a thread of their own.
//!
//! ```
//! use std::time::Duration;
//! use event_log::{Batch, Cursor, EmbeddedConfig, EmbeddedLog, Headers, Log, LogConfig, NewRecord, Shard};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("log");
//! let log = EmbeddedLog::open(EmbeddedConfig { path, ..EmbeddedConfig::default() })?;
//! let mut writer = log.open_writer(Shard::new(0))?;
//! let outcomes = log.topics().outcomes().clone();
//! let record = NewRecord {
//!     topic: outcomes.clone(),
//!     partition: 0,
//!     key: "key".into(),
//!     headers: Headers::new(),
//!     value: "value".into(),
//!     timestamp: schemas::Timestamp::from_millis(0),
//! };
//! let appended = writer.append(Batch::of(vec![record]))?;
//! assert_eq!(appended.position(0).to_string(), "millrace.outcomes/0@0");
//!
//! let mut reader = log.open_reader(&[Cursor::start(outcomes, 0)])?;
//! assert_eq!(reader.read(10, Duration::from_secs(1))?[0].value, "value");
//! assert!(reader.caught_up());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod batch_check;
mod config;
mod embedded;
mod envelope;
mod error;
mod framing;
mod headers;
mod kafka;
mod log;
mod ownership;
mod partition;
mod record;
mod record_json;
mod shard;
mod topics;

pub use batch::{Appended, Batch, Consumed, GroupToken};
pub use config::LogConfig;
pub use embedded::{EmbeddedConfig, EmbeddedLog};
pub use error::{AppendError, BatchError, Error, Source};
pub use framing::{
    FramingError, OutcomeRecord, decode_command, decode_event, decode_outcome, encode_command, encode_event,
    encode_outcome, is_foreign, is_signed,
};
pub use headers::Headers;
pub use kafka::{KafkaConfig, KafkaLog, ShardOwner, TopicsInit, decode_shard_owner};
pub use log::{Enqueued, Log, LogReader, ShardWriter, Subscription, SubscriptionBatch};
pub use ownership::{Ack, Membership, Ownership, OwnershipEvent};
pub use partition::partition_for;
pub use record::{Cursor, NewRecord, Record};
pub use record_json::{BytesJson, RecordJson};
pub use shard::{Shard, WriterTerm};
pub use topics::Topics;
