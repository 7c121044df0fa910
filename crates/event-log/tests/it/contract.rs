//! The promises of the log's traits, as tests that every backend passes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::{
    AppendError, Batch, Consumed, Cursor, Error, GroupToken, Log, Ownership, OwnershipEvent, Record, Shard,
    ShardWriter, Subscription,
};
use schemas::AggregateType;

use crate::support::{
    PATIENCE, TestLog, drain, eventually, order, orders, read_count, read_to_end, record, text,
};

/// Runs every function of the suite on a backend: `$open` gives a new log, or `None` where the backend is not there.
macro_rules! contract_suite {
    ($open:path) => {
        contract_suite!($open;
            append_returns_the_positions_that_readers_see,
            batches_are_read_whole_and_in_order,
            an_empty_batch_writes_nothing,
            a_refused_batch_changes_nothing_and_the_writer_goes_on,
            a_later_writer_fences_the_earlier_one,
            terms_grow_with_every_opening,
            shards_append_at_the_same_time_without_gaps,
            caught_up_means_the_stable_end_at_opening,
            a_reader_goes_on_with_what_comes_later,
            a_read_waits_for_its_timeout_and_no_longer,
            a_read_is_bounded_in_records_and_bytes,
            a_reader_refuses_what_is_not_in_the_log,
            consumed_offsets_go_with_the_batch,
            ownership_holds_commands_back_until_the_answer,
            leaving_revokes_every_shard_and_rejoining_assigns_them_again,
            a_subscription_goes_on_where_it_committed,
            a_closed_log_takes_nothing,
        );
    };
    ($open:path; $($name:ident,)+) => {
        $(#[test] fn $name() { if let Some(log) = $open() { $crate::contract::$name(log) } })+
    };
}

const SHARD: Shard = Shard::new(1);

fn order_topic(log: &dyn Log) -> Arc<str> {
    log.topics().events(AggregateType::Order).clone()
}

pub(crate) fn append_returns_the_positions_that_readers_see(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    for round in 0..3 {
        let batch = vec![
            order(log, 1, &format!("a{round}")),
            record(log.topics().outcomes(), 1, &format!("outcome{round}")),
            // A misplaced command goes to its right partition, which is another shard's.
            record(log.topics().commands(), 0, &format!("command{round}")),
            order(log, 1, &format!("b{round}")),
        ];
        let appended = writer.append(Batch::of(batch.clone())).unwrap();
        assert_eq!(appended.positions().len(), batch.len());
        for (position, new) in appended.positions().iter().zip(batch) {
            let cursor = Cursor {
                topic: position.topic.clone(),
                partition: position.partition,
                next_offset: position.offset,
            };
            // The reader is opened anew until the commit shows, for a start beyond the stable end is refused.
            let read = eventually("the record at its position", || {
                let mut reader = log.open_reader(std::slice::from_ref(&cursor)).ok()?;
                reader.read(1, Duration::from_millis(300)).unwrap().pop()
            });
            assert_eq!((&read.position, read.timestamp), (position, new.timestamp));
            assert_eq!((read.position.topic, read.position.partition), (new.topic, new.partition));
            assert_eq!((read.key, read.headers, read.value), (new.key, new.headers, new.value));
        }
    }
}

pub(crate) fn batches_are_read_whole_and_in_order(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    let mut reader = log.open_reader(&[Cursor::start(order_topic(log), 1)]).unwrap();
    let mut expected = Vec::new();
    for batch in 0..20 {
        let records: Vec<_> = (0..=batch).map(|i| order(log, 1, &format!("{batch}.{i}"))).collect();
        expected.extend((0..=batch).map(|i| format!("{batch}.{i}")));
        writer.append(Batch::of(records)).unwrap();
    }
    let read = read_count(&mut *reader, expected.len());
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), expected);
    assert!(read.windows(2).all(|pair| pair[0].position.offset < pair[1].position.offset));
}

