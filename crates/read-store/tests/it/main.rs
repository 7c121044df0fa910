//! The contract on every backend, and what only they can get wrong.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod cql_store;
mod fjall_store;
