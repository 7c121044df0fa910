//! The projector on an embedded log: catching up, following, restarting, and what stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::test_support::{NAMESPACE, append, shop};
use event_log::{
    Batch, EmbeddedConfig, EmbeddedLog, Headers, KafkaConfig, KafkaLog, Log, LogConfig, NewRecord, Shard,
};
use projections::{
    Catalogue, PartitionState, Progress, Projection, Projector, ProjectorConfig, STANDARD_TABLES, Streams,
};
use read_store::{
    ChangeBatch, Checkpoint, FjallConfig, FjallStore, Page, PageCursor, ReadStore, Row, RowKey, Table,
};
use schemas::{AggregateType, Positions, RecordedEvent, Timestamp};
use service_kit::{Backoff, Health, Millis, Tasks};

const PARTITIONS: u32 = 2;
const SOON: Duration = Duration::from_secs(30);

struct Running {
    tasks: Tasks,
    progress: Progress,
    health: Health,
}

async fn start(log: &Arc<dyn Log>, store: &Arc<dyn ReadStore>, batch_events_max: usize) -> Running {
    let backoff =
        Backoff { initial_ms: Millis::new(1), max_ms: Millis::new(5), ..ProjectorConfig::default().backoff };
    let config =
        ProjectorConfig { batch_events_max, cache_rows_max: 5, backoff, ..ProjectorConfig::default() };
    let projector =
        Projector::open(Arc::clone(log), Arc::clone(store), Catalogue::standard(), config).await.unwrap();
    let (tasks, health, progress) = (Tasks::new(), Health::new(), projector.progress());
    projector.start(&tasks, &health);
    Running { tasks, progress, health }
}

fn open_log(folder: &tempfile::TempDir) -> Arc<dyn Log> {
    let log = LogConfig { namespace: NAMESPACE.to_owned(), partitions: PARTITIONS, ..LogConfig::default() };
    let config = EmbeddedConfig { log, path: folder.path().join("log"), ..EmbeddedConfig::default() };
    Arc::new(EmbeddedLog::open(config).unwrap())
}

fn open_store(folder: &tempfile::TempDir) -> Arc<dyn ReadStore> {
    let config = FjallConfig { path: folder.path().join("read"), ..FjallConfig::default() };
    Arc::new(FjallStore::open(config).unwrap())
}

fn ends(events: &[RecordedEvent]) -> Positions {
    events.iter().map(|event| event.position.clone()).collect()
}