pub(crate) fn an_empty_batch_writes_nothing(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    let before = log.stable_end(&order_topic(log), 1).unwrap();
    assert!(writer.append(Batch::default()).unwrap().positions().is_empty());
    assert_eq!(log.stable_end(&order_topic(log), 1).unwrap(), before);
    writer.append(Batch::of(vec![order(log, 1, "a")])).unwrap();
}

pub(crate) fn a_refused_batch_changes_nothing_and_the_writer_goes_on(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    let refused = [
        vec![order(log, 1, "fine"), order(log, 1, &"x".repeat(10_001))],
        vec![order(log, 1, "fine"), order(log, 0, "another shard's")],
        vec![order(log, 1, "fine"), record(log.topics().commands(), 7, "no such partition")],
        vec![order(log, 1, "fine"), record(&"foreign.topic".into(), 1, "no such topic")],
        (0..1_001).map(|i| order(log, 1, &i.to_string())).collect(),
        (0..30).map(|_| order(log, 1, &"y".repeat(3_000))).collect(),
    ];
    for batch in refused {
        let error = writer.append(Batch::of(batch)).unwrap_err();
        assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");
        assert!(writer.is_open());
    }
    writer.append(Batch::of(vec![order(log, 1, "after")])).unwrap();
    assert_eq!(orders(log, 1, 1), ["after"]);
    assert!(matches!(log.open_writer(Shard::new(2)), Err(Error::NoSuchPartition { partition: 2, .. })));
}

pub(crate) fn a_later_writer_fences_the_earlier_one(test: TestLog) {
    let log = &*test.log;
    let mut first = log.open_writer(SHARD).unwrap();
    let mut other_shard = log.open_writer(Shard::new(0)).unwrap();
    first.append(Batch::of(vec![order(log, 1, "first")])).unwrap();
    let mut second = log.open_writer(SHARD).unwrap();
    assert!(second.term() > first.term());

    let error = first.append(Batch::of(vec![order(log, 1, "late")])).unwrap_err();
    assert!(
        matches!(&error, AppendError::Fenced { shard, term, .. } if *shard == SHARD && *term == first.term())
    );
    assert!(!first.is_open());
    let error = first.append(Batch::of(vec![order(log, 1, "later")])).unwrap_err();
    assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");

    second.append(Batch::of(vec![order(log, 1, "second")])).unwrap();
    second.append(Batch::of(vec![order(log, 1, "third")])).unwrap();
    other_shard.append(Batch::of(vec![order(log, 0, "other")])).unwrap();
    assert_eq!(orders(log, 1, 3), ["first", "second", "third"]);
}

pub(crate) fn terms_grow_with_every_opening(test: TestLog) {
    let mut log = test.log;
    let mut last = None;
    for round in 0..4 {
        let writer = log.open_writer(SHARD).unwrap();
        assert!(Some(writer.term()) > last, "{} after {last:?}", writer.term());
        last = Some(writer.term());
        drop(writer);
        if round % 2 == 1 {
            log = (test.reopen)(log);
        }
    }
    assert_eq!(log.open_writer(Shard::new(0)).unwrap().term().get(), 1, "every shard counts for itself");
}

pub(crate) fn shards_append_at_the_same_time_without_gaps(test: TestLog) {
    let log = &test.log;
    std::thread::scope(|scope| {
        for partition in 0..2 {
            scope.spawn(move || {
                let mut writer = log.open_writer(Shard::new(partition)).unwrap();
                for i in 0..50 {
                    writer.append(Batch::of(vec![order(&**log, partition, &i.to_string())])).unwrap();
                }
            });
        }
    });
    for partition in 0..2 {
        let expected: Vec<_> = (0..50).map(|i| i.to_string()).collect();
        assert_eq!(orders(&**log, partition, 50), expected);
    }
}

