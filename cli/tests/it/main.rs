//! The whole program in one process: started, used over HTTP, stopped, started again.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod admin;
mod amounts;
mod app;
mod binary;
mod docs;
mod failures;
mod support;
