//! `millrace topics`: the Kafka topics, made with explicit settings.

use std::process::ExitCode;

use event_log::KafkaLog;

use crate::args::{TopicsCommand, TopicsInitArgs};
use crate::config::Config;
use crate::report::hinted;
use crate::stdout;

/// Runs one of the subcommands.
pub(crate) async fn run(command: TopicsCommand) -> anyhow::Result<ExitCode> {
    match command {
        TopicsCommand::Init(args) => init(args).await,
    }
}

async fn init(args: TopicsInitArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.log.flags(), std::env::vars())?;
    if !config.is_kafka() {
        return Err(hinted(
            "--kafka is missing",
            "name the brokers: millrace topics init --kafka 127.0.0.1:9092 (an embedded log makes its topics itself)",
        ));
    }
    let mut kafka = config.kafka_log("");
    kafka.replication_factor = args.replication_factor.unwrap_or(kafka.replication_factor);
    kafka.min_insync_replicas = args.min_insync_replicas.unwrap_or(kafka.min_insync_replicas);
    let done = tokio::task::spawn_blocking(move || KafkaLog::init_topics(&kafka)).await??;
    for topic in &done.created {
        stdout::line(format_args!("created  {topic}"))?;
    }
    for topic in &done.existing {
        stdout::line(format_args!("existing {topic}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
