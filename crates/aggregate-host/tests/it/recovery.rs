//! Failed appends, fencing, checkpoints, the commands topic.

use std::time::{Duration, Instant};

use aggregate_host::HostConfig;
use event_log::{Batch, Shard, encode_command};
use schemas::{Outcome, Sku, Timestamp};
use service_kit::FailPoint;

use crate::harness::{Place, Running, SOON, envelope, receive, reserve};

/// Small limits, so that a few hundred commands write many checkpoints and states leave the memory.
fn small() -> HostConfig {
    HostConfig {
        turn_commands_max: 7,
        state_cache_bytes_max: 1_000,
        checkpoint_commands_max: 11,
        checkpoint_interval_ms: 1,
        ..HostConfig::default()
    }
}

#[tokio::test]
async fn states_that_left_the_memory_come_back_as_they_were() {
    let place = Place::embedded();
    let running = Running::start_with(&place, small()).await;
    for round in 0..20 {
        let ids = (0..50u128).map(|i| (1 + round * 50 + i, format!("S{i}")));
        let all = futures::future::join_all(ids.map(|(id, sku)| running.submit_owned(id, sku))).await;
        assert!(all.iter().all(|outcome| matches!(outcome, Outcome::Accepted(_))));
    }
    for i in 0..50 {
        let sku = Sku::new(format!("S{i}")).unwrap();
        assert_eq!(running.host.stock_levels(&sku).await.unwrap().on_hand, 20);
    }
    running.stop().await;
    // A store that was checkpointed half-way plus the rest of the log, and the whole log alone, give the same states.
    for forget in [false, true] {
        if forget {
            std::fs::remove_dir_all(place.folder().join("state")).unwrap();
        }
        let running = Running::start_with(&place, small()).await;
        for i in 0..50 {
            let sku = Sku::new(format!("S{i}")).unwrap();
            assert_eq!(
                running.host.stock_levels(&sku).await.unwrap().on_hand,
                20,
                "folder removed: {forget}"
            );
        }
        running.stop().await;
    }
}

impl Running {
    async fn submit_owned(&self, id: u128, sku: String) -> Outcome {
        self.outcome(id, receive(&sku, 1)).await
    }
}

#[tokio::test]
async fn a_host_that_is_fenced_answers_nothing_that_is_not_in_the_log() {
    for place in Place::all() {
        let running = Running::start(&place).await;
        running.outcome(1, receive("A", 5)).await;
        let shard = running.host.shard_of(&envelope(1, receive("A", 1)).command.stream());
        // Somebody else opens the shard's writer: from now on the host's appends must fail.
        let mut other = running.log.open_writer(shard).unwrap();
        let answer = running.submit(2, receive("A", 5)).await;
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(running.records().len(), 1, "nothing of the fenced command is in the log");
        other.append(Batch::default()).unwrap();
        drop(other);
        // It gives the shard up, gets it again, and repeats the command under the same id.
        let deadline = Instant::now() + SOON;
        loop {
            match running.submit(2, receive("A", 5)).await {
                Ok(answer) => {
                    assert!(matches!(answer.outcome, Outcome::Accepted(_)));
                    break;
                }
                Err(error) => assert!(Instant::now() < deadline, "still {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(running.records().len(), 2);
        running.stop().await;
    }
}

#[tokio::test]
async fn commands_of_the_commands_topic_are_decided_once_and_moved_to_their_shard() {
    for place in Place::all() {
        let running = Running::start(&place).await;
        let topics = running.log.topics().clone();
        let partitions = running.log.partitions();
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut records = Vec::new();
        for i in 0..20u128 {
            let envelope = envelope(500 + i, receive(&format!("K{i}"), 3));
            let mut record = encode_command(&topics, partitions, &envelope, now, None).unwrap();
            if i % 2 == 0 {
                // A producer that hashes differently.
                record.partition = (record.partition + 1) % partitions;
            }
            records.push(record);
            // The same command twice: the second one changes nothing.
            records.push(records[records.len() - 1].clone());
        }
        running.stop().await;
        // Written while nobody serves: the log of a stopped shop, or a foreign producer.
        let log = place.open_log();
        let mut writer = log.open_writer(Shard::new(0)).unwrap();
        writer.append(Batch::of(records)).unwrap();
        drop(writer);
        log.close();
        drop(log);
        let running = Running::start(&place).await;
        let deadline = Instant::now() + SOON;
        for i in 0..20 {
            let sku = Sku::new(format!("K{i}")).unwrap();
            while running.host.stock_levels(&sku).await.unwrap().on_hand != 3 {
                assert!(Instant::now() < deadline, "command {i} was not decided");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let stocks =
            || running.records().iter().filter(|r| r.position.topic.ends_with("stock.events")).count();
        // What is decided is seen by readers a moment later, on Kafka.
        while stocks() < 20 {
            assert!(Instant::now() < deadline, "{} of 20 are in the log", stocks());
        }
        running.stop().await;
        // A new writer waits for all that was appended before it.
        let running = Running::start(&place).await;
        let stocks = running.records().iter().filter(|r| r.position.topic.ends_with("stock.events")).count();
        assert_eq!(stocks, 20, "each was decided once");
        running.stop().await;
    }
}

#[tokio::test]
async fn after_a_failed_write_callers_are_told_what_the_log_says_and_the_shard_goes_on() {
    for (point, lands) in [
        (FailPoint::EMBEDDED_BEFORE_WRITE, false),
        (FailPoint::EMBEDDED_AFTER_WRITE, true),
        (FailPoint::EMBEDDED_BEFORE_ANSWER, true),
    ] {
        let place = Place::embedded();
        let running = Running::start(&place).await;
        running.outcome(1, receive("A", 5)).await;
        let armed = place.fail_once(point);
        let answer = running.submit(2, reserve("A", "o1", 1)).await;
        let landed = running.records().len() == 2;
        assert_eq!(landed, lands, "{point:?}");
        match answer {
            Ok(answer) => assert!(landed, "told {answer:?}"),
            Err(aggregate_host::HostError::NotWritten) => assert!(!landed),
            Err(error) => {
                assert!(matches!(error, aggregate_host::HostError::OutcomeUnknown { .. }), "{error}")
            }
        }
        // Repeating under the same id tells the truth, in the same process.
        let repeated = running.submit(2, reserve("A", "o1", 1)).await.unwrap();
        assert_eq!(repeated.replayed, landed);
        assert!(matches!(repeated.outcome, Outcome::Accepted(_)));
        running.outcome(3, receive("A", 5)).await;
        assert_eq!(running.records().len(), 3);
        drop(armed);
        running.stop().await;
    }
}
