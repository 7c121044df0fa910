//! The Kafka log on a real broker: the contract suite, the three failures of an append, foreign transactions, topics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use event_log::{
    AppendError, Batch, Consumed, Cursor, Error, KafkaConfig, KafkaLog, Log, LogConfig, Ownership,
    OwnershipEvent, Shard, ShardOwner, ShardWriter, Topics, decode_shard_owner,
};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use schemas::AggregateType;
use service_kit::{FailPoint, arm_fail_points};

use crate::contract::{send_commands, take_commands};
use crate::proxy::{END_TRANSACTION, Fault, PRODUCE, Proxy};
use crate::support::{TestLog, drain, eventually, order, orders, read_to_end, small_limits, text};

contract_suite!(open);

const SHARD: Shard = Shard::new(1);

/// The broker to test on, or a line that says why there is no test.
fn broker() -> Option<String> {
    let broker = std::env::var("MILLRACE_TEST_KAFKA").ok().filter(|broker| !broker.is_empty());
    if broker.is_none() {
        println!("skipped: MILLRACE_TEST_KAFKA is not set");
    }
    broker
}

/// A namespace of its own, with short time-outs. Its topics go with it: a broker that keeps thousands of partitions of
/// finished tests answers nobody in time.
struct Namespace(KafkaConfig);

impl std::ops::Deref for Namespace {
    type Target = KafkaConfig;
    fn deref(&self) -> &KafkaConfig {
        &self.0
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        use rdkafka::admin::{AdminClient, AdminOptions};
        let topics = Topics::new(&self.log.namespace);
        let names: Vec<&str> = topics.all().iter().map(|topic| &**topic).collect();
        let admin =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap_servers).create::<AdminClient<_>>();
        let deleted = admin
            .and_then(|admin| futures::executor::block_on(admin.delete_topics(&names, &AdminOptions::new())));
        if let Err(error) = deleted {
            println!("the topics of {} stay behind: {error}", self.log.namespace);
        }
    }
}

fn namespace(broker: &str) -> Namespace {
    Namespace(KafkaConfig {
        log: small_limits(&format!("t{}", uuid::Uuid::new_v4().simple())),
        bootstrap_servers: broker.to_owned(),
        owner: "node-1".to_owned(),
        address: "127.0.0.1:8080".to_owned(),
        transaction_timeout_ms: 5_000,
        message_timeout_ms: 3_000,
        commit_timeout_ms: 3_000,
        ..KafkaConfig::default()
    })
}

fn open_config(config: &KafkaConfig) -> Arc<dyn Log> {
    KafkaLog::init_topics(config).unwrap();
    Arc::new(KafkaLog::open(config.clone()).unwrap())
}

fn open() -> Option<TestLog> {
    let namespace = namespace(&broker()?);
    let config = namespace.clone();
    let log = open_config(&config);
    let reopen = move |_| -> Arc<dyn Log> { Arc::new(KafkaLog::open(config.clone()).unwrap()) };
    Some(TestLog { log, reopen: Box::new(reopen), _keep: Box::new(namespace) })
}

/// A log whose clients go through a proxy, and the same log without it.
struct Behind {
    proxy: Proxy,
    proxied: Arc<dyn Log>,
    log: Arc<dyn Log>,
    _namespace: Namespace,
}

fn open_behind_proxy() -> Option<Behind> {
    let namespace = namespace(&broker()?);
    let proxy = Proxy::start(&namespace.bootstrap_servers);
    let log = open_config(&namespace);
    let proxied = KafkaConfig { bootstrap_servers: proxy.address(), ..namespace.clone() };
    Some(Behind { proxied: Arc::new(KafkaLog::open(proxied).unwrap()), proxy, log, _namespace: namespace })
}

#[test]
fn an_answer_lost_after_the_commit_is_unknown_and_all_of_the_batch_is_there() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    let mut writer = proxied.open_writer(SHARD).unwrap();
    writer.append(Batch::of(vec![order(&*log, 1, "before")])).unwrap();
    let (ownership, consumed) = consume_first_of_two(&*proxied, &mut *writer);
    proxy.set(END_TRANSACTION, Fault::LoseAnswer);
    let records = vec![order(&*log, 1, "a"), order(&*log, 1, "b")];
    let error = writer.append(Batch { records, consumed: Some(consumed) }).unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
    assert!(!writer.is_open());

    // Opening again decides it: from then on the log tells.
    let mut next = log.open_writer(SHARD).unwrap();
    let orders = read_to_end(&*log, &order(&*log, 1, "").topic, 1);
    assert_eq!(orders.iter().map(text).collect::<Vec<_>>(), ["before", "a", "b"]);
    next.append(Batch::of(vec![order(&*log, 1, "after")])).unwrap();
    drop(ownership);
    let (commands, _) = take_commands(&mut *log.ownership().unwrap(), 1);
    assert_eq!(commands.iter().map(text).collect::<Vec<_>>(), ["c2"], "what it consumed is consumed with it");
}

