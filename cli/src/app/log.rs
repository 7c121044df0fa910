//! Opens the log that the configuration names.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use event_log::{EmbeddedLog, Error, KafkaLog, Log};

use super::{SharedLog, blocking};
use crate::config::Config;
use crate::report::hinted_because;

/// Opens the log without blocking the caller; on Kafka makes missing topics first if it may.
pub(super) async fn open(
    config: &Config,
    address: SocketAddr,
    makes_topics: bool,
) -> anyhow::Result<SharedLog> {
    let config = config.clone();
    blocking("opening the log", move || {
        if config.is_kafka() && makes_topics {
            with_partitions_found(&config, |config| KafkaLog::init_topics(&config.kafka_log("")))
                .map_err(|error| kafka_error(&config, error))?;
        }
        open_at(&config, &config.advertised(address))
    })
    .await
}

/// Opens the log to read it, making nothing on Kafka; blocks.
pub(crate) fn open_existing_log(config: &Config) -> anyhow::Result<SharedLog> {
    open_at(config, "")
}

fn open_at(config: &Config, address: &str) -> anyhow::Result<SharedLog> {
    if config.is_kafka() {
        let log = with_partitions_found(config, |config| KafkaLog::open(config.kafka_log(address)));
        return Ok(Arc::new(log.map_err(|error| kafka_error(config, error))?));
    }
    match with_partitions_found(config, |config| EmbeddedLog::open(config.embedded_log())) {
        Ok(log) => Ok(Arc::new(log) as Arc<dyn Log>),
        // It names the folder itself.
        Err(error @ Error::FolderLocked { .. }) => Err(error.into()),
        Err(error) => {
            Err(error).with_context(|| format!("cannot open the log in {}", config.log_folder().display()))
        }
    }
}

/// Whoever says no number of partitions gets the one that the log was made with.
fn with_partitions_found<T>(config: &Config, open: impl Fn(&Config) -> Result<T, Error>) -> Result<T, Error> {
    let found = match open(config) {
        Err(Error::Mismatch { setting: "partitions", found, .. }) if config.partitions == 0 => found,
        Err(Error::TopicMismatch { setting, found, .. })
            if setting == "partitions" && config.partitions == 0 =>
        {
            found
        }
        outcome => return outcome,
    };
    match found.parse() {
        Ok(partitions) => open(&Config { partitions, ..config.clone() }),
        Err(_) => open(config),
    }
}

/// A broker that cannot be reached looks like any other backend failure; its address helps.
fn kafka_error(config: &Config, error: Error) -> anyhow::Error {
    match error {
        Error::Backend { .. } | Error::Timeout { .. } => hinted_because(
            format!("no Kafka broker answers at {}", config.kafka),
            "is it running, and is that its advertised address? `millrace up` without --kafka needs no broker",
            error,
        ),
        other => other.into(),
    }
}
