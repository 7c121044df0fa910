//! A projector on an embedded log and an fjall store, and what is in its tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::test_support::NAMESPACE;
use event_log::{EmbeddedConfig, EmbeddedLog, Log, LogConfig};
use projections::{
    Catalogue, PartitionStatus, Progress, Projector, ProjectorConfig, STANDARD_TABLES, Sharing,
};
use read_store::{FjallConfig, FjallStore, PageCursor, ReadStore, Table};
use schemas::{Positions, RecordedEvent};
use service_kit::{Backoff, Health, Millis, Tasks};

pub(crate) const PARTITIONS: u32 = 2;
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) tasks: Tasks,
    pub(crate) progress: Progress,
    pub(crate) health: Health,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.tasks.shutdown(SOON).await.unwrap();
    }

    /// What one projection says of a partition.
    pub(crate) fn projection(&self, name: &str, partition: usize) -> Option<projections::ProjectionStatus> {
        let status: PartitionStatus = self.progress.statuses().swap_remove(partition);
        status.projections.into_iter().find(|projection| projection.projection == name)
    }
}

/// Small and quick limits.
pub(crate) fn config(batch_events_max: usize) -> ProjectorConfig {
    let default = ProjectorConfig::default();
    let backoff = Backoff { initial_ms: Millis::new(1), max_ms: Millis::new(5), ..default.backoff };
    let lag_interval_ms = Millis::new(20);
    ProjectorConfig { batch_events_max, cache_rows_max: 5, lag_interval_ms, backoff, ..default }
}

pub(crate) async fn start(
    log: &Arc<dyn Log>,
    store: &Arc<dyn ReadStore>,
    batch_events_max: usize,
) -> Running {
    start_with(log, store, Catalogue::standard(), config(batch_events_max)).await
}

pub(crate) async fn start_with(
    log: &Arc<dyn Log>,
    store: &Arc<dyn ReadStore>,
    catalogue: Catalogue,
    config: ProjectorConfig,
) -> Running {
    let projector = Projector::open(Arc::clone(log), Arc::clone(store), catalogue, config).await.unwrap();
    let (tasks, health, progress) = (Tasks::new(), Health::new(), projector.progress());
    projector.start(Sharing::Alone, &tasks, &health);
    Running { tasks, progress, health }
}

pub(crate) fn open_log(folder: &tempfile::TempDir) -> Arc<dyn Log> {
    let log = LogConfig { namespace: NAMESPACE.to_owned(), partitions: PARTITIONS, ..LogConfig::default() };
    let config = EmbeddedConfig { log, path: folder.path().join("log"), ..EmbeddedConfig::default() };
    Arc::new(EmbeddedLog::open(config).unwrap())
}

pub(crate) fn open_store(folder: &tempfile::TempDir) -> Arc<dyn ReadStore> {
    let config = FjallConfig { path: folder.path().join("read"), ..FjallConfig::default() };
    Arc::new(FjallStore::open(config).unwrap())
}

pub(crate) fn ends(events: &[RecordedEvent]) -> Positions {
    events.iter().map(|event| event.position.clone()).collect()
}

pub(crate) async fn dump(store: &Arc<dyn ReadStore>) -> Vec<String> {
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

/// Every document of a generation of the standard tables, without its position.
pub(crate) async fn documents(
    store: &Arc<dyn ReadStore>,
    generation: u32,
) -> Vec<(String, serde_json::Value)> {
    let mut all = Vec::new();
    for table in STANDARD_TABLES {
        for (key, document) in documents_of(store, table.of_generation(generation)).await {
            all.push((format!("{table} {key}"), document));
        }
    }
    all
}

/// Every document of a table, without its position.
pub(crate) async fn documents_of(
    store: &Arc<dyn ReadStore>,
    table: Table,
) -> Vec<(String, serde_json::Value)> {
    let mut all = Vec::new();
    let mut after: Option<PageCursor> = None;
    loop {
        let page = store.scan_table(table, after.as_ref(), 1_000).await.unwrap();
        for row in page.rows {
            let mut document: serde_json::Value = serde_json::from_slice(&row.document).unwrap();
            document.as_object_mut().unwrap().remove("position");
            all.push((format!("{} {}", row.partition_key, row.sort_key), document));
        }
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} took too long");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until `found` gives something.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(value) = found().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} took too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
