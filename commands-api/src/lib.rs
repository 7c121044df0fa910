//! HTTP to command to shard: the write side as the world sees it.
//!
//! Every command of every aggregate has a resource route under `/v1`, and all of them travel through the bulk route
//! `POST /v1/commands` as well. A request becomes a [`CommandEnvelope`](schemas::CommandEnvelope), goes to the shard of
//! its stream through [`Shards`] (on this node, or on the one that owns it), and is answered when its outcome is durable. Errors are
//! problem documents; every answer names the command.
//!
//! It sits above `aggregate-host`. It is *not* the place of rules: what an order may do is decided by the aggregates.
//! What it does decide is who may ask ([permissions](CommandsApiConfig::import_principals)) and, for buyers, the price:
//! it looks prices, tax and stock levels up, so that nobody states their own.
//!
//! [`router`] is the API, [`openapi`] its description, [`Shards`] the same shards for process managers in this process.

mod answer;
mod app;
mod bulk;
mod call;
mod config;
mod deferred;
mod error;
mod extract;
mod facts;
mod hints;
mod layer;
mod metrics;
mod permission;
mod pricing;
mod refusals;
mod routes;
mod sequence;
mod shards;

pub use app::{ApiState, openapi, router};
pub use config::{CommandsApiConfig, TaxRates};
pub use metrics::describe_metrics;
pub use shards::Shards;
