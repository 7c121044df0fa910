//! Creates the topics with explicit settings, and refuses topics that are different.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaConfig;
use super::client::LogContext;
use crate::{Error, Topics};

/// What [`KafkaLog::init_topics`](crate::KafkaLog::init_topics) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsInit {
    /// Topics that were made.
    pub created: Vec<String>,
    /// Topics that were there, with the right settings.
    pub existing: Vec<String>,
}

/// The settings that every topic is created with and checked for.
fn settings(config: &KafkaConfig, topics: &Topics, topic: &str) -> Vec<(&'static str, String)> {
    let cleanup = if *topic == **topics.shard_owners() { "compact" } else { "delete" };
    vec![
        ("cleanup.policy", cleanup.to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", "-1".to_owned()),
        // The record's timestamp is when it was recorded, as its writer says.
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("max.message.bytes", config.message_bytes_max().to_string()),
        ("min.insync.replicas", config.min_insync_replicas.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ]
}

/// How long a leader may take to answer, and how long to wait before it is asked again.
const LEADER_ANSWER: Duration = Duration::from_secs(3);
const LEADER_RETRY: Duration = Duration::from_millis(20);

/// Settings of which more is fine too.
const AT_LEAST: [&str; 2] = ["max.message.bytes", "min.insync.replicas"];

struct Admin<'a> {
    config: &'a KafkaConfig,
    topics: Topics,
    client: AdminClient<LogContext>,
    options: AdminOptions,
}

pub(crate) fn init(config: &KafkaConfig) -> Result<TopicsInit, Error> {
    let admin = Admin::connect(config)?;
    let partitions = admin.partitions()?;
    let (existing, missing): (Vec<_>, Vec<_>) = admin
        .topics
        .all()
        .iter()
        .map(|topic| topic.to_string())
        .partition(|topic| partitions.contains_key(topic));
    let mut done = TopicsInit { existing, ..TopicsInit::default() };
    if !missing.is_empty() {
        admin.create(missing, &mut done)?;
    }
    admin.wait_for(&done.created)?;
    admin.check()?;
    Ok(done)
}

pub(crate) fn check(config: &KafkaConfig) -> Result<(), Error> {
    Admin::connect(config)?.check()
}

impl<'a> Admin<'a> {
    fn connect(config: &'a KafkaConfig) -> Result<Self, Error> {
        let client: AdminClient<LogContext> = config
            .admin_client()
            .create_with_context(LogContext)
            .map_err(|e| Error::backend("connecting to Kafka", e))?;
        let timeout = Duration::from_millis(config.request_timeout_ms);
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        Ok(Self { config, topics: Topics::new(&config.log.namespace), client, options })
    }

    /// Makes the missing topics; those that somebody else made meanwhile count as existing.
    fn create(&self, missing: Vec<String>, done: &mut TopicsInit) -> Result<(), Error> {
        let settings: Vec<_> =
            missing.iter().map(|topic| settings(self.config, &self.topics, topic)).collect();
        let new: Vec<_> = missing
            .iter()
            .zip(&settings)
            .map(|(topic, settings)| {
                let replication = TopicReplication::Fixed(self.config.replication_factor);
                let new = NewTopic::new(topic, self.config.log.partitions as i32, replication);
                settings.iter().fold(new, |new, (name, value)| new.set(name, value))
            })
            .collect();
        let results = block_on(self.client.create_topics(&new, &self.options))
            .map_err(|e| Error::backend("creating the topics", e))?;
        for result in results {
            match result {
                Ok(topic) => done.created.push(topic),
                Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => done.existing.push(topic),
                Err((topic, code)) => {
                    return Err(Error::backend("creating the topics", format!("{topic}: {code}")));
                }
            }
        }
        Ok(())
    }

    /// The number of partitions of each of our topics that exists.
    fn partitions(&self) -> Result<BTreeMap<String, usize>, Error> {
        let timeout = Duration::from_millis(self.config.request_timeout_ms);
        // Asked for all topics, not for ours: asking for one by name would create it on some brokers.
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, timeout)
            .map_err(|e| Error::backend("asking Kafka about its topics", e))?;
        let ours = metadata.topics().iter().filter(|topic| self.topics.index_of(topic.name()).is_some());
        Ok(ours.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    /// Waits until the created topics' leaders answer, which they do a little after the creation was acknowledged.
    fn wait_for(&self, created: &[String]) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_millis(self.config.open_timeout_ms);
        let asker: BaseConsumer<LogContext> = self
            .config
            .reader_client("admin")
            .create_with_context(LogContext)
            .map_err(|e| Error::backend("connecting to Kafka", e))?;
        for topic in created {
            for partition in 0..self.config.log.partitions {
                while let Err(error) = asker.fetch_watermarks(topic, partition as i32, LEADER_ANSWER) {
                    if Instant::now() > deadline {
                        return Err(Error::backend("waiting for the leaders of the created topics", error));
                    }
                    std::thread::sleep(LEADER_RETRY);
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let partitions = self.partitions()?;
        for topic in self.topics.all() {
            let Some(found) = partitions.get(&**topic) else {
                return Err(Error::TopicMissing { topic: topic.to_string() });
            };
            if *found != self.config.log.partitions as usize {
                return Err(Error::TopicMismatch {
                    topic: topic.to_string(),
                    setting: "partitions".to_owned(),
                    expected: self.config.log.partitions.to_string(),
                    found: found.to_string(),
                });
            }
        }
        let wanted: Vec<_> = self.topics.all().iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let described = block_on(self.client.describe_configs(&wanted, &self.options))
            .map_err(|e| Error::backend("asking for the topics' settings", e))?;
        for (topic, described) in self.topics.all().iter().zip(described) {
            let described = described.map_err(|e| Error::backend("asking for the topics' settings", e))?;
            for (setting, expected) in settings(self.config, &self.topics, topic) {
                let found = described.get(setting).and_then(|entry| entry.value.clone()).unwrap_or_default();
                if !is_fine(setting, &expected, &found) {
                    let (topic, setting) = (topic.to_string(), setting.to_owned());
                    return Err(Error::TopicMismatch { topic, setting, expected, found });
                }
            }
        }
        Ok(())
    }
}

fn is_fine(setting: &str, expected: &str, found: &str) -> bool {
    let more = || Some(found.parse::<u64>().ok()? >= expected.parse::<u64>().ok()?);
    found == expected || (AT_LEAST.contains(&setting) && more() == Some(true))
}

#[cfg(test)]
mod tests {
    use super::is_fine;

    #[test]
    fn limits_may_be_higher_and_policies_may_not_differ() {
        assert!(is_fine("max.message.bytes", "100", "200") && !is_fine("max.message.bytes", "100", "99"));
        assert!(
            !is_fine("retention.ms", "-1", "604800000") && !is_fine("cleanup.policy", "delete", "compact")
        );
    }
}
