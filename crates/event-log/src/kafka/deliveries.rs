//! Collects the offsets at which the records of one batch were stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};

/// The delivery reports of a producer's current batch.
#[derive(Clone, Default)]
pub(crate) struct Deliveries(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    offsets: Vec<Option<u64>>,
    first_error: Option<KafkaError>,
}

/// What became of a batch's records.
pub(crate) enum Delivery {
    /// All are stored, at these offsets.
    All(Vec<u64>),
    /// At least one failed: a transaction with a failed record is never committed.
    Failed(KafkaError),
    /// Some have no answer yet: the flush before the commit did not end, so the commit was not sent.
    Incomplete,
}

impl Deliveries {
    /// Begins a batch of `records` records. No report of an earlier one may be outstanding.
    pub(crate) fn begin(&self, records: usize) {
        *self.lock() = State { offsets: vec![None; records], first_error: None };
    }

    /// What is known of the batch.
    pub(crate) fn outcome(&self) -> Delivery {
        let mut state = self.lock();
        if let Some(error) = state.first_error.take() {
            return Delivery::Failed(error);
        }
        match std::mem::take(&mut state.offsets).into_iter().collect() {
            Some(offsets) => Delivery::All(offsets),
            None => Delivery::Incomplete,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The record's index in its batch.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let mut state = self.lock();
        match result {
            Ok(message) => {
                let offset = u64::try_from(message.offset()).ok();
                if let Some(slot) = state.offsets.get_mut(index) {
                    *slot = offset;
                }
            }
            Err((error, _)) => {
                state.first_error.get_or_insert_with(|| error.clone());
            }
        }
    }
}