pub(crate) fn caught_up_means_the_stable_end_at_opening(test: TestLog) {
    let log = &*test.log;
    let topics = [order_topic(log), log.topics().outcomes().clone(), log.topics().commands().clone()];
    let starts: Vec<_> = topics.iter().map(|topic| Cursor::start(topic.clone(), 1)).collect();
    assert!(drain(&mut *log.open_reader(&starts).unwrap()).is_empty(), "an empty log is caught up with");

    let mut writer = log.open_writer(SHARD).unwrap();
    for i in 0..5 {
        let records = vec![order(log, 1, &format!("o{i}")), record(&topics[1], 1, &format!("x{i}"))];
        writer.append(Batch::of(records)).unwrap();
    }
    // Opening a writer waits for everything before it to be decided, so that the end sampled then is the end.
    let _next = log.open_writer(SHARD).unwrap();
    let mut reader = log.open_reader(&starts).unwrap();
    let read = drain(&mut *reader);
    assert_eq!(read.len(), 10);
    assert_eq!(reader.next_offsets(), reader.stable_ends(), "also where the tail holds no records");
    for end in reader.stable_ends() {
        assert_eq!(log.stable_end(&end.topic, end.partition).unwrap(), end.next_offset);
    }
    // From a position within, what lies before is not seen; at the end there is nothing.
    let middle =
        Cursor { next_offset: read_to_end(log, &topics[0], 1)[3].position.offset, ..starts[0].clone() };
    let rest = drain(&mut *log.open_reader(&[middle]).unwrap());
    assert_eq!(rest.iter().map(text).collect::<Vec<_>>(), ["o3", "o4"]);
    assert!(log.open_reader(&reader.stable_ends()).unwrap().caught_up());
}

pub(crate) fn a_reader_goes_on_with_what_comes_later(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    let mut reader = log.open_reader(&[Cursor::start(order_topic(log), 1)]).unwrap();
    for i in 0..10 {
        writer.append(Batch::of(vec![order(log, 1, &i.to_string())])).unwrap();
        assert_eq!(read_count(&mut *reader, 1).iter().map(text).collect::<Vec<_>>(), [i.to_string()]);
    }
}

pub(crate) fn a_read_waits_for_its_timeout_and_no_longer(test: TestLog) {
    let log = &test.log;
    let mut reader = log.open_reader(&[Cursor::start(order_topic(&**log), 1)]).unwrap();
    // The first read may end early: it is when the reader learns that there is nothing.
    reader.read(10, Duration::from_millis(300)).unwrap();
    let start = Instant::now();
    assert!(reader.read(10, Duration::from_millis(300)).unwrap().is_empty());
    let waited = start.elapsed();
    assert!((Duration::from_millis(250)..PATIENCE / 3).contains(&waited), "{waited:?}");

    let mut writer = log.open_writer(SHARD).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.append(Batch::of(vec![order(&**log, 1, "now")])).unwrap());
        let start = Instant::now();
        assert_eq!(reader.read(10, PATIENCE).unwrap().len(), 1);
        assert!(start.elapsed() < PATIENCE / 2, "a record ends the wait");
    });
}

pub(crate) fn a_read_is_bounded_in_records_and_bytes(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    for _ in 0..2 {
        writer.append(Batch::of((0..20).map(|_| order(log, 1, &"z".repeat(3_000))).collect())).unwrap();
    }
    let mut reader = log.open_reader(&[Cursor::start(order_topic(log), 1)]).unwrap();
    let mut total = 0;
    eventually("all records in small portions", || {
        let records = reader.read(3, Duration::from_millis(200)).unwrap();
        assert!(records.len() <= 3);
        total += records.len();
        (total >= 10).then_some(())
    });
    eventually("the rest, bounded by bytes", || {
        let records = reader.read(1_000, Duration::from_millis(200)).unwrap();
        assert!(records.iter().map(Record::size_bytes).sum::<usize>() <= 50_000 + 10_000);
        total += records.len();
        (total >= 40).then_some(())
    });
    assert_eq!(total, 40);
}

