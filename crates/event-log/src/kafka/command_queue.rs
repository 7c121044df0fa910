//! Commands sent to the log from outside of any shard: an idempotent producer of the commands topic, no transaction.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use schemas::Position;

use super::writer::base_record_of;
use super::{KafkaConfig, Shared};
use crate::log::Enqueued;
use crate::{AppendError, Error, NewRecord, Topics};

/// How long the last commands may take when the log closes.
const FLUSH: Duration = Duration::from_secs(2);

/// The producer, and whom to tell.
pub(crate) struct CommandQueue {
    producer: ThreadedProducer<Deliveries>,
}

struct Deliveries {
    topics: Topics,
}

impl CommandQueue {
    pub(crate) fn open(config: &KafkaConfig, topics: &Topics) -> Result<Self, Error> {
        let producer = config
            .enqueue_client()
            .create_with_context(Deliveries { topics: topics.clone() })
            .map_err(|e| Error::backend("making a producer", e))?;
        Ok(Self { producer })
    }

    /// Sends a record; `done` hears from the producer's own thread.
    pub(crate) fn send(&self, shared: &Shared, record: &NewRecord, done: Enqueued) {
        if shared.is_closed() {
            return done(Err(AppendError::not_written(Error::Closed)));
        }
        // Whatever is refused here has not left the process.
        if let Err((error, record)) = self.producer.send(base_record_of(record, Box::new(done))) {
            (*record.delivery_opaque)(Err(AppendError::not_written(error)));
        }
    }

    pub(crate) fn flush(&self) {
        if let Err(error) = self.producer.flush(FLUSH) {
            tracing::warn!(%error, "commands on the way to the log were left behind; their senders are not told");
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        super::client::log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Enqueued>;

    fn delivery(&self, result: &DeliveryResult<'_>, done: Box<Enqueued>) {
        done(match result {
            Ok(message) => {
                let place = (
                    self.topics.index_of(message.topic()),
                    u32::try_from(message.partition()),
                    u64::try_from(message.offset()),
                );
                match place {
                    (Some(index), Ok(partition), Ok(offset)) => {
                        Ok(Position { topic: self.topics.all()[index].clone(), partition, offset })
                    }
                    _ => Err(AppendError::unknown("a command was stored at no place that we know")),
                }
            }
            // Purged: it never left the queue. Anything else may have been stored before its answer was lost.
            Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PurgeQueue) => {
                Err(AppendError::not_written(error.clone()))
            }
            Err((error, _)) => Err(AppendError::unknown(error.clone())),
        });
    }
}
