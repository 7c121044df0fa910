//! The port through which everything outside of the write side submits commands, and its HTTP client.
//!
//! Process managers know [`Commands`] and nothing of shards: where the shard is local, `cli` gives them an
//! implementation that calls it in process; elsewhere [`HttpCommands`] posts to the bulk route of a commands API. Both
//! answer alike, and the same command id always has the same outcome, so that whoever is in doubt repeats:
//! [`submit_with_retries`] does so within limits.
//!
//! [`Peer`] is how one node passes commands on to another one that owns their shard.
//!
//! It is *not* a queue: a command that was not answered is the caller's to repeat.
//!
//! [`wire`] holds the lines of that bulk route, shared by both of its ends.

mod commands;
mod error;
mod http;
mod peer;
mod retry;
pub mod wire;

pub use commands::{Answer, Commands};
pub use error::SubmitError;
pub use http::{HttpCommands, HttpCommandsConfig, HttpCommandsError};
pub use peer::{Peer, PeerLane};
pub use retry::{RetryPolicy, submit_with_retries};