async fn dump(store: &Arc<dyn ReadStore>) -> Vec<String> {
    let mut all = Vec::new();
    for table in STANDARD_TABLES {
        let page = store.scan_table(*table, None, 100_000).await.unwrap();
        for row in page.rows {
            let document = String::from_utf8(row.document.to_vec()).unwrap();
            all.push(format!(
                "{table} {} {} {document} {}",
                row.partition_key, row.sort_key, row.last_offset
            ));
        }
        for checkpoint in store.checkpoints(*table).await.unwrap() {
            all.push(format!("{table} {} {}", checkpoint.source, checkpoint.next_offset));
        }
    }
    all
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} took too long");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_projector_goes_on_from_its_checkpoint_to_the_same_documents() {
    let shop = shop(PARTITIONS, &[0, 1, 2, 3, 5, 6, 7, 11, 34, 18]);
    let events = shop.events();
    let (early, late) = events.split_at(events.len() / 2);
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(&folder);

    // In two lives, small batches.
    assert_eq!(append(&*log, early), ends(early));
    {
        let store = open_store(&folder);
        let first = start(&log, &store, 3).await;
        first.progress.wait(STANDARD_TABLES, &ends(early), SOON).await.unwrap();
        first.tasks.shutdown(SOON).await.unwrap();
    }
    let store = open_store(&folder);
    let second = start(&log, &store, 3).await;
    assert_eq!(second.progress.positions(&[Streams::TABLE]), ends(early), "known before anything is read");
    append(&*log, late);
    second.progress.wait(STANDARD_TABLES, &ends(events), SOON).await.unwrap();
    let is_live = |status: &projections::PartitionStatus| status.state == PartitionState::Live;
    until("following the log", || second.progress.statuses().iter().all(is_live)).await;
    assert!(second.health.report().ready);
    second.tasks.shutdown(SOON).await.unwrap();

    // In one life, one batch.
    let other = tempfile::tempdir().unwrap();
    let fresh = open_store(&other);
    let whole = start(&log, &fresh, 100_000).await;
    whole.progress.wait(STANDARD_TABLES, &ends(events), SOON).await.unwrap();
    whole.tasks.shutdown(SOON).await.unwrap();

    let (restarted, at_once) = (dump(&store).await, dump(&fresh).await);
    assert!(restarted.len() > events.len());
    assert_eq!(restarted, at_once);
    log.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_no_event_stops_its_partition_with_its_position_and_nothing_else() {
    let shop = shop(PARTITIONS, &[3, 2, 0]);
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (open_log(&folder), open_store(&folder));
    append(&*log, shop.events());
    let poison = NewRecord {
        topic: log.topics().events(AggregateType::Cart).clone(),
        partition: 1,
        key: "cart".into(),
        headers: Headers::new(),
        value: "nonsense".into(),
        timestamp: Timestamp::from_millis(0),
    };
    log.open_writer(Shard::new(1)).unwrap().append(Batch::of(vec![poison])).unwrap();
    let running = start(&log, &store, 1).await;
    let state = |k: usize| running.progress.statuses()[k].state.clone();
    until("stopping", || matches!(state(1), PartitionState::Stopped(_))).await;
    let PartitionState::Stopped(reason) = state(1) else { unreachable!("just seen") };
    assert!(reason.contains("shop.cart.events/1@0"), "{reason}");
    assert!(!running.health.report().ready);
    // The other partition goes on, and the checkpoint stays in front of the poison.
    let other: Positions = ends(shop.events()).iter().filter(|position| position.partition == 0).collect();
    running.progress.wait(STANDARD_TABLES, &other, SOON).await.unwrap();
    assert_eq!(running.progress.positions(STANDARD_TABLES).offset("shop.cart.events", 1), None);
    let stored = store.checkpoints(Streams::TABLE).await.unwrap();
    assert!(stored.iter().all(|c| !(&*c.source.topic == "shop.cart.events" && c.source.partition == 1)));
    running.tasks.shutdown(SOON).await.unwrap();
    log.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_of_another_log_are_refused() {
    let shop = shop(PARTITIONS, &[3, 3]);
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (log, store) = (open_log(&folder), open_store(&folder));
    append(&*log, shop.events());
    let running = start(&log, &store, 1_000).await;
    running.progress.wait(STANDARD_TABLES, &ends(shop.events()), SOON).await.unwrap();
    running.tasks.shutdown(SOON).await.unwrap();
    let empty = open_log(&other);
    let running = start(&empty, &store, 1_000).await;
    let is_refused = |status: &projections::PartitionStatus| matches!(&status.state, PartitionState::Stopped(reason) if reason.contains("another log"));
    until("refusing", || running.progress.statuses().iter().all(is_refused)).await;
    running.tasks.shutdown(SOON).await.unwrap();
    log.close();
    empty.close();
}

/// A store whose writes fail two times out of three: once before, once after the write took effect.
struct Flaky {
    store: Arc<dyn ReadStore>,
    writes: AtomicU64,
}

#[async_trait::async_trait]
impl ReadStore for Flaky {
    async fn apply(&self, batch: ChangeBatch) -> Result<(), read_store::Error> {
        let write = self.writes.fetch_add(1, Ordering::Relaxed) % 3;
        if write != 0 {
            self.store.apply(batch).await?;
        }
        match write {
            2 => Ok(()),
            _ => Err(read_store::Error::Backend { what: "writing", source: "the cable was pulled".into() }),
        }
    }
    async fn get(&self, key: &RowKey) -> Result<Option<Row>, read_store::Error> {
        self.store.get(key).await
    }
    async fn get_many(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, read_store::Error> {
        self.store.get_many(keys).await
    }
    async fn scan(
        &self,
        table: Table,
        key: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<Row>, read_store::Error> {
        self.store.scan(table, key, from, limit).await
    }
    async fn scan_table(
        &self,
        table: Table,
        after: Option<&PageCursor>,
        limit: usize,
    ) -> Result<Page, read_store::Error> {
        self.store.scan_table(table, after, limit).await
    }
    async fn checkpoints(&self, table: Table) -> Result<Vec<Checkpoint>, read_store::Error> {
        self.store.checkpoints(table).await
    }
    async fn flush(&self) -> Result<(), read_store::Error> {
        self.store.flush().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_before_and_after_its_writes_ends_with_the_same_documents() {
    let shop = shop(PARTITIONS, &[0, 1, 2, 7, 11, 5]);
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open_log(&folder);
    append(&*log, shop.events());
    let (steady, shaken) = (open_store(&folder), open_store(&other));
    let flaky: Arc<dyn ReadStore> = Arc::new(Flaky { store: Arc::clone(&shaken), writes: AtomicU64::new(0) });
    for store in [&steady, &flaky] {
        let running = start(&log, store, 7).await;
        running.progress.wait(STANDARD_TABLES, &ends(shop.events()), SOON).await.unwrap();
        running.tasks.shutdown(SOON).await.unwrap();
    }
    assert_eq!(dump(&steady).await, dump(&shaken).await);
    log.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_kafka_too_a_restarted_projector_goes_on_from_its_checkpoint() {
    let Ok(bootstrap_servers) = std::env::var("MILLRACE_TEST_KAFKA") else {
        println!("skipped: MILLRACE_TEST_KAFKA is not set");
        return;
    };
    let shop = shop(PARTITIONS, &[0, 1, 2, 3, 5, 6, 7, 11, 34, 18]);
    let (early, late) = shop.events().split_at(shop.events().len() / 2);
    let namespace = format!("projector-{}", uuid::Uuid::new_v4().simple());
    let config = KafkaConfig {
        log: LogConfig { namespace, partitions: PARTITIONS, ..LogConfig::default() },
        bootstrap_servers,
        ..KafkaConfig::default()
    };
    KafkaLog::init_topics(&config).unwrap();
    let log: Arc<dyn Log> = Arc::new(KafkaLog::open(config).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(&folder);

    let reached = append(&*log, early);
    let first = start(&log, &store, 3).await;
    first.progress.wait(STANDARD_TABLES, &reached, SOON).await.unwrap();
    first.tasks.shutdown(SOON).await.unwrap();
    let reached = append(&*log, late);
    let second = start(&log, &store, 3).await;
    second.progress.wait(STANDARD_TABLES, &reached, SOON).await.unwrap();
    let is_live = |status: &projections::PartitionStatus| {
        status.state == PartitionState::Live && status.lag_events == 0
    };
    until("following the log", || second.progress.statuses().iter().all(is_live)).await;
    second.tasks.shutdown(SOON).await.unwrap();

    // The same documents as on an embedded log, but for the positions, which transaction markers push on.
    let other = tempfile::tempdir().unwrap();
    let embedded = open_log(&other);
    let fresh = open_store(&other);
    let reached = append(&*embedded, shop.events());
    let whole = start(&embedded, &fresh, 1_000).await;
    whole.progress.wait(STANDARD_TABLES, &reached, SOON).await.unwrap();
    whole.tasks.shutdown(SOON).await.unwrap();
    let (kafka, local) = (documents(&store).await, documents(&fresh).await);
    assert!(kafka.len() > shop.events().len());
    assert_eq!(kafka, local);
    embedded.close();
    log.close();
}

/// Every document without its position.
async fn documents(store: &Arc<dyn ReadStore>) -> Vec<(String, serde_json::Value)> {
    let mut all = Vec::new();
    for table in STANDARD_TABLES {
        for row in store.scan_table(*table, None, 100_000).await.unwrap().rows {
            let mut document: serde_json::Value = serde_json::from_slice(&row.document).unwrap();
            document.as_object_mut().unwrap().remove("position");
            all.push((format!("{table} {} {}", row.partition_key, row.sort_key), document));
        }
    }
    all
}