pub(crate) fn a_reader_refuses_what_is_not_in_the_log(test: TestLog) {
    let log = &*test.log;
    let start = Cursor::start(order_topic(log), 1);
    let unknown = Cursor::start("foreign.topic".into(), 0);
    assert!(matches!(log.open_reader(&[unknown]), Err(Error::NoSuchPartition { .. })));
    assert!(matches!(log.stable_end(&start.topic, 2), Err(Error::NoSuchPartition { partition: 2, .. })));
    assert!(matches!(log.open_reader(&[start.clone(), start.clone()]), Err(Error::Config { .. })));
    let beyond = Cursor { next_offset: 1_000, ..start };
    assert!(matches!(log.open_reader(&[beyond]), Err(Error::OffsetOutOfRange { offset: 1_000, .. })));
}

/// Drives an ownership until `count` commands are there; answers assignments at once.
pub(crate) fn take_commands(
    ownership: &mut dyn Ownership,
    count: usize,
) -> (Vec<Record>, Option<GroupToken>) {
    let (mut records, mut last) = (Vec::new(), None);
    eventually(&format!("{count} commands"), || {
        match ownership.next(Duration::from_millis(200)).unwrap() {
            Some(OwnershipEvent::Assigned(_, ack) | OwnershipEvent::Revoked(_, ack)) => ack.done(),
            Some(OwnershipEvent::Commands(more, token)) => {
                records.extend(more);
                last = Some(token);
            }
            _ => {}
        }
        (records.len() >= count).then_some(())
    });
    (records, last)
}

pub(crate) fn send_commands(log: &dyn Log, writer: &mut dyn ShardWriter, names: &[&str]) {
    let records = names.iter().map(|name| record(log.topics().commands(), 1, name)).collect();
    writer.append(Batch::of(records)).unwrap();
}

pub(crate) fn consumed_offsets_go_with_the_batch(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    send_commands(log, &mut *writer, &["c1", "c2", "c3"]);
    let mut ownership = log.ownership().unwrap();
    let (commands, token) = take_commands(&mut *ownership, 3);
    assert_eq!(commands.iter().map(text).collect::<Vec<_>>(), ["c1", "c2", "c3"]);
    let group = token.unwrap();
    let consume =
        |record: &Record| Some(Consumed { group: group.clone(), offsets: vec![record.cursor_after()] });

    // A refused batch consumes nothing; a written one consumes what it says, without records too.
    let refused = Batch { records: vec![order(log, 0, "wrong shard")], consumed: consume(&commands[2]) };
    assert!(matches!(writer.append(refused), Err(AppendError::NotWritten { .. })));
    writer.append(Batch { records: vec![order(log, 1, "e1")], consumed: consume(&commands[0]) }).unwrap();
    writer.append(Batch { records: Vec::new(), consumed: consume(&commands[1]) }).unwrap();
    drop(ownership);

    let mut ownership = log.ownership().unwrap();
    let (commands, _) = take_commands(&mut *ownership, 1);
    assert_eq!(commands.iter().map(text).collect::<Vec<_>>(), ["c3"], "what was not consumed comes again");
}

pub(crate) fn ownership_holds_commands_back_until_the_answer(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    send_commands(log, &mut *writer, &["c1"]);
    let mut ownership = log.ownership().unwrap();
    let membership = ownership.membership();
    let mut acks = Vec::new();
    eventually("every shard", || {
        match ownership.next(Duration::from_millis(100)).unwrap() {
            Some(OwnershipEvent::Assigned(shard, ack)) => acks.push((shard, ack)),
            Some(other) => panic!("{other:?} before the answer"),
            None => {}
        }
        (acks.len() == 2).then_some(())
    });
    assert_eq!(acks.iter().map(|(shard, _)| *shard).collect::<BTreeSet<_>>(), [Shard::new(0), SHARD].into());
    assert!(ownership.next(Duration::from_millis(500)).unwrap().is_none(), "commands wait for the answer");
    membership.prove(SHARD).unwrap();
    for (_, ack) in acks {
        ack.done();
    }
    take_commands(&mut *ownership, 1);

    membership.pause(SHARD).unwrap();
    send_commands(log, &mut *writer, &["c2"]);
    assert!(ownership.next(Duration::from_millis(500)).unwrap().is_none(), "a paused shard's commands wait");
    membership.resume(SHARD).unwrap();
    take_commands(&mut *ownership, 1);
}

