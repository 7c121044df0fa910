//! What every process of Millrace needs around its work: tasks with names and an end, an ordered shutdown, layered
//! configuration, logs, metrics, health, and HTTP whose errors are problem documents.
//!
//! It sits on `schemas` alone (for error codes) and below everything that runs. It is *not* a framework: nothing here
//! knows commands, events or read models, and the composition root (`cli`) decides what is started.
//!
//! - [`Tasks`] is the only place where tasks and threads start; [`Stop`] is how they hear that they should end.
//! - [`Shutdown`] ends a process in [`Phase`]s; its module holds the reasons for their order.
//! - [`Layers`] and [`ConfigFile`] read configuration; [`Secret`], [`Millis`], [`ByteSize`] are its types.
//! - [`Problem`], [`Json`], [`Query`], [`Path`] are HTTP errors and the extractors that produce them;
//!   [`problem_codes!`] and [`problem_responses`] describe them.
//! - [`Health`], [`Metrics`], [`LogOptions`] show what goes on; [`bind`], [`with_layers`], [`serve`] run a server.
//! - [`Backoff`] repeats what failed. [`FailPoint`] lets tests fail what would have worked.
//!
//! ```
//! use axum::{Router, routing::get};
//! use service_kit::{Health, HttpOptions, Phase, Shutdown, Tasks, bind, with_layers};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), service_kit::Error> {
//! let tasks = Tasks::new();
//! let shutdown = Shutdown::new(tasks.clone(), Shutdown::TIMEOUT_MS);
//! let health = Health::new();
//!
//! let options = HttpOptions::default();
//! let router = Router::new().route("/", get(|| async { "hello" })).merge(health.router());
//! let listener = bind("127.0.0.1:0".parse().expect("an address")).await?;
//! shutdown.serve("http", listener, with_layers(router, &options), options);
//!
//! let stopping = health.clone();
//! shutdown.on(Phase::StopAccepting, "health", move || async move {
//!     stopping.set_stopping();
//!     Ok::<_, service_kit::Error>(())
//! });
//! # tasks.stop().request(); // Instead of a signal.
//! shutdown.run_on_signal().await
//! # }
//! ```

mod config;
mod disk;
mod error;
mod extract;
mod fail_points;
mod health;
mod http;
mod metrics;
mod problem;
mod problem_responses;
mod retry;
mod shutdown;
mod stop;
mod tasks;
mod telemetry;
mod units;

pub use ::metrics::{Counter, Gauge, Histogram, Unit};
pub use config::{ConfigFile, Layers, Secret, dump_config};
pub use disk::free_bytes;
pub use error::{BoxError, Chain, Error};
pub use extract::{Json, Path, Query, parse_json, read_body, require_json};
pub use fail_points::{
    ArmedFailPoints, FAIL_POINTS_VARIABLE, FailPoint, Fault, arm_fail_points,
    arm_fail_points_from_environment,
};
pub use health::{ComponentHealth, ComponentReport, ComponentStatus, Health, HealthReport};
pub use http::{HttpOptions, bind, serve, with_layers};
pub use metrics::{Metric, Metrics, describe_metrics};
pub use problem::{PROBLEM_JSON, Problem, method_not_allowed, not_found};
pub use problem_responses::{ProblemCodes, problem_responses};
pub use retry::{AfterPause, Backoff, Pauses};
pub use shutdown::{Phase, Shutdown};
pub use stop::Stop;
pub use tasks::{OnError, TaskHandle, Tasks};
pub use telemetry::{LOG_FORMAT_VARIABLE, LOG_VARIABLE, LogFormat, LogOptions};
pub use units::{ByteSize, Millis};
