//! Shards: load, decide, group-commit, dedupe, snapshot, ownership.