pub(crate) fn leaving_revokes_every_shard_and_rejoining_assigns_them_again(test: TestLog) {
    let log = &*test.log;
    let mut ownership = log.ownership().unwrap();
    let membership = ownership.membership();
    let mut wait = |what: &str, wants_assigned: bool| {
        let mut shards = BTreeSet::new();
        eventually(what, || {
            match ownership.next(Duration::from_millis(100)).unwrap() {
                Some(OwnershipEvent::Assigned(shard, ack)) if wants_assigned => {
                    shards.insert(shard);
                    ack.done();
                }
                Some(OwnershipEvent::Revoked(shard, ack)) if !wants_assigned => {
                    shards.insert(shard);
                    ack.done();
                }
                Some(other) => panic!("{other:?} while waiting for {what}"),
                None => {}
            }
            (shards.len() == 2).then_some(())
        });
    };
    wait("the first assignment", true);
    membership.leave_and_rejoin().unwrap();
    wait("the revocation", false);
    wait("the second assignment", true);
    membership.leave().unwrap();
    wait("the last revocation", false);
    eventually("the end", || {
        matches!(ownership.next(Duration::from_millis(100)), Err(Error::Closed)).then_some(())
    });
}

fn next_texts(subscription: &mut dyn Subscription, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    eventually(&format!("{count} records of the subscription"), || {
        records.extend(subscription.read(100, Duration::from_millis(200)).unwrap().records);
        (records.len() >= count).then_some(())
    });
    records
}

pub(crate) fn a_subscription_goes_on_where_it_committed(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    writer.append(Batch::of((0..4).map(|i| order(log, 1, &i.to_string())).collect())).unwrap();
    let topics = [order_topic(log), log.topics().events(AggregateType::Stock).clone()];
    let texts = |records: &[Record]| records.iter().map(text).collect::<Vec<_>>();

    let mut subscription = log.subscribe("checkout", &topics).unwrap();
    let mut assigned = BTreeSet::new();
    let mut records = Vec::new();
    eventually("assignment and records", || {
        let batch = subscription.read(100, Duration::from_millis(200)).unwrap();
        assigned.extend(batch.assigned);
        records.extend(batch.records);
        (records.len() == 4).then_some(())
    });
    assert_eq!(assigned.len(), 4, "both partitions of both topics");
    subscription.commit(&[records[1].cursor_after()]).unwrap();
    subscription.rewind(&[records[2].cursor_after()]).unwrap();
    assert_eq!(texts(&next_texts(&mut *subscription, 1)), ["3"]);
    drop(subscription);

    let mut subscription = log.subscribe("checkout", &topics).unwrap();
    assert_eq!(texts(&next_texts(&mut *subscription, 2)), ["2", "3"], "what was not committed comes again");
    let mut other = log.subscribe("returns", &topics).unwrap();
    assert_eq!(next_texts(&mut *other, 4).len(), 4, "another group has its own progress");
}

pub(crate) fn a_closed_log_takes_nothing(test: TestLog) {
    let log = &*test.log;
    let mut writer = log.open_writer(SHARD).unwrap();
    writer.append(Batch::of(vec![order(log, 1, "before")])).unwrap();
    log.close();
    log.close();
    let error = writer.append(Batch::of(vec![order(log, 1, "after")])).unwrap_err();
    assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");
    assert!(matches!(log.open_writer(SHARD), Err(Error::Closed)));
}