/// Lets the broker take records of a transaction that its coordinator was not told of, as it did before Kafka 3.6: only so
/// can a partition be made to miss the end of one.
fn trust_clients(broker: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let id = admin.inner().fetch_metadata(None, Duration::from_secs(10)).unwrap().brokers()[0].id();
    let config = AlterConfig::new(ResourceSpecifier::Broker(id))
        .set("transaction.partition.verification.enable", "false");
    let altered = futures::executor::block_on(admin.alter_configs([&config], &AdminOptions::new())).unwrap();
    altered.into_iter().for_each(|result| drop(result.unwrap()));
}

#[test]
fn records_whose_commit_the_broker_forgot_to_mark_are_there_once_a_writer_is_open() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    trust_clients(&_namespace.bootstrap_servers);
    let mut writer = proxied.open_writer(SHARD).unwrap();
    // Each of the two ids has written to the partition, and both commits are on record.
    for text in ["a", "b"] {
        writer.append(Batch::of(vec![order(&*log, 1, text)])).unwrap();
    }
    let topic = order(&*log, 1, "").topic;
    proxy.keep_markers_from(&topic);
    let appended = writer.append(Batch::of(vec![order(&*log, 1, "c"), order(&*log, 1, "d")])).unwrap();
    drop(writer);
    proxy.clear();
    let position = &appended.positions()[0];
    std::thread::sleep(Duration::from_millis(500));
    assert!(log.stable_end(&topic, 1).unwrap() <= position.offset, "accepted, and hidden");

    let mut next = log.open_writer(SHARD).unwrap();
    assert!(log.stable_end(&topic, 1).unwrap() > appended.positions()[1].offset);
    next.append(Batch::of(vec![order(&*log, 1, "e")])).unwrap();
    assert_eq!(orders(&*log, 1, 5), ["a", "b", "c", "d", "e"], "and no void record");
    // A second time there is nothing to mend.
    drop(next);
    let end = log.stable_end(&topic, 1).unwrap();
    drop(log.open_writer(SHARD).unwrap());
    assert_eq!(log.stable_end(&topic, 1).unwrap(), end);
}

#[test]
fn an_offset_whose_commit_the_broker_forgot_to_mark_is_there_once_a_writer_is_open() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    trust_clients(&_namespace.bootstrap_servers);
    let mut writer = proxied.open_writer(SHARD).unwrap();
    send_commands(&*proxied, &mut *writer, &["c1", "c2", "c3", "c4"]);
    let mut ownership = proxied.ownership().unwrap();
    let (commands, group) = take_commands(&mut *ownership, 4);
    let group = group.unwrap();
    // Each of the two ids has committed an offset, and both commits are on record.
    let mut consume = |index: usize| {
        let offsets = vec![commands[index].cursor_after()];
        let consumed = Some(Consumed { group: group.clone(), offsets });
        writer.append(Batch { records: vec![order(&*log, 1, "x")], consumed }).unwrap();
    };
    consume(0);
    consume(1);
    proxy.keep_markers_from_group(&format!("{}.shards", _namespace.log.namespace));
    consume(2);
    drop(writer);
    drop(ownership);
    proxy.clear();
    drop(log.open_writer(SHARD).unwrap());
    let (commands, _) = take_commands(&mut *log.ownership().unwrap(), 1);
    assert_eq!(commands.iter().map(text).collect::<Vec<_>>(), ["c4"], "what was consumed is consumed");
}

#[test]
fn a_shard_is_not_opened_over_a_transaction_whose_end_nobody_knows() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    trust_clients(&_namespace.bootstrap_servers);
    let mut writer = proxied.open_writer(SHARD).unwrap();
    let topic = order(&*log, 1, "").topic;
    proxy.keep_markers_from(&topic);
    writer.append(Batch::of(vec![order(&*log, 1, "a")])).unwrap();
    drop(writer);
    proxy.clear();
    match log.open_writer(SHARD).err() {
        Some(error @ Error::Unsettled { stable_end: 0, .. }) => {
            assert!(error.to_string().contains("is stable up to 0 only"), "{error}");
            assert_eq!(error.retry(), schemas::Retry::AfterBackoff);
        }
        other => panic!("{other:?}"),
    }
    // Another shard is none the worse for it.
    log.open_writer(Shard::new(0)).unwrap().append(Batch::of(vec![order(&*log, 0, "x")])).unwrap();
}

