//! Makes sure that nothing of earlier writers hangs in a shard's partitions before a new writer decides anything.
//!
//! Once both ids of a shard are initialised, nothing of earlier writers can land any more, and every transaction of theirs
//! is committed or aborted: then the stable end of each partition is its end. But a broker that was killed may forget to
//! write the marker that a partition was owed (the coordinator says "complete", and the partition waits for ever; see
//! `docs/failures.md`). Records that were acknowledged then lie above the stable end, where nobody reads them, and whoever
//! decides without them decides wrongly.
//!
//! The marker is still to be had: the next one of the same transactional id ends whatever the id has open in the
//! partition. What it has to be, commit or abort, stands in the coordinator's log. So each id makes one more transaction
//! that writes a void record to the partitions that hang, and ends it as its last one there was to end. Where the coordinator's
//! log cannot be read or has forgotten, the shard is not served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::Shared;
use super::deliveries::{Deliveries, Delivery};
use super::native::commit_transaction;
use super::transaction_log::{Decision, History};
use super::writer::{TransactionalProducer, offset_list};
use crate::{Cursor, Error, Shard};

/// The key of a void record: it has no value, means nothing, and no reader of the log returns it.
pub(crate) const VOID_KEY: &[u8] = b"~void";

/// Where Kafka keeps the offsets of groups.
const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How long a partition whose transactions are all complete may take to show it.
const SETTLE_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// A partition whose stable end is not its end.
struct Hanging {
    topic: Arc<str>,
    partition: u32,
    stable_end: u64,
    end: u64,
}

/// Blocks until the stable ends of the shard's partitions are their ends; both producers must be initialised.
pub(crate) fn settle(
    shared: &Shared,
    shard: Shard,
    producers: &[TransactionalProducer; 2],
) -> Result<(), Error> {
    let topics = &shared.topics;
    let written = topics.all_events().iter().chain([topics.outcomes(), topics.shard_owners()]);
    let partitions: Vec<_> = written.map(|topic| (Arc::clone(topic), shard.partition())).collect();
    let ends = shared.replicated_ends(&partitions)?;
    let hanging = wait(shared, &partitions, &ends)?.err().unwrap_or_default();
    let is_offset_known =
        || shared.stable.is_committed_offset_known(shared.topics.commands(), shard.partition());
    let is_offset_hanging = !is_offset_known()?;
    if hanging.is_empty() && !is_offset_hanging {
        return Ok(());
    }

    for Hanging { topic, partition, stable_end, end } in &hanging {
        tracing::warn!(
            %shard, topic = &**topic, partition, stable_end, end,
            "the broker owes this partition the end of a transaction; asking its coordinator how it was to end"
        );
    }
    if is_offset_hanging {
        tracing::warn!(%shard, "the broker owes the offset of the commands topic the end of a transaction");
    }
    for (producer, letter) in producers.iter().zip(['a', 'b']) {
        let id = shared.config.transactional_id(shard, letter);
        let history = History::read(&shared.config, &id)?;
        for decision in [Decision::Commit, Decision::Abort] {
            let decided =
                |it: &&Hanging| history.last_decision(&it.topic, it.partition as i32) == Some(decision);
            let owed: Vec<_> = hanging.iter().filter(decided).collect();
            let owes_offset =
                is_offset_hanging && history.last_decision_about(OFFSETS_TOPIC) == Some(decision);
            if !owed.is_empty() || owes_offset {
                end_again(shared, shard, producer, decision, &owed, owes_offset)?;
                let partitions = owed.len();
                tracing::warn!(%shard, id, ?decision, partitions, owes_offset, "ended the last transaction again");
            }
        }
    }
    let ends = shared.replicated_ends(&partitions)?;
    if let Err(hanging) = wait(shared, &partitions, &ends)? {
        return Err(unsettled(shard, &hanging[0]));
    }
    // Whoever is to read the commands topic learns by itself when this is still not known.
    if is_offset_hanging && !is_offset_known()? {
        tracing::warn!(%shard, "the offset of the commands topic is still not known");
    }
    Ok(())
}

/// Waits a little for the stable ends to reach `ends`; tells which don't.
fn wait(
    shared: &Shared,
    partitions: &[(Arc<str>, u32)],
    ends: &[u64],
) -> Result<Result<(), Vec<Hanging>>, Error> {
    let deadline = Instant::now() + SETTLE_MAX;
    loop {
        let stable_ends = shared.stable_ends(partitions)?;
        let hanging: Vec<_> = partitions
            .iter()
            .zip(ends.iter().zip(stable_ends))
            .filter(|(_, (end, stable_end))| stable_end < *end)
            .map(|((topic, partition), (end, stable_end))| Hanging {
                topic: Arc::clone(topic),
                partition: *partition,
                stable_end,
                end: *end,
            })
            .collect();
        if hanging.is_empty() {
            return Ok(Ok(()));
        }
        if Instant::now() > deadline {
            return Ok(Err(hanging));
        }
        std::thread::sleep(PAUSE);
    }
}

/// One more transaction of the id over what hangs, its partitions and the group's offset: its end is theirs.
fn end_again(
    shared: &Shared,
    shard: Shard,
    current: &TransactionalProducer,
    decision: Decision,
    hanging: &[&Hanging],
    with_offset: bool,
) -> Result<(), Error> {
    const WHAT: &str = "ending a transaction again";
    let TransactionalProducer { producer, deliveries } = current;
    let timeout = Duration::from_millis(shared.config.commit_timeout_ms);
    deliveries.begin(hanging.len());
    producer.begin_transaction().map_err(|e| Error::backend(WHAT, e))?;
    send_void_records(producer, hanging).map_err(|e| Error::backend(WHAT, e))?;
    if with_offset {
        // Any offset of the group will do; nobody reads the shard's owner within it.
        let owner = Cursor::start(shared.topics.shard_owners().clone(), shard.partition());
        let offsets = offset_list(&[owner]).map_err(|e| Error::backend(WHAT, e))?;
        let group = shared.stable.group_metadata()?;
        producer
            .send_offsets_to_transaction(&offsets, &group, timeout)
            .map_err(|e| Error::backend(WHAT, e))?;
    }
    match decision {
        Decision::Commit => {
            commit_transaction(producer, timeout).map_err(|e| Error::backend(WHAT, e))?;
            match deliveries.outcome() {
                Delivery::All(_) => Ok(()),
                Delivery::Failed(error) => Err(Error::backend(WHAT, error)),
                Delivery::Incomplete => {
                    Err(Error::backend(WHAT, "committed without a report for every record"))
                }
            }
        }
        Decision::Abort => {
            // Stored first: a partition that the coordinator does not know of gets no marker.
            producer.flush(timeout).map_err(|e| Error::backend(WHAT, e))?;
            producer.abort_transaction(timeout).map_err(|e| Error::backend(WHAT, e))
        }
    }
}

fn send_void_records(
    producer: &ThreadedProducer<Deliveries>,
    hanging: &[&Hanging],
) -> Result<(), rdkafka::error::KafkaError> {
    for (index, Hanging { topic, partition, .. }) in hanging.iter().enumerate() {
        let record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, index)
            .partition(*partition as i32)
            .key(VOID_KEY);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(())
}

fn unsettled(shard: Shard, hanging: &Hanging) -> Error {
    Error::Unsettled {
        shard,
        topic: hanging.topic.to_string(),
        partition: hanging.partition,
        stable_end: hanging.stable_end,
        end: hanging.end,
    }
}
