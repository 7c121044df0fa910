//! What the vocabulary promises to those who read the topics.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, and it says where")]

mod fixtures;
mod released;