/// Sends two commands, takes them as the owner, and says that the first is consumed.
fn consume_first_of_two(log: &dyn Log, writer: &mut dyn ShardWriter) -> (Box<dyn Ownership>, Consumed) {
    send_commands(log, writer, &["c1", "c2"]);
    let mut ownership = log.ownership().unwrap();
    let (commands, group) = take_commands(&mut *ownership, 2);
    (ownership, Consumed { group: group.unwrap(), offsets: vec![commands[0].cursor_after()] })
}

#[test]
fn a_commit_lost_on_its_way_is_unknown_and_nothing_of_the_batch_is_there() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    let mut writer = proxied.open_writer(SHARD).unwrap();
    writer.append(Batch::of(vec![order(&*log, 1, "before")])).unwrap();
    let (ownership, consumed) = consume_first_of_two(&*proxied, &mut *writer);
    proxy.set(END_TRANSACTION, Fault::LoseRequest);
    let records = vec![order(&*log, 1, "a"), order(&*log, 1, "b")];
    let error = writer.append(Batch { records, consumed: Some(consumed) }).unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");

    let mut next = log.open_writer(SHARD).unwrap();
    let read =
        |log: &dyn Log| read_to_end(log, &order(log, 1, "").topic, 1).iter().map(text).collect::<Vec<_>>();
    assert_eq!(read(&*log), ["before"]);
    next.append(Batch::of(vec![order(&*log, 1, "after")])).unwrap();
    assert_eq!(orders(&*log, 1, 2), ["before", "after"]);
    drop(ownership);
    let (commands, _) = take_commands(&mut *log.ownership().unwrap(), 2);
    assert_eq!(commands.iter().map(text).collect::<Vec<_>>(), ["c1", "c2"], "nothing was consumed");
}

#[test]
fn records_that_never_arrive_are_not_written() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    let mut writer = proxied.open_writer(SHARD).unwrap();
    proxy.set(PRODUCE, Fault::LoseRequest);
    let error = writer.append(Batch::of(vec![order(&*log, 1, "a"), order(&*log, 1, "b")])).unwrap_err();
    assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");
    assert!(!writer.is_open());
    proxy.clear();
    let mut next = proxied.open_writer(SHARD).unwrap();
    next.append(Batch::of(vec![order(&*log, 1, "again")])).unwrap();
    assert_eq!(orders(&*log, 1, 1), ["again"]);
}

#[test]
fn records_that_the_broker_refuses_are_not_written() {
    // The broker takes less than our own limit says: this reaches the broker and fails there.
    let Some(broker) = broker() else { return };
    let small = namespace(&broker);
    KafkaLog::init_topics(&small).unwrap();
    let log = KafkaLog::open(small.clone()).unwrap();
    let topic = log.topics().events(AggregateType::Order).to_string();
    alter(&broker, &topic, "max.message.bytes", "2000");
    let mut writer = log.open_writer(SHARD).unwrap();
    let error = eventually("the refusal", || {
        // The setting reaches the partition's leader a little later.
        let mut records = vec![order(&log, 1, "fine")];
        records.push(order(&log, 1, &pseudo_random(3_000)));
        writer.append(Batch::of(records)).err()
    });
    assert!(matches!(error, AppendError::NotWritten { .. }), "{error:?}");
    let before = read_to_end(&log, &topic.as_str().into(), 1).len();
    let mut next = log.open_writer(SHARD).unwrap();
    next.append(Batch::of(vec![order(&log, 1, "last")])).unwrap();
    let all = orders(&log, 1, before + 1);
    assert_eq!((all.len(), all.last().map(String::as_str)), (before + 1, Some("last")));
}

/// Text that does not compress.
fn pseudo_random(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..length).map(|_| next()).collect()
}

