//! The projector on an embedded log: catching up, following, restarting, and what stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bed::{PARTITIONS, SOON, documents, dump, ends, open_log, open_store, start, until};
use crate::test_support::{append, shop};
use event_log::{KafkaConfig, KafkaLog, Log, LogConfig};
use projections::{PartitionState, Projection, STANDARD_TABLES, Streams};
use read_store::{ChangeBatch, Checkpoint, Page, PageCursor, ReadStore, Row, RowKey, Table};

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
    async fn drop_table(&self, table: Table) -> Result<(), read_store::Error> {
        self.store.drop_table(table).await
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
    let (kafka, local) = (documents(&store, 1).await, documents(&fresh, 1).await);
    assert!(kafka.len() > shop.events().len());
    assert_eq!(kafka, local);
    embedded.close();
    log.close();
}
