//! The contract on fjall, and what only a folder can get wrong.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod fjall_store;