fn alter(broker: &str, topic: &str, name: &str, value: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let results = futures::executor::block_on(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

#[test]
fn a_writer_fenced_before_its_commit_is_fenced_and_after_it_unknown() {
    let Some(Behind { proxy, proxied, log, _namespace }) = open_behind_proxy() else { return };
    let mut first = proxied.open_writer(SHARD).unwrap();
    let mut second = log.open_writer(SHARD).unwrap();
    let error = first.append(Batch::of(vec![order(&*log, 1, "fenced")])).unwrap_err();
    assert!(matches!(error, AppendError::Fenced { shard: SHARD, .. }), "{error:?}");
    second.append(Batch::of(vec![order(&*log, 1, "second")])).unwrap();

    // The commit is on its way when another writer comes: whether it landed, the writer cannot know.
    let mut first = proxied.open_writer(SHARD).unwrap();
    proxy.set(END_TRANSACTION, Fault::HoldRequest);
    let (error, _third) = std::thread::scope(|scope| {
        let append = scope.spawn(|| first.append(Batch::of(vec![order(&*log, 1, "held")])).unwrap_err());
        proxy.wait_for_hit();
        let third = log.open_writer(SHARD).unwrap();
        proxy.clear();
        (append.join().unwrap(), third)
    });
    assert!(matches!(error, AppendError::Unknown { .. }), "{error:?}");
    let read = read_to_end(&*log, &order(&*log, 1, "").topic, 1);
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["second"], "fenced before it arrived");
}

#[test]
fn fail_points_let_an_append_fail_as_they_were_told_and_the_log_tells_what_became_of_it() {
    use FailPoint as P;
    let Some(broker) = broker() else { return };
    let config = namespace(&broker);
    let log = open_config(&config);
    let name = &config.log.namespace;
    let mut expected = Vec::new();
    for (point, fault, lands) in [
        (P::KAFKA_BEFORE_BEGIN, "not_written", false),
        (P::KAFKA_BEFORE_BEGIN, "fenced", false),
        (P::KAFKA_BEFORE_COMMIT, "not_written", false),
        (P::KAFKA_BEFORE_COMMIT, "unknown", false),
        (P::KAFKA_AFTER_COMMIT, "unknown", true),
    ] {
        let mut writer = log.open_writer(SHARD).unwrap();
        let armed = arm_fail_points(&format!("{}@{name}=1*return({fault})", point.name())).unwrap();
        let value = format!("{}.{fault}", point.name());
        let error = writer.append(Batch::of(vec![order(&*log, 1, &value)])).unwrap_err();
        let is_right = match error {
            AppendError::NotWritten { .. } => fault == "not_written",
            AppendError::Unknown { .. } => fault == "unknown",
            AppendError::Fenced { .. } => fault == "fenced",
        };
        assert!(is_right, "{value}: {error:?}");
        drop((armed, writer));
        expected.extend(lands.then_some(value));
        let mut next = log.open_writer(SHARD).unwrap();
        next.append(Batch::of(vec![order(&*log, 1, "after")])).unwrap();
        expected.push("after".to_owned());
        assert_eq!(orders(&*log, 1, expected.len()), expected);
    }
    let armed =
        arm_fail_points(&format!("{}@{name}=1*return(unknown)", P::KAFKA_BEFORE_TERM.name())).unwrap();
    let term = log.open_writer(SHARD).err().map(|error| assert!(matches!(error, Error::Backend { .. })));
    assert!(term.is_some());
    drop(armed);
    let first = log.open_writer(SHARD).unwrap().term();
    assert!(log.open_writer(SHARD).unwrap().term() > first);
}

#[test]
fn foreign_transactions_are_invisible_until_committed_and_for_ever_when_aborted() {
    let Some(broker) = broker() else { return };
    let config = namespace(&broker);
    let log = open_config(&config);
    let commands = log.topics().commands().clone();
    let start = [Cursor::start(commands.clone(), 1)];
    let foreign: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker)
        .set("transactional.id", format!("{}.foreign", config.log.namespace))
        .create()
        .unwrap();
    let timeout = Duration::from_secs(20);
    foreign.init_transactions(timeout).unwrap();
    let send = |value: &str| {
        foreign.begin_transaction().unwrap();
        foreign
            .send(BaseRecord::to(&commands).partition(1).key("k").payload(value))
            .map_err(|(e, _)| e)
            .unwrap();
        foreign.flush(timeout).unwrap();
    };

    send("open");
    assert_eq!(log.stable_end(&commands, 1).unwrap(), 0, "an open transaction holds the stable end back");
    let mut reader = log.open_reader(&start).unwrap();
    assert!(reader.caught_up());
    assert!(reader.read(10, Duration::from_millis(300)).unwrap().is_empty());
    foreign.commit_transaction(timeout).unwrap();
    assert_eq!(text(&crate::support::read_count(&mut *reader, 1)[0]), "open");

    let end = eventually("the commit's marker", || {
        Some(log.stable_end(&commands, 1).unwrap()).filter(|end| *end == 2)
    });
    send("aborted");
    foreign.abort_transaction(timeout).unwrap();
    let end =
        eventually("the abort's marker", || Some(log.stable_end(&commands, 1).unwrap()).filter(|e| *e > end));
    assert_eq!(end, 4, "two records, two markers");
    let mut reader = log.open_reader(&start).unwrap();
    assert!(!reader.caught_up());
    assert_eq!(drain(&mut *reader).iter().map(text).collect::<Vec<_>>(), ["open"]);
    assert_eq!(reader.next_offsets()[0].next_offset, 4, "caught up behind an aborted tail");
    let mut tail = log.open_reader(&[Cursor { next_offset: 2, ..start[0].clone() }]).unwrap();
    assert!(drain(&mut *tail).is_empty(), "caught up where there is nothing but an aborted tail");
}

