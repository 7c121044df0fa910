//! The `millrace` program: the composition root, where the crates of the platform become one process, and the
//! operator's tool.
//!
//! [`App`] starts the platform in process (`millrace up` and the system tests use it); [`Cli`] and [`run`] are the
//! command line around it. Nothing here decides, stores or answers anything of the shop: it opens the log, wires the
//! write side, the read side and the process managers to it, serves them under one address and stops them in order.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let folder = std::path::PathBuf::from("./millrace-data");
//! let config = millrace::Config { data_dir: folder, listen: "127.0.0.1:0".parse()?, ..Default::default() };
//! let app = millrace::App::start(config).await?;
//! println!("listening on {}", app.url());
//! app.shutdown().await
//! # }
//! ```

mod admin;
mod api_client;
mod app;
mod args;
mod commands;
mod config;
mod docs;
mod import;
mod report;
mod run;
mod stdout;
mod verify;

pub use admin::{
    LagStatus, LetterAnswer, LettersPage, LogCursor, LogLine, LogSummary, ProcessManagersStatus,
    ProjectionReport, ShardsStatus, Status, TopicStatus, TopicSummary,
};
pub use app::{App, Part, RunningApp};
pub use args::Cli;
pub use config::{Config, EmbeddedSection, KafkaSection, LogSection, ViewsSection};
pub use run::run;
pub use verify::{Checker, Report, verify_log};
