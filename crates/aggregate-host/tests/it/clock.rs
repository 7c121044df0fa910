//! A clock that jumps back.

use event_log::{Batch, decode_event, encode_event};
use schemas::{Outcome, Timestamp};
use uuid::Uuid;

use crate::harness::{Place, Running, receive};

/// How far the clock that wrote the log was ahead of this machine's, milliseconds.
const AHEAD_MS: i64 = 3_600_000;

#[tokio::test]
async fn recording_times_of_a_shard_never_go_back_even_when_the_clock_does_between_two_starts() {
    for place in Place::all() {
        let running = Running::start(&place).await;
        running.outcome(1, receive("A", 5)).await;
        let mut records = running.records();
        running.stop().await;

        // The next event of the stream, written by a process whose clock was ahead.
        let log = place.open_log();
        let first = decode_event(&records.pop().unwrap()).unwrap();
        let mut ahead = first.metadata.clone();
        ahead.version = ahead.version.next();
        ahead.command_id = schemas::CommandId::new(Uuid::from_u128(2));
        ahead.recorded_at = Timestamp::from_millis(ahead.recorded_at.as_millis() + AHEAD_MS);
        let record = encode_event(log.topics(), log.partitions(), &ahead, &first.event).unwrap();
        let mut writer = log.open_writer(event_log::Shard::new(record.partition)).unwrap();
        writer.append(Batch::of(vec![record])).unwrap();
        drop(writer);
        log.close();
        drop(log);

        let running = Running::start(&place).await;
        assert!(matches!(running.outcome(3, receive("A", 5)).await, Outcome::Accepted(_)));
        let times: Vec<_> = running.records().iter().map(|record| record.timestamp).collect();
        assert!(times.is_sorted(), "{times:?}");
        running.stop().await;
    }
}