#[test]
fn every_opening_is_noted_among_the_shard_owners() {
    let Some(broker) = broker() else { return };
    let namespace = namespace(&broker);
    let log = open_config(&namespace);
    let terms: Vec<_> = (0..3).map(|_| log.open_writer(SHARD).unwrap().term()).collect();
    let owners = eventually("the owners", || {
        let records = read_to_end(&*log, log.topics().shard_owners(), 1);
        (records.len() == 3).then_some(records)
    });
    for (record, term) in owners.iter().zip(terms) {
        let (owner, address) = ("node-1".to_owned(), "127.0.0.1:8080".to_owned());
        assert_eq!(decode_shard_owner(record).unwrap(), ShardOwner { shard: SHARD, owner, address, term });
        assert_eq!(record.key, "1");
    }
}

#[test]
fn topics_are_made_once_and_refused_when_they_are_different() {
    let Some(broker) = broker() else { return };
    let config = namespace(&broker);
    assert!(matches!(KafkaLog::open(config.clone()), Err(Error::TopicMissing { .. })));
    let first = KafkaLog::init_topics(&config).unwrap();
    assert_eq!((first.created.len(), first.existing.len()), (10, 0));
    let second = KafkaLog::init_topics(&config).unwrap();
    assert_eq!((second.created.len(), second.existing.len()), (0, 10));

    let more = KafkaConfig { log: LogConfig { partitions: 3, ..config.log.clone() }, ..config.clone() };
    for refused in [KafkaLog::open(more.clone()).err(), KafkaLog::init_topics(&more).err()] {
        let is_right = |e: &Error| matches!(e, Error::TopicMismatch { setting, expected, found, .. } if setting == "partitions" && expected == "3" && found == "2");
        assert!(refused.as_ref().is_some_and(is_right), "{refused:?}");
    }
    let topic = format!("{}.order.events", config.log.namespace);
    alter(&broker, &topic, "retention.ms", "1000");
    let error = eventually("the changed setting", || KafkaLog::open(config.clone()).err());
    assert_eq!(error.to_string(), format!("topic {topic} has retention.ms=1000, -1 is needed"));
}

#[test]
fn a_second_node_takes_half_of_the_shards_after_they_were_drained() {
    let Some(broker) = broker() else { return };
    let namespace = namespace(&broker);
    let log = open_config(&namespace);
    let mut first = log.ownership().unwrap();
    let mut owned = BTreeSet::new();
    eventually("all shards", || {
        if let Some(OwnershipEvent::Assigned(shard, ack)) = first.next(Duration::from_millis(100)).unwrap() {
            owned.insert(shard);
            ack.done();
        }
        (owned.len() == 2).then_some(())
    });
    let membership = first.membership();
    let mut second = log.ownership().unwrap();
    let (mut held, mut drained, mut moved) = (Vec::new(), false, BTreeSet::new());
    eventually("one shard each", || {
        match first.next(Duration::from_millis(50)).unwrap() {
            Some(OwnershipEvent::Revoked(shard, ack)) => {
                owned.remove(&shard);
                held.push(ack);
                if held.len() == 2 {
                    // The group waits for both answers: nothing has moved before.
                    assert!(second.next(Duration::from_millis(500)).unwrap().is_none());
                    drained = true;
                    held.drain(..).for_each(event_log::Ack::done);
                }
            }
            Some(OwnershipEvent::Assigned(shard, ack)) => {
                owned.insert(shard);
                ack.done();
            }
            _ => {}
        }
        if let Some(OwnershipEvent::Assigned(shard, ack)) = second.next(Duration::from_millis(50)).unwrap() {
            assert!(drained, "a shard moved before it was drained");
            moved.insert(shard);
            ack.done();
        }
        (owned.len() == 1 && moved.len() == 1).then_some(())
    });
    let (kept, gone) = (*owned.first().unwrap(), *moved.first().unwrap());
    assert_ne!(kept, gone);
    membership.prove(kept).unwrap();
    assert!(matches!(membership.prove(gone), Err(Error::NotOwner { .. })));
    second.membership().prove(gone).unwrap();
}
