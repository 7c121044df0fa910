//! The API over real shards on an embedded log.
#![cfg(test)]

mod harness;

mod bulk;
mod checkout;
mod client;
mod deferred;
mod description;
mod every_code;
mod idempotency;
mod odd_requests;
mod orders;
mod permissions;
mod problems;
mod routes;
