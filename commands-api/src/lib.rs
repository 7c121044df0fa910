//! HTTP to command to shard.
