//! The query API over a store that the projector filled from an embedded log.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod bed;
mod documents;
mod openapi;
mod pages;
mod positions;
mod totals;
